package console_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/admin"
	"github.com/eventbus-go/eventbus/console"
	"github.com/eventbus-go/eventbus/resilience"
	"github.com/eventbus-go/eventbus/secret"
	"github.com/eventbus-go/eventbus/transport/memory"
)

type paid struct {
	ID string `json:"id" eventbus:"key"`
}

// replayed is a bus whose group has handled three events. do is what its handler does now.
type replayed struct {
	bus   *eventbus.Bus
	calls atomic.Int64
	do    atomic.Pointer[func(context.Context, paid) error]
}

func newReplayed(t *testing.T) *replayed {
	t.Helper()
	bus, err := eventbus.New(memory.New(), eventbus.Config{Service: "billing", Environment: "Test", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = bus.Close(context.Background()) })
	r := &replayed{bus: bus}
	handled := make(chan struct{}, 100)
	topic := eventbus.NewTopic(eventbus.TopicConfig[paid]{Domain: "sales", Name: "payment", Plural: true, Partitions: 1})
	if err := eventbus.Subscribe(bus, topic, func(ctx context.Context, p paid) error {
		r.calls.Add(1)
		handled <- struct{}{}
		if do := r.do.Load(); do != nil {
			return (*do)(ctx, p)
		}
		return nil
	}, eventbus.Group("billing"), eventbus.Retry(resilience.NoRetry())); err != nil {
		t.Fatal(err)
	}
	if err := bus.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	publisher := eventbus.NewPublisher(bus, topic)
	for _, id := range []string{"p-1", "p-2", "p-3"} {
		if err := publisher.Publish(t.Context(), paid{id}); err != nil {
			t.Fatal(err)
		}
		<-handled
	}
	return r
}

// form returns the fields of a page's form with the given action.
func form(t *testing.T, page, action string) url.Values {
	t.Helper()
	_, after, ok := strings.Cut(page, `action="`+action+`"`)
	if !ok {
		t.Fatalf("no form leads to %s: %s", action, page[strings.Index(page, "<main"):])
	}
	body, _, _ := strings.Cut(after, "</form>")
	all := make(url.Values)
	for _, m := range regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)"`).FindAllStringSubmatch(body, -1) {
		all.Add(m[1], html.UnescapeString(m[2]))
	}
	if m := regexp.MustCompile(`<option value="([^"]*)"`).FindStringSubmatch(body); m != nil {
		all.Set("handlers", html.UnescapeString(m[1]))
	}
	return all
}

