package console

import (
	"context"
	"net/http"
	"net/url"

	"github.com/eventbus-go/eventbus/catalog"
)

// desk is what pages are made of and orders go through. It knows nothing of how they
// are served.
// All of it is safe for concurrent use: config is not changed, and the others guard
// themselves. Every request and every stream calls it from a goroutine of its own.
type desk struct {
	config  *Config
	watch   *watch
	cluster *cluster // nil without one
	replays replays
	scans   chan struct{} // one element for each scan of the log that runs
	ended   <-chan struct{}
	// begin runs something until the console is closed, and reports whether it does.
	begin func(func(context.Context)) bool
}

// catalogs returns the catalogues that are known here.
// The members' come first: they are what runs, while the one of Config may be of another
// version.
func (d *desk) catalogs() []*catalog.Document {
	all := d.watch.catalogs()
	if d.config.Catalog != nil {
		all = append(all, d.config.Catalog)
	}
	return all
}

// look makes the data of a page.
// A stream calls it once a second, with the request that opened the stream. So it must be
// cheap for live pages: what reads the log is not live.
type look = func(context.Context, *http.Request) (any, error)

// act carries out an order that came as a form, and returns what became of it, in words.
// An error becomes a page of its own; an order that a member refused is said instead, so
// that its user stays on the page with the figures.
type act = func(ctx context.Context, who string, form url.Values) (said string, err error)

// file makes a download.
// It is made whole before the first byte is written, so that an error still has a status.
type file = func(context.Context, *http.Request) (name, contentType string, content []byte, err error)

// fault is an error that is shown with a status of HTTP.
// Its text is for the page: it holds no secret. Errors of other types are shown as
// faults of what was asked, with 502.
type fault struct {
	status int
	text   string
}

func (f *fault) Error() string { return f.text }

// missing returns the fault of a page that needs what the console was not given.
func missing(text string) error { return &fault{http.StatusNotFound, text} }

// wrong returns the fault of a form that can't be carried out.
func wrong(text string) error { return &fault{http.StatusBadRequest, text} }

// maxScans bounds how many searches read the log at once, for all users.
// Scans take the brokers' disks and network away from consumers. One user with many open
// windows must not use them up.
const maxScans = 2

// scan waits for its turn to read the log. The caller calls done at the end.
// It waits until ctx ends.
func (d *desk) scan(ctx context.Context) (done func(), err error) {
	select {
	case d.scans <- struct{}{}:
		return func() { <-d.scans }, nil
	case <-ctx.Done():
		return nil, &fault{http.StatusServiceUnavailable, "other searches are reading the log: try again in a minute"}
	}
}
