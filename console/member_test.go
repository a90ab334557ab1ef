package console_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/console"
	"github.com/eventbus-go/eventbus/resilience"
	"github.com/eventbus-go/eventbus/secret"
	"github.com/eventbus-go/eventbus/transport/memory"
)

// TestOutboxHoldsUp: the first page says what waits in the outbox, and asks it once for all
// users. A relay that works off a backlog, and a quiet one, are no trouble.
func TestOutboxHoldsUp(t *testing.T) {
	const minute = time.Minute
	for name, c := range map[string]struct {
		relay console.OutboxRelay
		err   error
		says  string
	}{
		"nobody relays":    {relay: console.OutboxRelay{Name: "default", Pending: 12, Oldest: 7 * minute, Still: 8 * minute}, says: "12 events in the outbox wait for relay default, the oldest for 7 min: no process runs it"},
		"a relay hangs":    {relay: console.OutboxRelay{Name: "default", Holder: "p", Pending: 1, Oldest: 20 * minute, Still: 2 * minute}, says: "1 event in the outbox waits for relay default, the oldest for 20 min <a"},
		"Kafka refuses":    {relay: console.OutboxRelay{Name: "default", Holder: "p", Parked: 3}, says: "3 events in the outbox wait for an operator"},
		"no answer":        {err: errors.New("connection refused"), says: "the outbox does not answer"},
		"a backlog":        {relay: console.OutboxRelay{Name: "default", Holder: "p", Pending: 12, Oldest: 7 * minute, Still: time.Second}},
		"a quiet evening":  {relay: console.OutboxRelay{Name: "default", Holder: "p", Pending: 1, Oldest: time.Second, Still: 60 * minute}},
		"stopped and done": {relay: console.OutboxRelay{Name: "default", Still: 60 * minute}},
	} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int32
			h := newConsole(t, func(config *console.Config) {
				config.Outbox = func(context.Context) (console.OutboxStatus, error) {
					asked.Add(1)
					return console.OutboxStatus{Relays: []console.OutboxRelay{c.relay}}, c.err
				}
			})
			for range 2 {
				page := ask(h, "GET", "/", "").Body.String()
				if c.says == "" && strings.Contains(page, "in the outbox") || !strings.Contains(page, c.says) {
					t.Errorf("want %q in:\n%s", c.says, page)
				}
			}
			if n := asked.Load(); n != 1 {
				t.Errorf("asked %d times", n)
			}
		})
	}
}

// TestMemberAnswers: if something else answers at a member's address, the page says so and
// shows nothing in its place. A redirect is not followed, and gets no token.
func TestMemberAnswers(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("a redirect was followed, with %q", r.Header.Get("Authorization"))
	}))
	defer elsewhere.Close()
	for name, c := range map[string]struct {
		serve http.HandlerFunc
		says  string
	}{
		"a redirect":      {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, http.StatusFound) }, "redirects are not followed"},
		"no JSON":         {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<script>")) }, "not an inspection of a bus"},
		"a wrong token":   {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }, "refuses the token"},
		"a refusal":       {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, `{"error":"<b>no"}`, http.StatusConflict) }, "&lt;b&gt;no"},
		"without end":     {endless, "larger than"},
		"a broken answer": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(c.serve)
			defer server.Close()
			h := newConsole(t, func(config *console.Config) {
				config.Bus, config.Members = nil, []console.Member{{URL: server.URL, Token: secret.Text("hunter2")}}
			})
			body := ""
			for range 20 { // each waits a second for an answer
				if body = ask(h, "GET", "/members", "").Body.String(); !strings.Contains(body, "is being asked") {
					break
				}
			}
			if !strings.Contains(body, c.says) || !strings.Contains(body, "never heard") || strings.Contains(body, "hunter2") {
				t.Errorf("the page says %s", body[strings.Index(body, "<main"):])
			}
		})
	}
}

// TestMemberOverTLS: a member is accepted if a trusted authority signed its certificate, for
// the name under which it is asked. Otherwise it gets no token.
func TestMemberOverTLS(t *testing.T) {
	// By token, since the console of one case may still ask while the next one runs.
	var told sync.Map
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		told.Store(r.Header.Get("Authorization"), true)
		_, _ = w.Write([]byte(`{"service":"billing"}`))
	}))
	defer server.Close()
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // it would log each failed handshake
	own := x509.NewCertPool()
	own.AddCert(server.Certificate())
	for _, c := range []struct {
		name string
		tls  *tls.Config
		says string
	}{
		{"its authority is trusted", &tls.Config{RootCAs: own}, "billing"},
		{"the machine does not know it", nil, "certificate"},
		{"another authority is trusted", &tls.Config{RootCAs: x509.NewCertPool()}, "unknown authority"},
		{"another name", &tls.Config{RootCAs: own, ServerName: "billing.invalid"}, "billing.invalid"},
	} {
		t.Run(c.name, func(t *testing.T) {
			token := "of " + c.name
			h := newConsole(t, func(config *console.Config) {
				config.Bus, config.Members = nil, []console.Member{{URL: server.URL, Token: secret.Text(token), TLS: c.tls}}
			})
			body := ""
			for range 20 { // each waits a second for an answer
				if body = ask(h, "GET", "/members", "").Body.String(); !strings.Contains(body, "is being asked") {
					break
				}
			}
			trusted := c.says == "billing"
			_, got := told.Load("Bearer " + token)
			if !strings.Contains(body, c.says) || strings.Contains(body, "never heard") == trusted || got != trusted {
				t.Errorf("it got the token: %v, the page says %s", got, body[strings.Index(body, "<main"):])
			}
		})
	}
}

// endless answers until the client stops reading.
func endless(w http.ResponseWriter, _ *http.Request) {
	chunk := make([]byte, 1<<20)
	for {
		if _, err := w.Write(chunk); err != nil {
			return
		}
	}
}

