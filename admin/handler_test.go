package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/admin"
	"github.com/eventbus-go/eventbus/catalog"
	"github.com/eventbus-go/eventbus/resilience"
	"github.com/eventbus-go/eventbus/secret"
	"github.com/eventbus-go/eventbus/transport/memory"
)

type order struct {
	ID string `json:"id"`
}

var orders = eventbus.NewTopic(eventbus.TopicConfig[order]{
	Domain: "sales", Name: "order", Plural: true, Partitions: 1, Key: func(o order) string { return o.ID },
})

const (
	topic = "test.sales.public.orders.v1"
	group = "/groups/sales-api-test/"
)

// bus returns a running bus whose handler fails on the key "later" until it is told
// not to, and that holds the key "stranger", whose type it does not know.
func bus(t *testing.T) *eventbus.Bus {
	t.Helper()
	return busWith(t, io.Discard)
}

// busWith is like bus, with a log.
func busWith(t *testing.T, log io.Writer) *eventbus.Bus {
	t.Helper()
	b, err := eventbus.New(memory.New(), eventbus.Config{
		Service: "sales-api", Environment: "Test", Source: "urn:sales", Logger: slog.New(slog.NewTextHandler(log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	tries := 0
	if err := eventbus.Subscribe(b, orders, func(_ context.Context, o order) error {
		if o.ID == "later" && tries < 2 {
			tries++
			return eventbus.RetryAfter(time.Hour, errors.New("not yet"))
		}
		return nil
	}, eventbus.WhenUnknown(eventbus.FailUnknown), eventbus.Retry(resilience.Retry{Elapsed: 2 * time.Hour})); err != nil {
		t.Fatal(err)
	}
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	stranger, err := orders.Encode(order{"stranger"})
	if err != nil {
		t.Fatal(err)
	}
	stranger.Topic, stranger.Type, stranger.Source = topic, "OrderShredded", "urn:elsewhere"
	if err := errors.Join(
		b.PublishEnvelope(t.Context(), stranger), // at offset 0
		eventbus.NewPublisher(b, orders).Publish(t.Context(), order{"later"}),
	); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	return b
}

// ask makes a request as if from this machine, with headers given as "Name: value".
func ask(h http.Handler, method, target, body string, headers ...string) (int, string) {
	r := httptest.NewRequest(method, "http://127.0.0.1:8081"+target, strings.NewReader(body))
	r.RemoteAddr = "127.0.0.1:40000"
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		r.Header.Set(name, value)
		switch name {
		case "Host":
			r.Host = value
		case "Remote":
			r.RemoteAddr = value
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if got := w.Header().Get("Content-Type"); got != "application/json" {
		return w.Code, fmt.Sprintf("content type %q", got)
	}
	return w.Code, strings.TrimSpace(w.Body.String())
}

// TestOrders pauses, resumes, unparks and skips, and checks the errors of refused orders.
func TestOrders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		b := busWith(t, &log)
		h := admin.Handler(b)
		const (
			name   = `{"subscription":"sales.public.orders.v1 order"}`
			place  = `{"topic":"` + topic + `","partition":0`
			offset = place + `,"offset":0,"who":"ann","why":"test order"}`
		)
		for _, c := range []struct {
			path, body string
			code       int
			says       string
		}{
			{"pause", name, 200, `{}`},
			{"resume", `{"subscription":"sales.public.orders.v1 order","who":"bea","why":"database is back"}`, 200, `{}`},
			{"pause", `{"subscription":"sales.public.cats.v1 cat"}`, 404, `no subscription`},
			{"pause", `{}`, 404, `no subscription`},
			{"pause", ``, 400, `malformed body`},
			{"pause", `{"subscription":`, 400, `malformed body`},
			{"pause", `{"subscription":1}`, 400, `malformed body`},
			{"pause", `{"subscription":"a","also":1}`, 400, `unknown field`},
			{"pause", name + name, 400, `something follows`},
			{"pause", `{"subscription":"` + strings.Repeat("x", 1<<20) + `"}`, 413, `larger than`},
			{"unpark", place + `,"key":"nobody"}`, 404, `no such key`},
			{"unpark", place + `}`, 400, `key, keyBase64 or offset is needed`},
			{"unpark", place + `,"key":"later","offset":1}`, 400, `instead of a key`},
			{"unpark", place + `,"keyBase64":"","offset":1}`, 400, `instead of a key`},
			{"unpark", `{"topic":"` + topic + `","offset":1}`, 400, `needs partition`},
			{"unpark", place + `,"offset":7}`, 404, `no such key`},
			{"unpark", place + `,"offset":0}`, 409, `no handler here knows`},
			{"unpark", place + `,"key":"a","keyBase64":"YQ=="}`, 400, `keep one`},
			{"unpark", place + `,"keyBase64":"%"}`, 400, `malformed body`},
			{"unpark", `{"key":"later"}`, 400, `topic is needed`},
			{"unpark", `{"topic":"` + topic + `","key":"nobody"}`, 404, `no such key`},
			{"unpark", `{"topic":"` + topic + `","key":"stranger"}`, 409, `no handler here knows`},
			{"unpark", `{"topic":"cats","key":"later"}`, 404, `no partition of topic`},
			{"unpark", `{"topic":"` + topic + `","partition":9,"key":"later"}`, 404, `not assigned`},
			{"unpark", `{"topic":"` + topic + `","partition":4294967296,"key":"later"}`, 400, `malformed body`},
			{"unpark", place + `,"key":"stranger"}`, 409, `no handler here knows`},
			{"skip", place + `}`, 400, `offset is needed`},
			{"skip", place + `,"offset":0}`, 400, `why is needed`},
			{"skip", place + `,"offset":0,"why":" "}`, 400, `why is needed`},
			{"skip", place + `,"offset":0,"why":"` + strings.Repeat("x", 501) + `"}`, 400, `at most`},
			{"skip", place + `,"offset":1,"why":"x"}`, 409, `not held up for good (retry)`},
			{"skip", place + `,"offset":7,"why":"x"}`, 404, `no key`},
			{"skip", offset, 200, `{}`},
			{"skip", offset, 404, `no key`},
			{"unpark", place + `,"offset":1}`, 200, `{}`}, // fails once more
			{"unpark", `{"topic":"` + topic + `","key":"later"}`, 200, `{}`},
		} {
			synctest.Wait()
			code, body := ask(h, "POST", group+c.path, c.body)
			var refused struct{ Error string }
			if err := json.Unmarshal([]byte(body), &refused); err != nil || (refused.Error == "") != (code == 200) {
				t.Errorf("%s %.100s: not an answer: %s", c.path, c.body, body)
			}
			if code != c.code || !strings.Contains(body, c.says) {
				t.Errorf("%s %.100s: %d %s, want %d with %q", c.path, c.body, code, body, c.code, c.says)
			}
		}
		synctest.Wait()
		if _, body := ask(h, "GET", "/groups", ""); !strings.Contains(body, `"watermark":2`) {
			t.Errorf("afterwards: %s", body)
		}
		for _, path := range []string{"/groups/nobody/pause", "/groups/nobody/skip"} {
			body := map[bool]string{true: name, false: offset}[strings.HasSuffix(path, "pause")]
			if code, said := ask(h, "POST", path, body); code != 404 || !strings.Contains(said, `group \"nobody\"`) {
				t.Errorf("%s: %d %s", path, code, said)
			}
		}
		if err := b.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		for _, says := range []string{`msg="skipped by an operator"`, `who=ann why="test order"`, `who=bea why="database is back"`} {
			if !strings.Contains(log.String(), says) {
				t.Errorf("%s is not in the log:\n%s", says, log.String())
			}
		}
		if code, said := ask(h, "POST", group+"pause", name); code != 409 {
			t.Errorf("after the end: %d %s", code, said)
		}
	})
}

func TestLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bus(t)
		h := admin.Handler(b)
		code, body := ask(h, "GET", "/groups", "")
		for _, want := range []string{
			`"service":"sales-api"`, `"name":"sales-api-test"`, `"joined":true`, `"name":"sales.public.orders.v1 order"`,
			`"breaker":"closed"`, `"lag":2`, `"lanes":2`, `"key":"later","keyBase64":"bGF0ZXI=","offset":1,"state":"retry"`, `"error":"not yet"`, `"state":"held"`,
		} {
			if code != 200 || !strings.Contains(body, want) {
				t.Errorf("%d, without %s: %s", code, want, body)
			}
		}
		code, body = ask(h, "GET", "/catalog", "")
		document, err := catalog.Read(strings.NewReader(body))
		if code != 200 || err != nil || document.Service != "sales-api" || len(document.Topics) != 1 {
			t.Errorf("%d %s: %v", code, body, err)
		}
		for _, c := range []struct {
			method, path string
			code         int
			says         string
		}{
			{"GET", "/catalog/asyncapi", 200, `"address": "test.sales.public.orders.v1"`},
			{"GET", "/catalog/asyncapi?version=3.0.0", 200, `"asyncapi": "3.0.0"`},
			{"GET", "/catalog/asyncapi?version=2.6.0", 400, `write 3.1.0 or 3.0.0`},
			{"GET", "/catalog/pages/%2e%2e", 404, `{"error":"there is no page \"..\": begin with index.md"}`},
			{"GET", "/catalog/pages/", 404, `{"error":"/catalog/pages/ is not served; there are `},
			{"POST", "/catalog/asyncapi", 405, `{"error":"/catalog/asyncapi takes GET, HEAD, and not POST"}`},
			{"GET", "/", 404, `{"error":"/ is not served; there are GET /groups, GET /catalog, GET /catalog/asyncapi, GET /catalog/pages/{page}, POST /groups/{group}/pause, `},
			{"POST", "/groups", 405, `{"error":"/groups takes GET, HEAD, and not POST"}`},
			{"GET", group + "skip", 405, `skip takes POST, and not GET"}`},
			{"GET", "/log-level", 404, `{"error":"/log-level is not served; there are `},
			{"HEAD", "/groups", 200, `"service":"sales-api"`},
		} {
			if code, body := ask(h, c.method, c.path, ""); code != c.code || !strings.Contains(body, c.says) {
				t.Errorf("%s %s: %d %s, want %d with %s", c.method, c.path, code, body, c.code, c.says)
			}
		}
		for name, want := range map[string]string{
			"index.md":                  "| order |  | [sales.public.orders.v1](sales.public.orders.v1.md) |",
			"sales.public.orders.v1.md": "# sales.public.orders.v1\n",
		} {
			r := httptest.NewRequest(http.MethodGet, "http://localhost/catalog/pages/"+name, nil)
			r.RemoteAddr = "127.0.0.1:40000"
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != 200 || w.Header().Get("Content-Type") != "text/markdown; charset=utf-8" || w.Header().Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(w.Body.String(), want) {
				t.Errorf("%s: %d %v\n%s", name, w.Code, w.Header(), w.Body)
			}
		}
		if err := b.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
	})
}

