package console

import (
	"context"
	"net/http"
	"net/url"

	"github.com/eventbus-go/eventbus/catalog"
	"github.com/eventbus-go/eventbus/internal/telemetry"
)

// desk makes the data of pages and carries out orders. It does not know how they are
// served. It is safe for concurrent use: config is not changed, and the other fields guard
// themselves.
type desk struct {
	config  *Config
	watch   *watch
	cluster *cluster // nil without one
	replays replays
	outlook latest[[]concern]  // of the outbox, for the first page
	refused telemetry.LogLimit // records about refused orders and logins
	scans   chan struct{}      // one element for each running scan of the log
	ended   <-chan struct{}
	// begin runs a function until the console is closed. It reports false, and runs nothing,
	// if the console is closed already.
	begin func(func(context.Context)) bool
}

// catalogs returns all known catalogues. Those of the members come first: they describe
// what runs, while Config.Catalog may be of another version.
func (d *desk) catalogs() []*catalog.Document {
	all := d.watch.catalogs()
	if d.config.Catalog != nil {
		all = append(all, d.config.Catalog)
	}
	return all
}

// look makes the data of a page. A stream calls it once a second, with the request that
// opened the stream, so it must be cheap for live pages: pages that read the log are not
// live.
type look = func(context.Context, *http.Request) (any, error)

// act carries out an order that came as a form, and returns its result in words. An error
// replaces the page; an order that a member refused is a result instead, so that the user
// stays on the page with the figures.
type act = func(ctx context.Context, who string, form url.Values) (said string, err error)

// file makes a download. It returns the whole content, so that an error still gets its own
// status.
type file = func(context.Context, *http.Request) (name, contentType string, content []byte, err error)

// fault is an error with an HTTP status. Its text is shown, so it holds no secret. Errors
// of other types are shown with status 502.
type fault struct {
	status int
	text   string
}

func (f *fault) Error() string { return f.text }

// missing returns the fault of a page that needs something the console does not have.
func missing(text string) error { return &fault{http.StatusNotFound, text} }

// wrong returns the fault of a form that can't be carried out.
func wrong(text string) error { return &fault{http.StatusBadRequest, text} }

// unfinishedError is the fault of a form that lacks what a user is to choose. The form is shown
// again, and says so.
type unfinishedError struct{ error }

// Unwrap returns the fault.
func (e *unfinishedError) Unwrap() error { return e.error }

// unfinished returns an unfinishedError.
func unfinished(text string) error { return &unfinishedError{wrong(text)} }

// maxScans bounds how many searches of all users read the log at once.
// Scans compete with consumers for the brokers' disks and network. One user with many open
// windows must not use them up.
const maxScans = 2

// scan waits for its turn to read the log, until ctx ends. The caller calls done afterwards.
func (d *desk) scan(ctx context.Context) (done func(), err error) {
	select {
	case d.scans <- struct{}{}:
		return func() { <-d.scans }, nil
	case <-ctx.Done():
		return nil, &fault{http.StatusServiceUnavailable, "other searches are reading the log: try again in a minute"}
	}
}
