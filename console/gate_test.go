package console_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/console"
	"github.com/eventbus-go/eventbus/secret"
	"github.com/eventbus-go/eventbus/transport/memory"
)

// newConsole returns a console of an idle bus.
func newConsole(t *testing.T, change func(*console.Config)) *console.Console {
	t.Helper()
	bus, err := eventbus.New(memory.New(), eventbus.Config{Service: "idle", Environment: "Test", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	config := console.Config{Bus: bus}
	if change != nil {
		change(&config)
	}
	pages, err := console.New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pages.Close(context.Background()); err != nil {
			t.Error(err)
		}
		_ = bus.Close(context.Background())
	})
	return pages
}

// ask makes a request as if from this machine, with headers given as "Name: value".
func ask(h http.Handler, method, target, form string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://127.0.0.1:8081"+target, strings.NewReader(form))
	r.RemoteAddr = "127.0.0.1:40000"
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		switch name {
		case "Host":
			r.Host = value
		case "Remote":
			r.RemoteAddr = value
		case "Local":
			at, err := net.ResolveTCPAddr("tcp", value)
			if err != nil {
				panic(err)
			}
			r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, at))
		case "TLS":
			r.TLS = new(tls.ConnectionState)
		default:
			r.Header.Set(name, value)
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

const abroad = "Remote: 192.0.2.7:40000"

// TestWhoMayAsk: without tokens this machine has access, under its own names. With tokens,
// users who have logged in have, under the names that are served.
func TestWhoMayAsk(t *testing.T) {
	tokens := []console.Token{{Name: "alice", Value: secret.Text("hunter2")}}
	open := newConsole(t, nil)
	guarded := newConsole(t, func(c *console.Config) { c.Tokens = tokens })
	named := newConsole(t, func(c *console.Config) { c.Tokens, c.Hosts = tokens, []string{"ops.example"} })
	for _, c := range []struct {
		name    string
		handler http.Handler
		headers []string
		code    int
	}{
		{"this machine", open, nil, 200},
		{"this machine by IPv6", open, []string{"Remote: [::1]:40000", "Host: [::1]:8081"}, 200},
		{"another machine", open, []string{abroad}, 403},
		{"a page's name for this machine", open, []string{"Host: evil.example:8081"}, 403},
		{"a name that looks like this machine's", open, []string{"Host: localhost.evil.example"}, 403},
		{"a proxy on this machine", open, []string{"X-Forwarded-For: 192.0.2.7"}, 403},
		{"a proxy by RFC 7239", open, []string{"Forwarded: for=192.0.2.7"}, 403},
		{"nobody", guarded, nil, 401},
		{"a browser of nobody", guarded, []string{"Accept: text/html"}, 303},
		{"a made-up cookie", guarded, []string{"Cookie: eventbus-console=x; eventbus-console-00000000=x"}, 401},
		{"a name of anyone's, on a loopback address", guarded, []string{"Local: 127.0.0.1:8081", "Host: evil.example:8081"}, 403},
		{"the same, said to come through a proxy", guarded, []string{"Local: [::1]:8081", "Host: evil.example", "X-Forwarded-For: 192.0.2.7", "X-Forwarded-Host: ops.example"}, 403},
		{"a loopback name, on a loopback address", guarded, []string{"Local: 127.0.0.1:8081", "Host: localhost:8081"}, 401},
		{"an address, on a loopback address", guarded, []string{"Local: 127.0.0.1:8081", "Host: 192.0.2.1:8081"}, 401},
		{"a name of Hosts, on a loopback address", named, []string{"Local: 127.0.0.1:8081", "Host: ops.example"}, 401},
		{"a name, on another address", guarded, []string{"Local: 192.0.2.1:8081", abroad, "Host: ops.example"}, 401},
		{"an address, without tokens", open, []string{"Local: 127.0.0.1:8081", "Host: 192.0.2.1"}, 403},
		{"another host name", named, []string{abroad, "Host: evil.example"}, 403},
		{"the host name, logged out", named, []string{abroad, "Host: ops.example:443"}, 401},
	} {
		if w := ask(c.handler, "GET", "/keys", "", c.headers...); w.Code != c.code || strings.Contains(w.Body.String(), "hunter") {
			t.Errorf("%s: %d, want %d", c.name, w.Code, c.code)
		}
	}
	if w := ask(guarded, "GET", "/deep/path", "", "Accept: text/html"); w.Header().Get("Location") != "../login?next=deep%2Fpath%3F" {
		t.Errorf("a deep path leads to %q", w.Header().Get("Location"))
	}
}

