package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/admin"
	"github.com/eventbus-go/eventbus/resilience"
	"github.com/eventbus-go/eventbus/transport/memory"
)

// TestReplay counts by default, and runs a group's handlers again over what it counted,
// within its bounds and with a reason.
func TestReplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		b, err := eventbus.New(memory.New(), eventbus.Config{
			Service: "sales-api", Environment: "Test", Source: "urn:sales", Logger: slog.New(slog.NewTextHandler(&log, nil)),
		})
		if err != nil {
			t.Fatal(err)
		}
		calls := map[string]int{}
		if err := eventbus.Subscribe(b, orders, func(_ context.Context, o order) error {
			calls[o.ID]++
			if o.ID == "bad" {
				return errors.New("no")
			}
			return nil
		}, eventbus.Retry(resilience.NoRetry()), eventbus.Concurrency(1)); err != nil {
			t.Fatal(err)
		}
		if err := b.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{"a", "bad", "c"} {
			if err := eventbus.NewPublisher(b, orders).Publish(t.Context(), order{id}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Minute) // in the bubble
		h := admin.Handler(b)
		const all = `{"topic":"` + topic + `","fromOffsets":{"0":0}`
		for body, want := range map[string]struct {
			code int
			says string
		}{
			`{"topic":"` + topic + `"}`:                             {400, "from or fromOffsets is needed"},
			`{"fromOffsets":{"0":0}}`:                               {400, "topic is needed"},
			all + `,"apply":true}`:                                  {400, "why is needed"},
			all + `,"most":-1}`:                                     {400, "below 0"},
			all + `,"apply":true,"why":"x","most":2}`:               {409, "3 events for the handlers, more than 2"},
			all + `,"types":["cat"]}`:                               {409, "no subscription handles"},
			`{"topic":"cats","fromOffsets":{"0":0}}`:                {404, "handles no topic"},
			`{"topic":"` + topic + `","fromOffsets":{"9":0}}`:       {409, "not a partition"},
			`{"topic":"` + topic + `","fromOffsets":{"0":0},"a":1}`: {400, "unknown field"},
		} {
			if code, said := ask(h, "POST", group+"replay", body); code != want.code || !strings.Contains(said, want.says) {
				t.Errorf("%s: %d %s, want %d with %q", body, code, said, want.code, want.says)
			}
		}
		// Of a topic with many partitions the offsets of all are taken.
		many := make([]string, 15_000)
		for p := range many {
			many[p] = fmt.Sprintf(`"%d":%d`, p, int64(1e13))
		}
		offsets := "{" + strings.Join(many, ",") + "}"
		if code, said := ask(h, "POST", group+"replay", `{"topic":"`+topic+`","fromOffsets":`+offsets+`,"toOffsets":`+offsets+`}`); code != 409 || !strings.Contains(said, "not a partition") {
			t.Errorf("of many partitions: %d %.300s", code, said)
		}
		if code, said := ask(h, "POST", "/groups/nobody/replay", all+"}"); code != 404 {
			t.Errorf("of no group: %d %s", code, said)
		}
		replay := func(body string) (r admin.Replayed) {
			code, said := ask(h, "POST", group+"replay", body)
			if err := json.Unmarshal([]byte(said), &r); err != nil || code != 200 || len(r.Partitions) != 1 {
				t.Fatalf("%d %s: %v", code, said, err)
			}
			return r
		}
		if r := replay(all + `}`); r.Applied || r.Partitions[0].Events["order"] != 3 || r.Partitions[0].Handled != 0 || calls["a"] != 1 {
			t.Errorf("the count is %+v, and a was handled %d times", r, calls["a"])
		}
		r := replay(all + `,"toOffsets":{"0":2},"apply":true,"who":"ann","why":"lost mails"}`)
		if p := r.Partitions[0]; !r.Applied || p.Handled != 1 || p.Failed != 1 || p.Next != 2 || len(r.Failures) != 1 || r.Error != "" {
			t.Errorf("it did %+v", r)
		}
		if calls["a"] != 2 || calls["bad"] != 2 || calls["c"] != 1 {
			t.Errorf("the handler was called %v", calls)
		}
		if r := replay(all + `,"keys":["c"],"apply":true,"why":"x"}`); r.Partitions[0].Handled != 1 || calls["a"] != 2 || calls["c"] != 2 {
			t.Errorf("by key it did %+v: %v", r, calls)
		}
		if err := b.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		if says := `who=ann why="lost mails"`; strings.Count(log.String(), says) != 2 {
			t.Errorf("%s is not in the log of begin and end:\n%s", says, log.String())
		}
	})
}

// deadlined is a ResponseWriter that fails after a deadline.
type deadlined struct {
	*httptest.ResponseRecorder
	deadline time.Time
}

func (d *deadlined) SetWriteDeadline(t time.Time) error {
	d.deadline = t
	return nil
}

func (d *deadlined) Write(b []byte) (int, error) {
	if !d.deadline.IsZero() && time.Now().After(d.deadline) {
		return 0, os.ErrDeadlineExceeded
	}
	return d.ResponseRecorder.Write(b)
}

// TestLongReplay: a replay of hours is answered, whatever the server's own deadline.
func TestLongReplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, err := eventbus.New(memory.New(), eventbus.Config{Service: "sales-api", Environment: "Test", Source: "urn:sales", Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		if err := eventbus.Subscribe(b, orders, func(ctx context.Context, _ order) error {
			if d, _ := eventbus.DeliveryFrom(ctx); d.Replay {
				time.Sleep(2 * time.Hour) // in the bubble
			}
			return nil
		}, eventbus.Timeout(3*time.Hour)); err != nil {
			t.Fatal(err)
		}
		if err := b.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := eventbus.NewPublisher(b, orders).Publish(t.Context(), order{"a"}); err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequestWithContext(t.Context(), "POST", "http://127.0.0.1"+group+"replay", strings.NewReader(`{"topic":"`+topic+`","fromOffsets":{"0":0},"apply":true,"why":"x"}`))
		r.RemoteAddr = "127.0.0.1:40000"
		w := &deadlined{httptest.NewRecorder(), time.Now().Add(30 * time.Second)}
		admin.Handler(b).ServeHTTP(w, r)
		if w.Code != 200 || !strings.Contains(w.Body.String(), `"handled":1`) {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		if err := b.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
	})
}
