package console

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"html/template"
	"io/fs"
	"net/http"
	"strings"
	"time"

	"github.com/eventbus-go/eventbus/internal/visible"
)

// The pages are embedded, so they always match the program's version, and a service needs
// no directory for them.
//
//go:embed assets
var assets embed.FS

// static serves the script and the style sheet. Both are served before a login, so neither
// holds data of a bus.
var static = func() http.Handler {
	files, err := fs.Sub(assets, "assets/static")
	if err != nil {
		panic(err) // the directive above has the directory
	}
	return http.StripPrefix(staticPath, http.FileServerFS(files))
}()

const staticPath = "/static/"

// page is one of the pages. It is not changed after New, so requests share it.
type page struct {
	name  string
	title string
	// data returns what the page's template shows.
	data look
	// fragments are the templates in it that a live page sends again when they change.
	fragments []string
	live      bool
	hidden    bool // left out of the navigation
	// from is the page on which it is chosen what this one shows; nil if that is this page.
	from *page
}

// path returns the pattern that the page is served under.
func (p *page) path() string {
	if p.name == "now" {
		return "{$}"
	}
	return p.name
}

// href returns the relative address of the page.
func (p *page) href() string {
	if p.name == "now" {
		// An empty reference would mean the current page (RFC 3986, section 4.4).
		return "./"
	}
	return p.name
}

// frame holds what the layout shows around the data of a page. Each request has its own.
type frame struct {
	Page, Title string
	Root        string // the first page's relative address
	Console     string // the console's own title
	Who         string // empty where there are no tokens
	ReadOnly    bool
	Zone        string
	Location    *time.Location
	Nav         []link
	Live        string // the address of the stream; empty for none
	Here        string // the page's own address, for forms to come back to
	Said        string // result of the last order
	Unfinished  string // what the form of a dry run lacks
	Data        any
	At          time.Time
}

// link is an entry of the navigation. Current marks the page itself.
type link struct {
	Href, Text string
	Current    bool
}

// templates holds the pages' templates by name, each with the layout around it. They are
// parsed at the start of the program, so a mistake in one fails every test rather than one
// page in production. html/template escapes by context, whatever the data.
var templates = func() map[string]*template.Template {
	// Templates have no arithmetic and no formatting. All figures are formatted here, so that a
	// figure reads the same on every page.
	functions := template.FuncMap{
		"span": span, "ms": ms, "count": count[int64], "number": count[int], "rate": rate, "size": size, "key": keyText,
		"text": visible.Text, "clip": clip, "plural": plural[int64],
		"day":   func(zone *time.Location, t time.Time) string { return stamp(zone, t, "2 Jan 15:04:05 MST") },
		"time":  func(zone *time.Location, t time.Time) string { return stamp(zone, t, "2 Jan 2006 15:04:05.000 MST") },
		"lines": lines, "action": actionText, "state": stateText, "ways": func() map[string]string { return searchWays },
		"pair": func(f *frame, n *node) any {
			return struct {
				First  *frame
				Second *node
			}{f, n}
		},
	}
	layout := template.Must(template.New("").Funcs(functions).ParseFS(assets, "assets/layout.html"))
	names, err := fs.Glob(assets, "assets/pages/*.html")
	if err != nil {
		panic(err) // a mistake in the pattern
	}
	all := make(map[string]*template.Template, len(names))
	for _, name := range names {
		base := strings.TrimSuffix(name[strings.LastIndex(name, "/")+1:], ".html")
		// Each page gets a clone, since the pages define templates of the same names.
		all[base] = template.Must(template.Must(layout.Clone()).ParseFS(assets, name))
	}
	return all
}()

// Bounds of making an answer, including the wait for other searches, and of writing it.
const (
	makeTime  = 90 * time.Second
	writeTime = 30 * time.Second
)