// TestEveryAnswerIsGuarded by headers that restrict what a page can do.
func TestEveryAnswerIsGuarded(t *testing.T) {
	h := newConsole(t, nil)
	for _, c := range []struct{ method, target, header string }{
		{"GET", "/", ""}, {"GET", "/nowhere", ""}, {"GET", "/static/console.js", ""}, {"GET", "/static/nothing.js", ""}, {"POST", "/unpark", ""}, {"DELETE", "/", ""},
		{"GET", "/keys", abroad}, {"POST", "/unpark", "Sec-Fetch-Site: cross-site"}, {"GET", "/login", ""}, {"GET", "/keys.csv", ""},
	} {
		w := ask(h, c.method, c.target, "", c.header)
		for name, want := range map[string]string{
			"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types eventbus",
			"X-Content-Type-Options":  "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
		} {
			if got := w.Header().Get(name); got != want {
				t.Errorf("%s %s %s: %d with %s %q", c.method, c.target, c.header, w.Code, name, got)
			}
		}
	}
}

// login exchanges a token for a cookie.
func login(t *testing.T, h http.Handler, token string, headers ...string) (*http.Cookie, *httptest.ResponseRecorder) {
	t.Helper()
	w := ask(h, "POST", "/login", url.Values{"token": {token}, "next": {"keys?find=a"}}.Encode(), headers...)
	cookies := w.Result().Cookies()
	if len(cookies) == 0 {
		return nil, w
	}
	return cookies[0], w
}

// TestLogin: a token becomes a cookie that no script can read and no other site can send,
// and that expires.
func TestLogin(t *testing.T) {
	var log bytes.Buffer
	h := newConsole(t, func(c *console.Config) {
		c.Tokens = []console.Token{{Name: "alice", Value: secret.Text("hunter2")}, {Name: "bob", Value: secret.Text("hunter3")}}
		c.Session = time.Minute
		c.Logger = slog.New(slog.NewTextHandler(&log, nil))
	})
	cookie, w := login(t, h, "hunter3")
	if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "keys?find=a" {
		t.Fatalf("%d to %q", w.Code, w.Header().Get("Location"))
	}
	if !cookie.HttpOnly || cookie.SameSite != http.SameSiteStrictMode || cookie.MaxAge != 60 || cookie.Secure || cookie.Path != "" || strings.Contains(cookie.Value, "hunter") {
		t.Errorf("the cookie is %v", cookie)
	}
	if secure, _ := login(t, h, "hunter3", "TLS: on"); !secure.Secure {
		t.Error("over TLS the cookie is not for TLS alone")
	}
	as := "Cookie: " + cookie.Name + "=" + cookie.Value
	if w := ask(h, "GET", "/keys", "", as); w.Code != 200 || !strings.Contains(w.Body.String(), ">bob<") {
		t.Errorf("logged in: %d", w.Code)
	}
	if w := ask(h, "POST", "/unpark", "", as, "Origin: https://evil.example"); w.Code != http.StatusForbidden {
		t.Errorf("an order from another origin: %d", w.Code)
	}
	if w := ask(h, "GET", "/unpark?member=this+process", "", as); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("an order by GET: %d", w.Code)
	}
	if w := ask(h, "POST", "/logout", "", as); w.Code != http.StatusSeeOther {
		t.Errorf("logging out: %d", w.Code)
	}
	if w := ask(h, "GET", "/keys", "", as); w.Code != 401 {
		t.Errorf("logged out: %d", w.Code)
	}
	if !strings.Contains(log.String(), "who=bob") || strings.Contains(log.String(), "hunter") {
		t.Errorf("the log says %s", &log)
	}
}