// idle returns a bus that does nothing.
func idle(t *testing.T) *eventbus.Bus {
	t.Helper()
	bus, err := eventbus.New(memory.New(), eventbus.Config{Service: "idle", Environment: "Test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = bus.Close(context.Background()) })
	return bus
}

// TestWhoMayAsk: with a token, every caller that sends it has access; without one, only
// this machine has.
func TestWhoMayAsk(t *testing.T) {
	open, guarded := admin.Handler(idle(t)), admin.Handler(idle(t), admin.Token(secret.Text("hunter2")))
	const abroad = "Remote: 192.0.2.7:40000"
	for _, c := range []struct {
		name    string
		handler http.Handler
		headers []string
		code    int
	}{
		{"this machine", open, nil, 200},
		{"this machine by IPv6", open, []string{"Remote: [::1]:40000", "Host: [::1]:8081"}, 200},
		{"this machine by name", open, []string{"Host: localhost"}, 200},
		{"another machine", open, []string{abroad}, 403},
		{"a page's name for this machine", open, []string{"Host: evil.example:8081"}, 403},
		{"a proxy on this machine", open, []string{"X-Forwarded-For: 192.0.2.7"}, 403},
		{"a proxy that says nothing", open, []string{"X-Forwarded-For: "}, 403},
		{"a proxy by RFC 7239", open, []string{"Forwarded: for=192.0.2.7"}, 403},
		{"a proxy by its address header", open, []string{"X-Real-Ip: 192.0.2.7"}, 403},
		{"a proxy by RFC 9110", open, []string{"Via: 1.1 proxy"}, 403},
		{"the token through a proxy", guarded, []string{"Authorization: Bearer hunter2", "X-Forwarded-For: 192.0.2.7"}, 200},
		{"no address", open, []string{"Remote: @"}, 403},
		{"no token", guarded, nil, 401},
		{"an empty token", guarded, []string{"Authorization: Bearer "}, 401},
		{"a wrong token", guarded, []string{"Authorization: Bearer hunter3"}, 401},
		{"a beginning of the token", guarded, []string{"Authorization: Bearer hunter"}, 401},
		{"another scheme", guarded, []string{"Authorization: Basic hunter2"}, 401},
		{"the token alone", guarded, []string{"Authorization: hunter2"}, 401},
		{"the token", guarded, []string{"Authorization: Bearer hunter2"}, 200},
		{"the token from another machine", guarded, []string{"Authorization: bearer hunter2", abroad, "Host: sales.example"}, 200},
	} {
		code, body := ask(c.handler, "GET", "/groups", "", c.headers...)
		if code != c.code || (code != 200) != strings.Contains(body, `{"error":"`) || strings.Contains(body, "hunter") {
			t.Errorf("%s: %d %s, want %d", c.name, code, body, c.code)
		}
	}
	if code, body := ask(open, "POST", group+"pause", "{}", "Origin: https://evil.example"); code != 403 || !strings.Contains(body, `{"error":"a web page of another origin`) {
		t.Errorf("an order from another page: %d %s", code, body)
	}
}

func TestConfig(t *testing.T) {
	for _, c := range []struct{ address, token, wrong, listening string }{
		{"", "", "", ""},
		{":8081", "", "", "127.0.0.1:8081"},
		{"localhost:8081", "", "", "localhost:8081"},
		{"[::1]:0", "", "", "[::1]:0"},
		{"0.0.0.0:8081", "hunter2", "", "0.0.0.0:8081"},
		{"0.0.0.0:8081", "", "open to other machines and there is no token", ""},
		{"[::]:8081", "", "open to other machines", ""},
		{"10.1.2.3:8081", "", "open to other machines", ""},
		{"localhost.evil.example:1", "", "open to other machines", ""},
		{"8081", "", "not an address", ""},
		{":http", "", "no port", ""},
		{":8081", "hunter\n2", "visible ASCII", ""},
	} {
		config := admin.Config{Address: c.address, Token: secret.Text(c.token)}
		err := config.Validate()
		if (err == nil) != (c.wrong == "") || err != nil && (!strings.Contains(err.Error(), c.wrong) || strings.Contains(err.Error(), "hunter")) {
			t.Errorf("%v: %v, want %q", config, err, c.wrong)
		}
		if c.wrong == "" && config.Listening() != c.listening {
			t.Errorf("%v listens on %s", config, config.Listening())
		}
		var logged strings.Builder
		slog.New(slog.NewTextHandler(&logged, nil)).Info("", "config", config, "pointer", &config)
		for _, text := range []string{fmt.Sprintf("%v %+v %#v %s %x", config, config, config, config, config), logged.String()} {
			if strings.Contains(text, "hunter") || strings.Contains(text, "68756e746572") {
				t.Errorf("the token shows: %s", text)
			}
		}
	}
}

// TestServed makes a request over a real connection.
func TestServed(t *testing.T) {
	server := httptest.NewServer(admin.Handler(idle(t)))
	defer server.Close()
	response, err := server.Client().Get(server.URL + "/groups")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK || !strings.Contains(string(body), `"service":"idle"`) {
		t.Errorf("%d %s, %v", response.StatusCode, body, err)
	}
	server.Client().CloseIdleConnections()
}