// TestReplay: handlers run again over a counted window, if the user gives a reason, in this
// process and at a member.
func TestReplay(t *testing.T) {
	for _, where := range []string{"this process", "a member"} {
		t.Run(where, func(t *testing.T) {
			r := newReplayed(t)
			member := httptest.NewServer(admin.Handler(r.bus))
			defer member.Close()
			var log bytes.Buffer
			h := newConsole(t, func(c *console.Config) {
				c.Tokens, c.Logger = []console.Token{{Name: "alice", Value: secret.Text("hunter2")}}, slog.New(slog.NewTextHandler(&log, nil))
				if c.Bus = r.bus; where == "a member" {
					c.Bus, c.Members = nil, []console.Member{{URL: member.URL}}
				}
			})
			login := ask(h, "POST", "/login", "token=hunter2")
			cookie := "Cookie: " + strings.Split(login.Header().Get("Set-Cookie"), ";")[0]
			get := func(at string) string { return ask(h, "GET", at, "", cookie).Body.String() }

			asked := form(t, get("/replays"), "replay-plan")
			plan := func(more ...string) *httptest.ResponseRecorder {
				q := url.Values{"handlers": asked["handlers"]}
				for i := 0; i < len(more); i += 2 {
					q.Set(more[i], more[i+1])
				}
				return ask(h, "GET", "/replay-plan?"+q.Encode(), "", cookie)
			}
			unfinished := plan("types", "paid", "key", "p-2", "to", "2030-01-01T00:00")
			for _, want := range []string{"The dry run needs more: give a start", `action="replay-plan"`, `" selected>`, `value="paid"`, `value="p-2"`, `value="2030-01-01T00:00"`} {
				if body := unfinished.Body.String(); unfinished.Code != http.StatusBadRequest || !strings.Contains(body, want) {
					t.Errorf("without a time: %d, want %q in %s", unfinished.Code, want, body)
				}
			}
			elsewhere := url.Values{"member": {"http://192.0.2.1"}, "group": {"billing"}, "topic": {"t"}}.Encode()
			if w := plan("handlers", elsewhere, "from", "2020-01-01T00:00"); w.Code != http.StatusNotFound {
				t.Errorf("a member that nobody configured: %d", w.Code)
			}
			if w := plan("from", "2020-01-01T00:00", "types", "other"); w.Code != http.StatusConflict && !strings.Contains(w.Body.String(), "0 events") {
				t.Errorf("of another type: %d %s", w.Code, w.Body)
			}
			if body := plan("from", "2020-01-01T00:00", "key", "p-2").Body.String(); !strings.Contains(body, "<strong>1 event</strong>") {
				t.Errorf("of one key: %s", body)
			}
			dry := plan("from", "2020-01-01T00:00").Body.String()
			if !strings.Contains(dry, "<strong>3 events</strong> would be handled again") || r.calls.Load() != 3 {
				t.Fatalf("%d calls after the dry run, which says %s", r.calls.Load(), dry)
			}
			order := form(t, dry, "start-replay")
			if w := ask(h, "POST", "/start-replay", order.Encode(), cookie); w.Code != http.StatusBadRequest {
				t.Errorf("without a reason: %d", w.Code)
			}
			order.Set("why", "mails were lost")
			for _, bad := range []string{"0@0-3 or so", "0@3-0", "0@0", "x@0-3", "0@-1-3", ","} {
				wrong := maps.Clone(order)
				wrong.Set("offsets", bad)
				if w := ask(h, "POST", "/start-replay", wrong.Encode(), cookie); w.Code != http.StatusBadRequest {
					t.Errorf("the offsets %q: %d", bad, w.Code)
				}
			}
			doubled := maps.Clone(order)
			doubled.Set("offsets", "0@0-3,1@0-3,0@2-3")
			if w := ask(h, "POST", "/start-replay", doubled.Encode(), cookie); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "have partition 0 twice") {
				t.Errorf("a partition twice: %d", w.Code)
			}
			if w := ask(h, "POST", "/start-replay", order.Encode(), cookie, "Origin: http://evil.example", "Sec-Fetch-Site: cross-site"); w.Code != http.StatusForbidden {
				t.Errorf("of another origin: %d", w.Code)
			}
			if w := ask(h, "POST", "/start-replay", asked.Encode()+"&why=x&from=2020-01-01T00:00", cookie); w.Code != http.StatusBadRequest {
				t.Errorf("without a dry run: %d", w.Code)
			}
			// The order covers the counted events, and not those published since.
			refuses := func(context.Context, paid) error { return errors.New("no funds") }
			r.do.Store(&refuses)
			if w := ask(h, "POST", "/start-replay", order.Encode(), cookie); w.Code != http.StatusSeeOther {
				t.Fatalf("%d: %s", w.Code, w.Body)
			}
			page := get("/replays")
			for _, want := range []string{"<strong>done</strong>", "0 of 3", "<strong>3</strong>", "alice", "mails were lost", "no funds"} {
				if !strings.Contains(page, want) {
					t.Errorf("%q is missing in %s", want, page[strings.Index(page, "<main"):])
				}
			}
			if n := r.calls.Load(); n != 6 {
				t.Errorf("the handler ran %d times, want 6", n)
			}
			if text := log.String(); !strings.Contains(text, `order=replay who=alice why="mails were lost"`) || !strings.Contains(text, "a replay ended") {
				t.Errorf("the log has %s", text)
			}
			order.Set("expected", "2")
			ask(h, "POST", "/start-replay", order.Encode(), cookie)
			if page := get("/replays"); !strings.Contains(page, "<strong>failed</strong>") || !strings.Contains(page, "3 events for the handlers, more than 2") || r.calls.Load() != 6 {
				t.Errorf("more events than were agreed to: %d calls, %s", r.calls.Load(), page[strings.Index(page, "<main"):])
			}
		})
	}
}