// TestSessionEnds: after its time a cookie opens no page and gives no order, and a stream
// that it opened ends. Using a session does not extend it.
func TestSessionEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newConsole(t, func(c *console.Config) {
			c.Tokens, c.Session = []console.Token{{Name: "alice", Value: secret.Text("hunter2")}}, time.Hour
		})
		cookie, _ := login(t, h, "hunter2")
		as := "Cookie: " + cookie.Name + "=" + cookie.Value
		begin := time.Now()
		for range 3 {
			time.Sleep(19 * time.Minute)
			if w := ask(h, "GET", "/keys", "", as); w.Code != http.StatusOK {
				t.Fatalf("after %v: %d", time.Since(begin), w.Code)
			}
		}
		stream := ask(h, "GET", "/live/keys", "", as) // until it ends
		if took := time.Since(begin); took < time.Hour || took > time.Hour+2*time.Second || !strings.Contains(stream.Body.String(), "event: fragment") {
			t.Errorf("the stream ends after %v with %.100s", took, stream.Body)
		}
		for method, path := range map[string]string{"GET": "/keys", "POST": "/unpark"} {
			if w := ask(h, method, path, "", as); w.Code != http.StatusUnauthorized {
				t.Errorf("%s %s after the session: %d", method, path, w.Code)
			}
		}
		if again, _ := login(t, h, "hunter2"); again == nil || again.Value == cookie.Value {
			t.Error("no new session")
		}
	})
}

// TestLoginTries: a wrong token is refused. After five from one address, every token is
// refused for a minute, even the right one. Other addresses are let in.
func TestLoginTries(t *testing.T) {
	h := newConsole(t, func(c *console.Config) { c.Tokens = []console.Token{{Name: "alice", Value: secret.Text("hunter2")}} })
	for i := range 5 {
		if cookie, w := login(t, h, "hunter"); w.Code != http.StatusUnauthorized || cookie != nil || !strings.Contains(w.Body.String(), "No such token") {
			t.Fatalf("try %d: %d", i, w.Code)
		}
	}
	if cookie, w := login(t, h, "hunter2"); w.Code != http.StatusTooManyRequests || cookie != nil {
		t.Errorf("the right one after five wrong ones: %d", w.Code)
	}
	if cookie, _ := login(t, h, "hunter2", abroad); cookie == nil {
		t.Error("another address is kept out")
	}
	if cookie, w := login(t, h, "", "Remote: 192.0.2.8:1"); cookie != nil || w.Code != http.StatusUnauthorized {
		t.Errorf("an empty token: %d", w.Code)
	}
	if w := ask(h, "POST", "/login", "token="+strings.Repeat("x", 70<<10), abroad); w.Code != http.StatusRequestEntityTooLarge || strings.Contains(w.Body.String(), "<") {
		t.Errorf("a form that is too large: %d", w.Code)
	}
	open := newConsole(t, nil)
	for path, c := range map[string]struct {
		code int
		says string
	}{"/unpark": {413, "the form is larger than 65536 bytes"}, "/start-replay": {400, "choose the handlers"}} {
		if w := ask(open, "POST", path, "why="+strings.Repeat("x", 70<<10)); w.Code != c.code || !strings.Contains(w.Body.String(), c.says) {
			t.Errorf("%s, large: %d %s", path, w.Code, w.Body)
		}
	}
}

// TestLoginLeadsHome: nothing in the address of the form leads to another site.
func TestLoginLeadsHome(t *testing.T) {
	h := newConsole(t, func(c *console.Config) { c.Tokens = []console.Token{{Name: "alice", Value: secret.Text("hunter2")}} })
	for next, want := range map[string]string{
		"keys?find=a": "keys?find=a", "": "./", "https://evil.example/": "./", "//evil.example/": "./", `\\evil.example`: "./", "/\\evil.example": "./",
		"javascript:alert(1)": "./", "../../else": "./", "?said=x": "./?said=x", "\x00": "./",
	} {
		w := ask(h, "POST", "/login", url.Values{"token": {"hunter2"}, "next": {next}}.Encode())
		if got := w.Header().Get("Location"); got != want {
			t.Errorf("%q leads to %q, want %q", next, got, want)
		}
	}
}

