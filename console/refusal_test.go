package console_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eventbus-go/eventbus/console"
	"github.com/eventbus-go/eventbus/secret"
)

const (
	browser = "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
	foreign = "Sec-Fetch-Site: cross-site"
)

// TestRefusal: those who have access get a page with the navigation, which works at any depth, or
// what they ask for. Nobody else gets a page.
func TestRefusal(t *testing.T) {
	tokens := func(c *console.Config) {
		c.Tokens = []console.Token{{Name: "alice", Value: secret.Text("hunter2")}}
	}
	open, guarded := newConsole(t, nil), newConsole(t, tokens)
	readOnly := newConsole(t, func(c *console.Config) { c.ReadOnly = true })
	cookie, _ := login(t, guarded, "hunter2")
	as := "Cookie: " + cookie.Name + "=" + cookie.Value
	large := strings.Repeat("x", 70<<10)
	const page, text, json = "text/html; charset=utf-8", "text/plain; charset=utf-8", "application/json"
	for _, c := range []struct {
		name                 string
		handler              http.Handler
		method, target, form string
		headers              []string
		code                 int
		contentType, says    string
	}{
		{"unknown", guarded, "GET", "/nowhere", "", []string{as, browser}, 404, page, `<a href="keys"`},
		{"unknown, deep", guarded, "GET", "/deep/path/", "", []string{as, browser}, 404, page, `<a href="../../keys"`},
		{"unknown, its style", guarded, "GET", "/deep/path", "", []string{as, browser}, 404, page, `href="../static/console.css"`},
		{"unknown, an escaped slash", guarded, "GET", "/deep%2Fpath", "", []string{as, browser}, 404, page, `href="static/console.css"`},
		{"unknown, anything", open, "GET", "/nowhere", "", []string{"Accept: */*"}, 404, page, "no such page"},
		{"unknown, unsaid", open, "GET", "/nowhere", "", nil, 404, page, "no such page"},
		{"unknown, JSON", open, "GET", "/nowhere", "", []string{"Accept: application/json"}, 404, json, `{"error":"the console has no such page"}`},
		{"unknown, rather JSON", open, "GET", "/nowhere", "", []string{"Accept: text/html;q=0.1, application/json;q=0.2"}, 404, json, "{"},
		{"unknown, rather a page", open, "GET", "/nowhere", "", []string{"Accept: application/json;q=x, text/html;q=0.2, */*;q=0.1"}, 404, page, "<html"},
		{"unknown, text", open, "GET", "/nowhere", "", []string{"Accept: text/plain"}, 404, text, "the console has no such page\n"},
		{"unknown, among many", open, "GET", "/nowhere", "", []string{"Accept: " + strings.Repeat("a/b,", 20) + "text/plain"}, 404, page, "<html"},
		{"a missing file", guarded, "GET", "/static/nothing.js", "", []string{as, browser}, 404, page, `href="../keys"`},
		{"an order by GET", open, "GET", "/unpark", "", []string{browser}, 405, page, "takes only POST"},
		{"a page by POST", open, "POST", "/keys", "", []string{browser}, 405, page, "takes only GET, HEAD"},
		{"too large", open, "POST", "/unpark", "why=" + large, []string{browser}, 413, page, "larger than"},
		{"read-only", readOnly, "POST", "/unpark", "", []string{browser}, 403, page, "read-only"},
		{"of another origin", guarded, "POST", "/unpark", "", []string{as, browser, foreign}, 403, page, "another origin"},
		{"an order that is no order", open, "POST", "/unpark", "", []string{"Accept: application/json"}, 400, json, "are needed"},

		{"signed out", guarded, "GET", "/nowhere", "", nil, 401, text, "log in first\n"},
		{"signed out, JSON", guarded, "GET", "/nowhere", "", []string{"Accept: application/json"}, 401, json, `{"error":"log in first"}`},
		{"signed out, an order", guarded, "POST", "/unpark", "", []string{browser}, 401, text, "log in first\n"},
		{"signed out, a missing file", guarded, "GET", "/static/nothing.js", "", []string{browser}, 404, text, "the console has no such page\n"},
		{"signed out, a login too large", guarded, "POST", "/login", "token=" + large, []string{browser}, 413, text, "the form is larger than 65536 bytes\n"},
		{"signed out, a login of another origin", guarded, "POST", "/login", "token=hunter2", []string{browser, foreign}, 403, text, "a web page of another origin may not give orders\n"},
		{"another machine", open, "GET", "/nowhere", "", []string{browser, abroad}, 403, text, "there is no token"},
		{"another host name", open, "GET", "/nowhere", "", []string{browser, "Host: evil.example"}, 403, text, "not served under this host name"},
		{"another host name, with a session", guarded, "GET", "/nowhere", "", []string{as, browser, "Local: 127.0.0.1:1", "Host: evil.example"}, 403, text, "not served under this host name"},
	} {
		w := ask(c.handler, c.method, c.target, c.form, c.headers...)
		body := w.Body.String()
		if w.Code != c.code || w.Header().Get("Content-Type") != c.contentType || !strings.Contains(body, c.says) {
			t.Errorf("%s: %d, %q, want %d, %s, with %q: %s", c.name, w.Code, w.Header().Get("Content-Type"), c.code, c.contentType, c.says, body)
		}
		if shown := strings.Contains(body, "<nav"); shown != (c.contentType == page) || strings.Contains(body, "hunter2") {
			t.Errorf("%s: the navigation is shown: %v: %s", c.name, shown, body)
		}
	}
	if w := ask(guarded, "GET", "/nowhere", "", browser); w.Code != http.StatusSeeOther {
		t.Errorf("a browser that is signed out: %d", w.Code)
	}
	for _, target := range []string{"/ops", "/ops/nowhere"} {
		if w := ask(http.StripPrefix("/ops", guarded), "GET", target, "", browser); w.Code != http.StatusSeeOther {
			t.Errorf("%s below a prefix: %d", target, w.Code)
		}
	}
}