// TestOrderWithoutAnAnswer: an order that may have arrived is not reported as refused,
// neither on the page nor in the log.
func TestOrderWithoutAnAnswer(t *testing.T) {
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	for name, c := range map[string]struct {
		serve http.HandlerFunc
		says  string
	}{
		"broken":          {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "perhaps carried out"},
		"a proxy's words": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGatewayTimeout) }, "perhaps carried out"},
		"refused":         {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, `{"error":"no"}`, http.StatusConflict) }, "Refused: no"},
		"nobody":          {nil, "Refused: "},
	} {
		t.Run(name, func(t *testing.T) {
			address := gone.URL
			if c.serve != nil {
				server := httptest.NewServer(c.serve)
				defer server.Close()
				server.Config.ErrorLog = log.New(io.Discard, "", 0)
				address = server.URL
			}
			var logged bytes.Buffer
			h := newConsole(t, func(config *console.Config) {
				config.Bus, config.Members, config.Logger = nil, []console.Member{{URL: address}}, slog.New(slog.NewTextHandler(&logged, nil))
			})
			w := ask(h, "POST", "/skip", url.Values{"member": {address}, "group": {"g"}, "topic": {"t"}, "partition": {"0"}, "offset": {"7"}, "why": {"x"}, "here": {"keys"}}.Encode())
			page := ask(h, "GET", "/"+w.Header().Get("Location"), "").Body.String()
			if !strings.Contains(page, c.says) || strings.Contains(logged.String(), "was refused") != strings.HasPrefix(c.says, "Refused") {
				t.Errorf("%d: the page says %s and the log %s", w.Code, page[strings.Index(page, "<main"):], &logged)
			}
		})
	}
}

// TestOrderToAnEarlierVersion: members of earlier versions refuse an offset beside unpark, and
// get the key. Those of version 0.1 refuse the fields who and why, and get the order without them.
func TestOrderToAnEarlierVersion(t *testing.T) {
	var given []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch {
		case r.Method != http.MethodPost:
			_, _ = w.Write([]byte(`{}`))
		case r.URL.Path == "/groups/g/unpark" && strings.Contains(string(body), `"offset"`):
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write([]byte(`{"error":"malformed body: json: unknown field \"offset\""}`))
		case strings.Contains(string(body), `"who"`):
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write([]byte(`{"error":"malformed body: json: unknown field \"who\""}`))
		default:
			given = append(given, string(body))
			_, _ = w.Write([]byte(`{}`))
		}
	}))
	defer server.Close()
	h := newConsole(t, func(config *console.Config) { config.Bus, config.Members = nil, []console.Member{{URL: server.URL}} })
	w := ask(h, "POST", "/skip", url.Values{"member": {server.URL}, "group": {"g"}, "topic": {"t"}, "partition": {"0"}, "offset": {"7"}, "why": {"x"}, "here": {"keys"}}.Encode())
	page := ask(h, "GET", "/"+w.Header().Get("Location"), "").Body.String()
	if len(given) != 1 || given[0] != `{"offset":7,"partition":0,"topic":"t"}` || !strings.Contains(page, "Offset 7 is passed over.") {
		t.Errorf("%d: %q, %s", w.Code, given, page[strings.Index(page, "<main"):])
	}
	ask(h, "POST", "/unpark", url.Values{"member": {server.URL}, "group": {"g"}, "topic": {"t"}, "partition": {"0"}, "offset": {"7"}, "key": {"YQ"}}.Encode())
	if len(given) != 2 || given[1] != `{"keyBase64":"YQ==","partition":0,"topic":"t"}` {
		t.Errorf("%q", given)
	}
}

// TestTryAgainThatEvent: of several events without a key that wait in a partition, the one
// whose button was pressed is tried again.
func TestTryAgainThatEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type metered struct {
			ID string `json:"id"`
		}
		bus, err := eventbus.New(memory.New(), eventbus.Config{Service: "billing", Environment: "Test", Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = bus.Close(context.Background()) })
		topic := eventbus.NewTopic(eventbus.TopicConfig[metered]{Domain: "sales", Name: "reading", Plural: true, Partitions: 1})
		var mu sync.Mutex
		attempts := make(map[string]int)
		if err := eventbus.Subscribe(bus, topic, func(_ context.Context, m metered) error {
			mu.Lock()
			defer mu.Unlock()
			if attempts[m.ID]++; attempts[m.ID] == 1 {
				return eventbus.RetryAfter(time.Hour, errors.New("not yet"))
			}
			return nil
		}, eventbus.Group("billing"), eventbus.Ordered(eventbus.Unordered), eventbus.Retry(resilience.Retry{Elapsed: 2 * time.Hour})); err != nil {
			t.Fatal(err)
		}
		if err := bus.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{"m-0", "m-1", "m-2"} {
			if err := eventbus.NewPublisher(bus, topic).Publish(t.Context(), metered{id}); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		h := newConsole(t, func(c *console.Config) { c.Bus = bus })
		page := ask(h, "GET", "/keys", "").Body.String()
		rows := strings.SplitAfter(page, "</tr>")
		at := slices.IndexFunc(rows, func(row string) bool { return strings.Contains(row, "/0@1<") })
		if at < 0 {
			t.Fatalf("no row of offset 1: %s", page[strings.Index(page, "<main"):])
		}
		order := form(t, "<main>"+rows[at], "unpark")
		if w := ask(h, "POST", "/unpark", order.Encode()); w.Code != http.StatusSeeOther {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		if want := map[string]int{"m-0": 1, "m-1": 2, "m-2": 1}; !maps.Equal(attempts, want) {
			t.Errorf("attempts %v, want %v", attempts, want)
		}
	})
}
