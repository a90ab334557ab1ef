package console

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strings"
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
	orders  map[string]act
	streams chan struct{}

	handler http.Handler
	end     context.CancelFunc
	ended   <-chan struct{}

	mu      sync.Mutex // orders the start of goroutines against Close
	closed  bool
	running sync.WaitGroup
}

// maxStreams bounds the open streams of all users together. Each holds a connection, so
// without it they could use up the process's files.
const maxStreams = 64

// New returns a console. Its URLs are relative, so it may be served under any path that
// ends in a slash, with http.StripPrefix. The caller closes it before the bus and the
// cluster.
func New(config Config) (*Console, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	// Work that outlives a request runs under this context, which Close cancels.
	ctx, cancel := context.WithCancel(context.Background())
	c := &Console{config: config.withDefaults(), end: cancel, ended: ctx.Done(), streams: make(chan struct{}, maxStreams)}
	c.desk = &desk{config: &c.config, watch: newWatch(&c.config), scans: make(chan struct{}, maxScans), ended: ctx.Done()}
	if config.Cluster != nil {
		c.desk.cluster = newCluster(&c.config, c.desk.catalogs)
	}
	// The lock orders this against Close: Close waits for whatever has started, and nothing
	// starts after it. Adding to a WaitGroup while Wait runs would be a race.
	c.desk.begin = func(do func(context.Context)) bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		if !c.closed {
			c.running.Go(func() { do(ctx) })
		}
		return !c.closed
	}
	c.gate = newGate(&c.config)
	c.all, c.orders = c.desk.pages(), c.desk.orders()
	// The gate wraps everything, so no route can bypass it.
	c.handler = c.gate.guard(c.routes(), func(w http.ResponseWriter, r *http.Request, status int, why string) { c.refuse(w, r, status, why, nil) })
	// Members start last, since they use the fields above.
	for _, m := range c.desk.watch.members {
		c.desk.begin(m.run)
	}
	// Watch takes up jobs that were ordered anywhere. A read-only console changes nothing,
	// so it takes up none.
	if c.desk.cluster != nil && !config.ReadOnly {
		c.desk.begin(func(ctx context.Context) { _ = c.desk.cluster.letters.Watch(ctx) }) // it logs its errors
	}
	return c, nil
}

// Close ends the streams and stops watching the members. It returns when both have ended,
// or with ctx's error. A server's Shutdown waits for streams: call Close first, or register
// it with http.Server.RegisterOnShutdown.
func (c *Console) Close(ctx context.Context) error {
	// Cancel before setting closed: whatever starts in between finds its context canceled.
	c.end()
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	done := make(chan struct{})
	// WaitGroup.Wait takes no context. If ctx ends first, this goroutine ends once everything
	// that it waits for has.
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
	// Orders are POST only: browsers follow and prefetch links by GET.
	for name, do := range c.orders {
		mux.HandleFunc("POST /"+name, func(w http.ResponseWriter, r *http.Request) { c.order(w, r, do) })
	}
	for name, of := range c.desk.files() {
		mux.HandleFunc("GET /"+name, func(w http.ResponseWriter, r *http.Request) { c.download(w, r, of) })
	}
	mux.HandleFunc("GET /login", c.askLogin)
	mux.HandleFunc("POST /login", c.login)
	mux.HandleFunc("POST /logout", c.logout)
	mux.Handle("GET "+staticPath, static)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, pattern := mux.Handler(r); pattern != "" && pattern != "GET "+staticPath {
			mux.ServeHTTP(w, r)
			return
		}
		// Here net/http itself says what is missing, in plain text.
		k := &statusKeeper{ResponseWriter: w}
		mux.ServeHTTP(k, r)
		if k.status != 0 {
			w.Header().Set("Cache-Control", "no-store") // net/http removes it from errors about files
		}
		switch k.status {
		case 0:
		case http.StatusNotFound:
			c.refuse(w, r, k.status, "the console has no such page", nil)
		case http.StatusMethodNotAllowed:
			c.refuse(w, r, k.status, "this address takes only "+w.Header().Get("Allow")+": orders are given by the forms of pages", nil)
		default:
			c.refuse(w, r, k.status, strings.ToLower(http.StatusText(k.status)), nil)
		}
	})
}

// statusKeeper is a ResponseWriter that passes answers on, but of an error keeps only the status.
type statusKeeper struct {
	http.ResponseWriter
	status int // of an error
}

func (k *statusKeeper) WriteHeader(status int) {
	if status >= http.StatusBadRequest {
		k.status = status
		return
	}
	k.ResponseWriter.WriteHeader(status)
}

func (k *statusKeeper) Write(b []byte) (int, error) {
	if k.status != 0 {
		return len(b), nil
	}
	return k.ResponseWriter.Write(b)
}

// order carries out the order of a form and redirects to the page with the form, which
// shows the result.
func (c *Console) order(w http.ResponseWriter, r *http.Request, do act) {
	if err := readForm(r); err != nil {
		c.fail(w, r, err, nil)
		return
	}
	ctx, cancel := patient(w, r)
	defer cancel()
	// PostForm is the body alone, so a link can't put fields of an order into its query.
	said, err := do(ctx, c.gate.who(r), r.PostForm)
	if err != nil {
		c.fail(w, r, err, nil)
		return
	}
	// The field is part of the form, so anyone may write it. after lets only pages of the
	// console through, and always returns a valid URL.
	u, _ := url.Parse(after(r.PostForm.Get("here")))
	q := u.Query()
	q.Set("said", c.said.keep(said))
	u.RawQuery = q.Encode()
	lead(w, r, u.String())
}

// readForm reads the form of a request. The error is a fault.
func readForm(r *http.Request) error {
	err := r.ParseForm()
	if large, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return &fault{http.StatusRequestEntityTooLarge, fmt.Sprintf("the form is larger than %d bytes", large.Limit)}
	}
	if err != nil {
		return wrong("the form can't be read")
	}
	return nil
}

// download answers with a file. Its content is never shown as a page of the console.
func (c *Console) download(w http.ResponseWriter, r *http.Request, of file) {
	ctx, cancel := patient(w, r)
	defer cancel()
	name, contentType, content, err := of(ctx, r)
	if err != nil {
		c.fail(w, r, err, nil)
		return
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": name}))
	_, _ = w.Write(content)
}
