package console

import (
	"encoding/json"
	"errors"
	"log/slog"
	"mime"
	"net/http"
	"strconv"
	"strings"
)

// maxRefusal bounds the text of a refusal, in characters.
const maxRefusal = 2000

// fail answers with the error of a page, an order or a download. back, if not nil, is a link to
// where the user came from.
func (c *Console) fail(w http.ResponseWriter, r *http.Request, err error, back *link) {
	// Other errors come from the cluster or a member: the console itself works, and passes them
	// on.
	status := http.StatusBadGateway
	if known, ok := errors.AsType[*fault](err); ok {
		status = known.status
	}
	c.refuse(w, r, status, err.Error(), back)
}

// faultView is the page of an error. Back is nil if nothing but the first page is worth a link.
type faultView struct {
	Text string
	Back *link
}

// refuse answers with an error, and logs that if the request is an order. Those who have access
// get a page, unless they ask for JSON or plain text. Others get no page: its title and
// navigation would tell a stranger what is served here.
func (c *Console) refuse(w http.ResponseWriter, r *http.Request, status int, why string, back *link) {
	c.logRefused(r, status, why)
	switch form := wants(r); {
	case form == "text/html" && c.gate.admits(r):
		c.render(w, r, status, "fault", &frame{Page: "fault", Title: http.StatusText(status), Data: faultView{why, back}})
	case form == "application/json":
		text, _ := json.Marshal(map[string]string{"error": clip(maxRefusal, why)}) // a string can always be written
		write(w, status, form, append(text, '\n'))
	default:
		write(w, status, "text/plain; charset=utf-8", []byte(clip(maxRefusal, why)+"\n"))
	}
}

// maxAccepted bounds how many of the forms that a request accepts are looked at.
const maxAccepted = 16

// wants returns the form in which a request asks for an error: text/html unless it prefers
// application/json or plain text (RFC 9110, section 12.5.1). A stream gets plain text, since no
// one reads it.
func wants(r *http.Request) string {
	form, best := "text/html", 0.0
	for i, one := range strings.SplitN(r.Header.Get("Accept"), ",", maxAccepted+1) {
		if i == maxAccepted {
			break
		}
		typ, params, err := mime.ParseMediaType(one)
		if err != nil {
			continue
		}
		weight := 1.0
		if q, has := params["q"]; has {
			weight, _ = strconv.ParseFloat(q, 64) // an unreadable one is 0: not wanted
		}
		switch typ {
		case "*/*", "text/*", "application/xhtml+xml":
			typ = "text/html"
		case "text/event-stream":
			typ = "text/plain"
		case "text/html", "application/json", "text/plain":
		default:
			continue
		}
		if weight > best {
			form, best = typ, weight
		}
	}
	return form
}

// logRefused logs an order that is refused, and a request by a method that its address does not
// take. It logs none of the form's fields, which may hold a token, a key or a payload.
func (c *Console) logRefused(r *http.Request, status int, why string) {
	if status != http.StatusMethodNotAllowed && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
		return
	}
	// Any other path is the client's own text.
	order := strings.TrimPrefix(r.URL.Path, "/")
	if _, known := c.orders[order]; !known && order != "login" && order != "logout" {
		order = "unknown"
	}
	who := ""
	if c.gate.admits(r) {
		who = c.gate.who(r)
	}
	level, quiet := c.desk.refused.Next(slog.LevelWarn)
	c.config.Logger.Log(r.Context(), level, "console: an order was refused", "order", order, "status", status, "who", who, "reason", clip(maxShown, why),
		"from", clip(maxShown, address(r)), "host", clip(maxShown, r.Host), "origin", clip(maxShown, r.Header.Get("Origin")), quiet)
}