// TestReplayIsStopped: a stop ends a replay cleanly, and only one replay at a time runs over
// the same handlers.
func TestReplayIsStopped(t *testing.T) {
	r := newReplayed(t)
	member := httptest.NewServer(admin.Handler(r.bus))
	defer member.Close()
	h := newConsole(t, func(c *console.Config) { c.Bus, c.Members = nil, []console.Member{{URL: member.URL}} })
	entered, left := make(chan struct{}), make(chan struct{})
	waits := func(ctx context.Context, _ paid) error {
		close(entered)
		<-ctx.Done()
		close(left)
		return ctx.Err()
	}
	q := url.Values{"handlers": form(t, ask(h, "GET", "/replays", "").Body.String(), "replay-plan")["handlers"], "from": {"2020-01-01T00:00"}, "key": {"p-1"}}
	order := form(t, ask(h, "GET", "/replay-plan?"+q.Encode(), "").Body.String(), "start-replay")
	order.Set("why", "a test")
	r.do.Store(&waits)
	if w := ask(h, "POST", "/start-replay", order.Encode()); w.Code != http.StatusSeeOther {
		t.Fatalf("%d: %s", w.Code, w.Body)
	}
	<-entered
	if w := ask(h, "POST", "/start-replay", order.Encode()); w.Code != http.StatusConflict {
		t.Errorf("a second one: %d", w.Code)
	}
	stop := form(t, ask(h, "GET", "/replays", "").Body.String(), "stop-replay")
	if w := ask(h, "POST", "/stop-replay", stop.Encode()); w.Code != http.StatusBadRequest {
		t.Errorf("without a reason: %d", w.Code)
	}
	stop.Set("why", "too many")
	if w := ask(h, "POST", "/stop-replay", stop.Encode()); w.Code != http.StatusSeeOther {
		t.Errorf("%d: %s", w.Code, w.Body)
	}
	<-left
	if err := h.Close(t.Context()); err != nil { // which waits for the replay's end
		t.Fatal(err)
	}
	if page := ask(h, "GET", "/replays", "").Body.String(); !strings.Contains(page, "<strong>stopped</strong>") || !strings.Contains(page, "too many") {
		t.Errorf("%s", page[strings.Index(page, "<main"):])
	}
	if w := ask(h, "POST", "/start-replay", order.Encode()); w.Code != http.StatusServiceUnavailable && w.Code != http.StatusConflict {
		t.Errorf("after the end: %d", w.Code)
	}
}

// TestReplayOfManyPartitions: an order has the offsets of all partitions of a large topic, on
// its way from the form to the member.
func TestReplayOfManyPartitions(t *testing.T) {
	const partitions = 15_000
	asked := make(chan int, 1)
	member := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			http.NotFound(w, r)
			return
		}
		var order struct{ FromOffsets, ToOffsets map[int32]int64 }
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = json.Unmarshal(body, &order)
		}
		if err != nil || len(body) > 1<<20 {
			t.Errorf("%d bytes, %v", len(body), err)
		}
		asked <- min(len(order.FromOffsets), len(order.ToOffsets))
		_, _ = w.Write([]byte(`{"partitions":[]}`))
	}))
	defer member.Close()
	h := newConsole(t, func(c *console.Config) { c.Bus, c.Members = nil, []console.Member{{URL: member.URL}} })
	offsets := make([]string, partitions)
	for p := range offsets {
		offsets[p] = fmt.Sprintf("%d@%d-%d", p, int64(1e13), int64(2e13))
	}
	order := url.Values{
		"handlers": {url.Values{"member": {member.URL}, "group": {"billing"}, "topic": {"payments"}}.Encode()}, "offsets": {strings.Join(offsets, ",")},
		"expected": {"1"}, "why": {"mails were lost"},
	}
	if w := ask(h, "POST", "/start-replay", order.Encode()); w.Code != http.StatusSeeOther {
		t.Fatalf("%d: %.300s", w.Code, w.Body)
	}
	if n := <-asked; n != partitions {
		t.Errorf("the member is asked for %d partitions, want %d", n, partitions)
	}
}
