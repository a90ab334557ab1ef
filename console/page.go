package console

import (
	"bytes"
	"embed"
	"errors"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/eventbus-go/eventbus/internal/visible"
)

//go:embed assets
var assets embed.FS

// static serves the script and the style sheet.
var static = func() http.Handler {
	files, err := fs.Sub(assets, "assets/static")
	if err != nil {
		panic(err) // the directive above has the directory
	}
	return http.StripPrefix("/static/", http.FileServerFS(files))
}()

// page is one of the pages: what it is called, and where its data comes from.
type page struct {
	name  string
	title string
	// data returns what the page's template shows.
	data look
	// fragments are the templates in it that are sent again when they change, where
	// the page is live.
	fragments []string
	live      bool
	hidden    bool // from the navigation
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
		return "./"
	}
	return p.name
}

// frame is what surrounds the data of a page.
type frame struct {
	Page, Title string
	Console     string // the console's own title
	Who         string // empty where there are no tokens
	ReadOnly    bool
	Zone        string
	Location    *time.Location
	Nav         []link
	Live        string // the address of the stream; empty for none
	Here        string // the page's own address, for forms to come back to
	Said        string // what became of the last order
	Data        any
	At          time.Time
}

type link struct {
	Href, Text string
	Current    bool
}

// templates has the pages' templates by name, each with the layout around it.
var templates = func() map[string]*template.Template {
	functions := template.FuncMap{
		"span": span, "ms": ms, "count": count[int64], "number": count[int], "rate": rate, "size": size, "key": keyText,
		"text": visible.Text, "clip": clip, "plural": plural[int64], "query": url.QueryEscape,
		"day":   func(zone *time.Location, t time.Time) string { return stamp(zone, t, "2 Jan 15:04:05 MST") },
		"time":  func(zone *time.Location, t time.Time) string { return stamp(zone, t, "2 Jan 2006 15:04:05.000 MST") },
		"lines": lines, "action": actionText, "ways": func() map[string]string { return searchWays },
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
		all[base] = template.Must(template.Must(layout.Clone()).ParseFS(assets, name))
	}
	return all
}()

// show answers with a page.
func (c *Console) show(w http.ResponseWriter, r *http.Request, p *page) {
	data, err := p.data(r.Context(), r)
	if err != nil {
		c.fail(w, r, err)
		return
	}
	f := c.frame(r, p)
	f.Data = data
	c.render(w, r, http.StatusOK, p.name, f)
}

// frame returns what surrounds a page.
func (c *Console) frame(r *http.Request, p *page) *frame {
	f := &frame{Page: p.name, Title: p.title, Said: c.said.take(r.URL.Query().Get("said"))}
	query := r.URL.Query()
	query.Del("said")
	f.Here = p.href()
	if len(query) > 0 {
		f.Here += "?" + query.Encode()
	}
	if p.live {
		f.Live = "live/" + p.name
		if len(query) > 0 {
			f.Live += "?" + query.Encode()
		}
	}
	return f
}

// fail answers with an error as a page.
func (c *Console) fail(w http.ResponseWriter, r *http.Request, err error) {
	status := http.StatusBadGateway
	if known, ok := errors.AsType[*fault](err); ok {
		status = known.status
	}
	c.render(w, r, status, "fault", &frame{Page: "fault", Title: http.StatusText(status), Data: err.Error()})
}

// render writes a page. What text from outside may hold that is not drawn is written
// as escapes, whatever template it came through.
func (c *Console) render(w http.ResponseWriter, r *http.Request, status int, name string, f *frame) {
	c.fill(r, f)
	var b bytes.Buffer
	if err := templates[name].ExecuteTemplate(&b, "page", f); err != nil {
		c.config.Logger.Error("console: a page can't be made", "page", name, "error", err)
		refuse(w, http.StatusInternalServerError, "the page can't be made; the log says why")
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(visible.Markup(b.Bytes())) // a failed write: the caller is gone
}

// fill sets what all pages show.
func (c *Console) fill(r *http.Request, f *frame) {
	f.Console, f.ReadOnly, f.At = c.config.Title, c.config.ReadOnly, time.Now()
	f.Location = c.config.Location
	f.Zone = zoneName(f.At.In(c.config.Location))
	if len(c.config.Tokens) > 0 {
		f.Who = c.gate.who(r)
	}
	for _, p := range c.all {
		if !p.hidden {
			f.Nav = append(f.Nav, link{p.href(), p.title, p.name == f.Page})
		}
	}
}

// refuse answers with an error in plain text, which no browser takes for a page.
func refuse(w http.ResponseWriter, status int, why string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(why + "\n"))
}