// TestRefusedOrdersAreLogged with who gave them, as far as that is known, and why they were
// refused, and without what their forms hold. Pages that are not there are not logged.
func TestRefusedOrdersAreLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		guarded := newConsole(t, func(c *console.Config) {
			c.Tokens = []console.Token{{Name: "alice", Value: secret.Text("hunter2")}}
			c.Logger = slog.New(slog.NewTextHandler(&log, nil))
		})
		cookie, _ := login(t, guarded, "hunter2")
		as := "Cookie: " + cookie.Name + "=" + cookie.Value
		payload := "why=payload-1&token=hunter2&key=cGF5bG9hZA"
		for name, c := range map[string]struct {
			method, target, form string
			headers              []string
			want                 string
		}{
			"of another origin": {"POST", "/unpark", payload, []string{as, "Origin: http://evil.example"}, `level=WARN msg="console: an order was refused" order=unpark status=403 who=alice reason="a web page of another origin may not give orders" from=127.0.0.1 host=127.0.0.1:8081 origin=http://evil.example`},
			"by GET":            {"GET", "/unpark?" + payload, "", []string{as}, `order=unpark status=405 who=alice`},
			"of nobody":         {"POST", "/unpark", payload, nil, `order=unpark status=401 who="" reason="log in first"`},
			"by a made-up name": {"POST", "/payload-2", payload, []string{as}, `order=unknown status=404 who=alice`},
			"by another host":   {"POST", "/skip", payload, []string{as, "Local: 127.0.0.1:1", "Host: evil.example"}, `order=skip status=403 who="" reason="the console is not served under this host name`},
			"too large":         {"POST", "/skip", payload + strings.Repeat("x", 70<<10), []string{as}, `order=skip status=413 who=alice`},
			"a login, large":    {"POST", "/login", payload + strings.Repeat("x", 70<<10), nil, `order=login status=413 who=""`},
			"without a reason":  {"POST", "/skip", "member=m&group=g&topic=payload-3", []string{as}, `order=skip status=400 who=alice reason="this can't be taken back`},
			"a long origin":     {"POST", "/skip", "", []string{as, "Origin: http://" + strings.Repeat("e", 1<<10) + "payload-4"}, "origin=http://eee"},
			"a false origin":    {"POST", "/skip", "", []string{as, "Origin: \x1b[2J"}, `origin=\x1b[2J`},
			"a wrong token":     {"POST", "/login", "token=payload-5", nil, `level=WARN msg="console: login refused" from=127.0.0.1 status=401`},
			"of no member":      {"POST", "/skip", "partition=0&offset=7&why=x&member=m" + strings.Repeat("%0A", 1<<10) + "&group=" + strings.Repeat("g", 1<<10) + "&topic=" + strings.Repeat("t", 1<<10), []string{as}, `msg="console: an order was refused" order=skip who=alice why=x member=m\n\n`},
			"an unknown page":   {"GET", "/payload-6", "", []string{as}, ""},
			"a page of nobody":  {"GET", "/keys", "", nil, ""},
		} {
			time.Sleep(time.Second) // so that no record is left out
			log.Reset()
			ask(guarded, c.method, c.target, c.form, c.headers...)
			if text := log.String(); !strings.Contains(text, c.want) || c.want == "" && text != "" || strings.Contains(text, "payload") || strings.Contains(text, "hunter2") || strings.Count(text, "\n") > 1 || len(text) > 1500 {
				t.Errorf("%s: the log says %q, want %q", name, text, c.want)
			}
		}
	})
}

// TestRefusalIsClipped: what the log has of an error is bounded, whatever the order names.
func TestRefusalIsClipped(t *testing.T) {
	_, cluster := deadLetters(t, 0)
	var log bytes.Buffer
	h := newConsole(t, func(c *console.Config) {
		c.Bus, c.Cluster, c.Environment, c.Logger = nil, cluster, "Test", slog.New(slog.NewTextHandler(&log, nil))
	})
	w := ask(h, "POST", "/start-job", "action=skip&cause=a&why=x&topic=test."+strings.Repeat("t", 1<<10)+".dlq", browser)
	if err := h.Close(t.Context()); err != nil { // so that nothing else is logged
		t.Fatal(err)
	}
	_, refused, _ := strings.Cut(log.String(), "an order was refused")
	refused, _, _ = strings.Cut(refused, "\n")
	if w.Code != http.StatusNotFound || !strings.Contains(refused, "order=start-job status=404") || len(refused) > 500 {
		t.Errorf("%d: the log says %s", w.Code, &log)
	}
}

// TestRefusalsAreLoggedInBounds: of a flood of refused orders and logins ten records are warnings,
// then one a second, which counts the others.
func TestRefusalsAreLoggedInBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		h := newConsole(t, func(c *console.Config) {
			c.Tokens = []console.Token{{Name: "alice", Value: secret.Text("hunter2")}}
			c.Logger = slog.New(slog.NewTextHandler(&log, nil))
		})
		for range 50 {
			ask(h, "POST", "/unpark", "")
			ask(h, "POST", "/login", "token=wrong")
		}
		if n := strings.Count(log.String(), "refused"); n != 10 {
			t.Errorf("%d records of a flood: %s", n, &log)
		}
		log.Reset()
		time.Sleep(time.Second)
		ask(h, "POST", "/unpark", "")
		ask(h, "POST", "/unpark", "")
		if text := log.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "=90") {
			t.Errorf("a second later: %s", text)
		}
	})
}