// patient returns the context of an answer, and extends the write deadline. A server's own
// deadline is meant for immediate answers: it would silently cut off a page that reads the
// log.
func patient(w http.ResponseWriter, r *http.Request) (context.Context, context.CancelFunc) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(makeTime + writeTime)) // some writers have none
	return context.WithTimeout(r.Context(), makeTime)
}

// show answers with a page. The data is made first, so that an error can still become a page
// with its own status.
func (c *Console) show(w http.ResponseWriter, r *http.Request, p *page) {
	ctx, cancel := patient(w, r)
	defer cancel()
	data, err := p.data(ctx, r)
	status, lacks := http.StatusOK, ""
	// The form is shown again, as far as it was filled in: its address has all of its fields.
	if unfinished, ok := errors.AsType[*unfinishedError](err); ok && p.from != nil && wants(r) == "text/html" {
		p, status, lacks = p.from, http.StatusBadRequest, unfinished.Error()
		data, err = p.data(ctx, r)
	}
	if err != nil {
		c.fail(w, r, err, p.back(r))
		return
	}
	f := c.frame(r, p)
	f.Data, f.Unfinished = data, lacks
	c.render(w, r, status, p.name, f)
}

// back returns a link to where a page's question was put, or nil if the page has none.
func (p *page) back(r *http.Request) *link {
	query := r.URL.Query()
	query.Del("said")
	switch {
	case p.from != nil:
		return &link{Href: p.from.href() + "?" + query.Encode(), Text: p.from.title}
	case len(query) > 0:
		return &link{Href: p.href(), Text: p.title}
	}
	return nil
}

// frame returns the frame of a page. It takes the result of the last order, so that a
// reload of the page does not show it again.
func (c *Console) frame(r *http.Request, p *page) *frame {
	f := &frame{Page: p.name, Title: p.title, Said: c.said.take(r.URL.Query().Get("said"))}
	query := r.URL.Query()
	// Forms lead back to this address, with the result of their own order.
	query.Del("said")
	f.Here = p.href()
	if len(query) > 0 {
		f.Here += "?" + query.Encode()
	}
	if p.live {
		// The stream gets the page's query, since it draws the same list.
		f.Live = "live/" + p.name
		if len(query) > 0 {
			f.Live += "?" + query.Encode()
		}
	}
	return f
}

// render writes a page. Control characters in it become escapes, whatever template they
// came through. The page is made before its status is written: a template that fails
// halfway would otherwise leave half a page with status 200.
func (c *Console) render(w http.ResponseWriter, r *http.Request, status int, name string, f *frame) {
	c.fill(r, f)
	var b bytes.Buffer
	if err := templates[name].ExecuteTemplate(&b, "page", f); err != nil {
		c.config.Logger.Error("console: a page can't be made", "page", name, "error", err)
		const why = "the page can't be made; the log says why"
		if name == "fault" {
			write(w, http.StatusInternalServerError, "text/plain; charset=utf-8", []byte(why))
		} else {
			c.refuse(w, r, http.StatusInternalServerError, why, nil)
		}
		return
	}
	write(w, status, "text/html; charset=utf-8", visible.Markup(b.Bytes()))
}

// write answers with a status and a text.
func write(w http.ResponseWriter, status int, contentType string, text []byte) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_, _ = w.Write(text) // a failed write: the caller is gone
}

// fill sets the parts of the frame that are the same on all pages.
func (c *Console) fill(r *http.Request, f *frame) {
	f.Console, f.ReadOnly, f.At = c.config.Title, c.config.ReadOnly, time.Now().In(c.config.Location)
	f.Location, f.Root = c.config.Location, root(r)
	f.Zone = zoneName(f.At)
	// Without tokens there is only one user, and nothing to log out of.
	if len(c.config.Tokens) > 0 {
		f.Who = c.gate.who(r)
	}
	for _, p := range c.all {
		if !p.hidden {
			f.Nav = append(f.Nav, link{p.href(), p.title, p.name == f.Page})
		}
	}
}
