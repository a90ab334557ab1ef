package console

import (
	"context"
	"mime"
	"net/http"
	"net/url"
	"sync"
)

// Console is a handler that serves the pages. It is safe for concurrent use. It
// watches its members until it is closed.
type Console struct {
	config  Config
	desk    *desk
	gate    *gate
	said    sayings
	all     []*page
	streams chan struct{}

	handler http.Handler
	end     context.CancelFunc
	ended   <-chan struct{}

	mu      sync.Mutex // guards what begins against Close
	closed  bool
	running sync.WaitGroup
}

// maxStreams bounds the streams that are open at once: each holds a connection.
// It is for all users together, so that streams can't use up the process's files.
const maxStreams = 64

// New returns a console. Its URLs are relative, so it may be served under any path that
// ends in a slash, with http.StripPrefix. The caller closes it, before the bus and the
// cluster.
func New(config Config) (*Console, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	// This context is that of all that goes on between requests. Close ends it.
	ctx, cancel := context.WithCancel(context.Background())
	c := &Console{config: config.withDefaults(), end: cancel, ended: ctx.Done(), streams: make(chan struct{}, maxStreams)}
	c.desk = &desk{config: &c.config, watch: newWatch(&c.config), scans: make(chan struct{}, maxScans), ended: ctx.Done()}
	if config.Cluster != nil {
		c.desk.cluster = newCluster(&c.config, c.desk.catalogs)
	}
	// The lock orders this against Close: what begins is either waited for by Close or not begun
	// at all. To add to a WaitGroup that is waited for would be a race.
	c.desk.begin = func(do func(context.Context)) bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		if !c.closed {
			c.running.Go(func() { do(ctx) })
		}
		return !c.closed
	}
	c.gate = newGate(&c.config)
	c.all = c.desk.pages()
	// The gate is around everything, so that no route can be added outside of it.
	c.handler = c.gate.guard(c.routes())
	// Last: what runs here uses the fields above.
	for _, m := range c.desk.watch.members {
		c.desk.begin(m.run)
	}
	// Watch takes up jobs that were ordered anywhere. A console that is read-only changes
	// nothing, by such orders either.
	if c.desk.cluster != nil && !config.ReadOnly {
		c.desk.begin(func(ctx context.Context) { _ = c.desk.cluster.letters.Watch(ctx) }) // it logs what it can't do
	}
	return c, nil
}

// Close ends the streams and the watching. It returns when both have ended, or ctx has.
// A server's Shutdown waits for streams: call Close first, or register it with
// http.Server.RegisterOnShutdown.
func (c *Console) Close(ctx context.Context) error {
	// The end comes before closed is set: what begins in between sees a context that has ended.
	c.end()
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	done := make(chan struct{})
	// WaitGroup.Wait knows no context. If ctx ends first, this goroutine ends with the last of
	// what it waits for.
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
	for _, p := range c.all {
		mux.HandleFunc("GET /"+p.path(), func(w http.ResponseWriter, r *http.Request) { c.show(w, r, p) })
		if p.live {
			mux.HandleFunc("GET /live/"+p.name, func(w http.ResponseWriter, r *http.Request) { c.stream(w, r, p) })
		}
	}
	// Orders are POST alone: browsers follow links, and fetch them ahead, by GET.
	for name, do := range c.desk.orders() {
		mux.HandleFunc("POST /"+name, func(w http.ResponseWriter, r *http.Request) { c.order(w, r, do) })
	}
	for name, of := range c.desk.files() {
		mux.HandleFunc("GET /"+name, func(w http.ResponseWriter, r *http.Request) { c.download(w, r, of) })
	}
	mux.HandleFunc("GET /login", c.askLogin)
	mux.HandleFunc("POST /login", c.login)
	mux.HandleFunc("POST /logout", c.logout)
	mux.Handle("GET /static/", static)
	return mux
}

// order carries out a form and leads back to the page that it was on, which shows
// what was said.
func (c *Console) order(w http.ResponseWriter, r *http.Request, do act) {
	if err := r.ParseForm(); err != nil {
		c.fail(w, r, wrong("the form can't be read"))
		return
	}
	ctx, cancel := patient(w, r)
	defer cancel()
	// PostForm is the body alone. A link can't bring fields of an order in its query.
	said, err := do(ctx, c.gate.who(r), r.PostForm)
	if err != nil {
		c.fail(w, r, err)
		return
	}
	// The field comes from the form, so anyone may write it: after lets only pages of the console
	// through, and always returns an address that can be parsed.
	u, _ := url.Parse(after(r.PostForm.Get("here")))
	q := u.Query()
	q.Set("said", c.said.keep(said))
	u.RawQuery = q.Encode()
	lead(w, r, u.String())
}

// download answers with a file. What it contains is never shown as a page of the
// console's.
func (c *Console) download(w http.ResponseWriter, r *http.Request, of file) {
	ctx, cancel := patient(w, r)
	defer cancel()
	name, contentType, content, err := of(ctx, r)
	if err != nil {
		c.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": name}))
	_, _ = w.Write(content)
}