// TestReadOnly: a read-only console takes no order, and has no form that gives one.
func TestReadOnly(t *testing.T) {
	h := newConsole(t, func(c *console.Config) { c.ReadOnly = true })
	for _, path := range []string{"/unpark", "/skip", "/pause", "/resume", "/start-job", "/stop-job"} {
		if w := ask(h, "POST", path, "member=this+process&group=idle-test&subscription=a"); w.Code != http.StatusForbidden {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	w := ask(h, "GET", "/keys", "")
	if body, _ := io.ReadAll(w.Body); bytes.Contains(body, []byte(`method="post"`)) || !bytes.Contains(body, []byte("read-only")) {
		t.Errorf("the page is %.300s", body)
	}
}

func TestConfig(t *testing.T) {
	bus, err := eventbus.New(memory.New(), eventbus.Config{Service: "idle", Environment: "Test", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer bus.Close(context.Background())
	for want, c := range map[string]console.Config{
		"nothing to show":            {},
		"write http://host:port":     {Members: []console.Member{{URL: "ftp://a"}}},
		"leave out users":            {Members: []console.Member{{URL: "http://a:hunter@b/"}}},
		"not sent over plain http":   {Members: []console.Member{{URL: "http://10.0.0.1:8081", Token: secret.Text("hunter")}}},
		"is empty or not unique":     {Bus: bus, Tokens: []console.Token{{Name: "a", Value: secret.Text("hunter")}, {Name: "a", Value: secret.Text("hunter")}}},
		"which would admit everyone": {Bus: bus, Tokens: []console.Token{{Name: "a"}}},
		"is not a host name":         {Bus: bus, Hosts: []string{"https://a"}},
		"is negative":                {Bus: bus, Session: -1},
		"with {trace} where":         {Bus: bus, TraceURL: "javascript:alert({trace})"},
		"Environment":                {Bus: bus, Environment: "a b"},
	} {
		if _, err := console.New(c); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter") {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// TestTimes: all times of a page are in one zone, including its own.
func TestTimes(t *testing.T) {
	zone := time.FixedZone("XYZ", -11*3600-30*60)
	h := newConsole(t, func(c *console.Config) { c.Location = zone })
	before := time.Now().In(zone)
	page := ask(h, "GET", "/", "").Body.String()
	_, as, _ := strings.Cut(page, "as of ")
	if got, want := as[:2], []string{before.Format("15"), time.Now().In(zone).Format("15")}; got != want[0] && got != want[1] {
		t.Errorf("it is of %s o'clock, want %s", got, want[1])
	}
}

// deadlined is a ResponseWriter with a deadline.
type deadlined struct {
	*httptest.ResponseRecorder
	deadline time.Time
}

func (d *deadlined) SetWriteDeadline(t time.Time) error {
	d.deadline = t
	return nil
}

// TestPatience: a page may take longer than a server allows for short answers, but callers
// without access get no extra time.
func TestPatience(t *testing.T) {
	h := newConsole(t, nil)
	for address, may := range map[string]bool{"127.0.0.1:40000": true, "192.0.2.7:40000": false} {
		for _, target := range []string{"/catalog", "/keys.csv"} {
			r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1:8081"+target, nil)
			r.RemoteAddr = address
			w := &deadlined{ResponseRecorder: httptest.NewRecorder()}
			if h.ServeHTTP(w, r); w.deadline.After(time.Now().Add(time.Minute)) != may {
				t.Errorf("%s from %s may take until %v", target, address, w.deadline)
			}
		}
	}
}

// TestLogOfTheBus: orders go to the log of the bus if the console has none of its own.
func TestLogOfTheBus(t *testing.T) {
	var log bytes.Buffer
	bus, err := eventbus.New(memory.New(), eventbus.Config{Service: "idle", Environment: "Test", Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer bus.Close(context.Background())
	h := newConsole(t, func(c *console.Config) {
		c.Bus, c.Tokens = bus, []console.Token{{Name: "alice", Value: secret.Text("hunter2")}}
	})
	login(t, h, "wrong")
	if !strings.Contains(log.String(), "console: login refused") {
		t.Errorf("the log says %s", &log)
	}
}

// TestReplacedToken: a session ends with the token that began it.
func TestReplacedToken(t *testing.T) {
	token, failed := "hunter2", error(nil)
	h := newConsole(t, func(c *console.Config) {
		c.Tokens = []console.Token{{Name: "bob", Value: secret.Text("other")}, {Name: "alice", Value: secret.Func(func() (string, error) { return token, failed })}}
	})
	cookie, _ := login(t, h, "hunter2")
	for _, c := range []struct {
		token  string
		failed error
		code   int
	}{{"hunter2", nil, 200}, {"hunter2", errors.New("no such file"), 401}, {"hunter2", nil, 200}, {"swordfish", nil, 401}, {"other", nil, 401}} {
		token, failed = c.token, c.failed
		if w := ask(h, "GET", "/keys", "", "Cookie: "+cookie.Name+"="+cookie.Value); w.Code != c.code {
			t.Errorf("with the token %q, %v: %d, want %d", c.token, c.failed, w.Code, c.code)
		}
	}
}
