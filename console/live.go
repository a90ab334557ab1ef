package console

import (
	"bytes"
	"context"
	"net/http"
	"time"

	"github.com/eventbus-go/eventbus/internal/visible"
)

// A stream draws its fragments every liveEvery. Members are asked as often while somebody
// looks, so drawing more often would send the same figures.
const (
	liveEvery = time.Second
	// liveFor bounds a stream. The browser then opens another, so streams that a proxy or a
	// sleeping machine left behind do not stay.
	liveFor   = 10 * time.Minute
	liveWrite = 10 * time.Second // limit of one write, for a reader that has stalled
)

// stream sends the fragments of a page that have changed, at most once a second, until the
// page or the console is closed, the session ends, or liveFor is over. It writes
// server-sent events (the HTML standard, section 9.2), which a browser reconnects to by
// itself. The page is complete without it.
func (c *Console) stream(w http.ResponseWriter, r *http.Request, p *page) {
	select {
	// Refused at once if there is no room: the page stays as it was drawn, rather than waiting
	// without an answer.
	case c.streams <- struct{}{}:
		defer func() { <-c.streams }()
	default:
		c.refuse(w, r, http.StatusServiceUnavailable, "too many pages are open", nil)
		return
	}
	// The request's context ends when the browser closes the page.
	ctx, cancel := context.WithTimeout(r.Context(), liveFor)
	defer cancel()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // nginx would buffer the fragments
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Time{}) // the server's is meant for requests, and would end the stream
	// sent holds the latest bytes of each fragment. The first round sends every fragment, since
	// the page may be older than the stream.
	sent := make(map[string][]byte, len(p.fragments))
	tick := time.NewTicker(liveEvery)
	defer tick.Stop()
	for {
		// An error ends the stream silently: the page keeps what it shows, and the browser
		// reconnects later.
		data, err := p.data(ctx, r)
		_ = control.SetWriteDeadline(time.Now().Add(liveWrite)) // some writers have none
		if err == nil {
			err = c.send(w, r, p, data, sent)
		}
		// The session is checked in every round: a page that stays open after a logout must not get
		// more data.
		if err != nil || control.Flush() != nil || c.gate.who(r) == "" {
			return
		}
		select {
		case <-ctx.Done():
			return
		// Announced, so that the page does not take it for a lost connection.
		case <-c.ended:
			_, _ = w.Write([]byte("event: end\ndata: the console is being stopped\n\n"))
			return
		case <-tick.C:
		}
	}
}

// send writes the fragments that have changed. It compares them as drawn, so a figure that
// changes only in digits that no page shows sends nothing.
func (c *Console) send(w http.ResponseWriter, r *http.Request, p *page, data any, sent map[string][]byte) error {
	// The same frame as the page's, so that a fragment comes out as the page would draw it.
	f := c.frame(r, p)
	f.Data = data
	c.fill(r, f)
	changed := false
	for _, name := range p.fragments {
		var b bytes.Buffer
		if err := templates[p.name].ExecuteTemplate(&b, name, f); err != nil {
			c.config.Logger.Error("console: a fragment can't be made", "page", p.name, "error", err)
			return err
		}
		// Fragments go through the same filter as whole pages.
		text := bytes.TrimSpace(visible.Markup(b.Bytes()))
		if bytes.Equal(text, sent[name]) {
			continue
		}
		sent[name], changed = text, true
		if err := event(w, "fragment", text); err != nil {
			return err
		}
	}
	if !changed {
		// A comment line: proxies close silent connections, and a write shows that the peer is gone.
		_, err := w.Write([]byte(": \n\n"))
		return err
	}
	return nil
}

// event writes a server-sent event.
func event(w http.ResponseWriter, name string, data []byte) error {
	// A line break ends a field of the stream, so each line gets a field of its own, and the
	// browser joins them again. There is no carriage return: Markup has escaped those.
	text := append([]byte("event: "+name+"\ndata: "), bytes.ReplaceAll(data, []byte("\n"), []byte("\ndata: "))...)
	_, err := w.Write(append(text, "\n\n"...))
	return err
}
