package console

import (
	"context"
	"net/http"
	"sync"

	"github.com/eventbus-go/eventbus/internal/redrive"
)

// Console is a handler that serves the pages. It is safe for concurrent use. It keeps
// watching its members until it is closed.
type Console struct {
	config  Config
	gate    *gate
	watch   *watch
	cluster *cluster // nil without one
	said    sayings
	streams chan struct{}
	scans   chan struct{}

	handler http.Handler
	end     context.CancelFunc
	ended   <-chan struct{}
	running sync.WaitGroup
}

// Bounds of what runs at once for all users: a stream holds a connection, a scan
// reads the log.
const (
	maxStreams = 64
	maxScans   = 2
)

// New returns a console. Its URLs are relative, so it may be served under any path
// that ends in a slash, by http.StripPrefix. The caller closes it, before the bus and
// the cluster.
func New(config Config) (*Console, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := &Console{
		config: config.withDefaults(), end: cancel, ended: ctx.Done(),
		streams: make(chan struct{}, maxStreams), scans: make(chan struct{}, maxScans),
	}
	c.gate = newGate(&c.config)
	c.watch = newWatch(&c.config)
	if config.Cluster != nil {
		c.cluster = newCluster(config.Cluster, c.config.Environment)
		c.cluster.redrive = redrive.New(config.Cluster, redrive.Config{Who: "console " + c.config.Title, Create: true, Logger: c.config.Logger})
	}
	c.handler = c.gate.guard(c.routes())
	for _, m := range c.watch.members {
		c.running.Go(func() { m.run(ctx) })
	}
	return c, nil
}

// Close ends the streams and the watching, and returns when both have ended, or ctx
// has. A server's Shutdown waits for streams: call Close before it, or give it to
// http.Server.RegisterOnShutdown.
func (c *Console) Close(ctx context.Context) error {
	c.end()
	done := make(chan struct{})
	go func() {
		c.running.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ServeHTTP implements http.Handler.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) { c.handler.ServeHTTP(w, r) }

// routes serves pages by GET and takes orders by POST. Paths are flat, so that
// relative addresses work under any prefix.
func (c *Console) routes() http.Handler {
	mux := http.NewServeMux()
	for _, p := range c.pages() {
		mux.HandleFunc("GET /"+p.path(), func(w http.ResponseWriter, r *http.Request) { c.show(w, r, p) })
		if p.live {
			mux.HandleFunc("GET /live/"+p.name, func(w http.ResponseWriter, r *http.Request) { c.stream(w, r, p) })
		}
	}
	mux.HandleFunc("GET /login", c.askLogin)
	mux.HandleFunc("POST /login", c.login)
	mux.HandleFunc("POST /logout", c.logout)
	mux.Handle("GET /static/", static)
	c.downloads(mux)
	c.orders(mux)
	return mux
}
