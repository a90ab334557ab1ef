package eventbus_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/transport/memory"
)

// logbook keeps log records as JSON, a line each.
type logbook struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *logbook) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logbook) logger(level slog.Level) *slog.Logger {
	return slog.New(slog.NewJSONHandler(b, &slog.HandlerOptions{Level: level}))
}

func (b *logbook) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// records returns the log records whose field has that value.
func (b *logbook) records(t *testing.T, field string, value any) (found []map[string]any) {
	t.Helper()
	for line := range strings.Lines(b.String()) {
		var r map[string]any
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		if r[field] == value {
			found = append(found, r)
		}
	}
	return found
}

// TestLogOfOneEvent follows an event by its id, and by its trace, from its
// publisher to its dead letter.
func TestLogOfOneEvent(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		l, topic := newListener(), orders(t)
		var book logbook
		c := l.config("sales-api")
		c.Logger = book.logger(slog.LevelDebug)
		bus := newBus(t, cluster, c)
		if err := eventbus.Subscribe(bus, topic, func(context.Context, order) error { return errBoom }); err != nil {
			t.Fatal(err)
		}
		if err := eventbus.NewPublisher(bus, topic).PublishWith(t.Context(), order{ID: "personal", Seq: 77123},
			eventbus.WithID("e-1"), eventbus.WithCorrelationID("story-1"), eventbus.WithCausationID("cause-1")); err != nil {
			t.Fatal(err)
		}
		start(t, bus) // only now, or the handler may be logged before the acknowledgement
		time.Sleep(time.Minute)
		synctest.Wait()
		closeBus(t, bus)

		var steps []string
		traced := 0
		for _, r := range book.records(t, "event_id", "e-1") {
			if attempt, ok := r["attempt"]; ok {
				steps = append(steps, fmt.Sprintf("%s %v #%v", r["level"], r["msg"], attempt))
			} else {
				steps = append(steps, fmt.Sprintf("%s %v", r["level"], r["msg"]))
			}
			if r["trace_id"] == l.spans.GetSpans()[0].SpanContext.TraceID().String() {
				traced++
			}
		}
		if want := []string{
			"DEBUG publishing", "DEBUG published",
			"DEBUG handling #1", "DEBUG handler failed #1", "WARN handler failed: its key waits for the next attempt",
			"DEBUG handling #2", "DEBUG handler failed #2", "DEBUG handler failed: its key waits for the next attempt",
			"DEBUG handling #3", "DEBUG handler failed #3",
			"DEBUG published", "WARN dead-lettered",
		}; !slices.Equal(steps, want) || traced != len(want) {
			t.Errorf("%d of these have the trace:\n%s\nwant\n%s", traced, strings.Join(steps, "\n"), strings.Join(want, "\n"))
		}
		waits := book.records(t, "msg", "handler failed: its key waits for the next attempt")
		for _, r := range waits {
			if wait, _ := r["wait"].(float64); wait < float64(time.Second/2) || wait > float64(2*time.Second) {
				t.Errorf("it waits for %v", r["wait"])
			}
		}
		for _, r := range slices.Concat(waits, book.records(t, "msg", "handler failed"), book.records(t, "msg", "dead-lettered")) {
			for field, want := range map[string]any{"keyed": true, "correlation_id": "story-1", "causation_id": "cause-1", "topic": ordersName, "cluster": "kafka", "group": "sales-api-test"} {
				if r[field] != want {
					t.Errorf("%s has %s %v, want %v", r["msg"], field, r[field], want)
				}
			}
		}
		for _, secret := range []string{"personal", "77123"} {
			if strings.Contains(book.String(), secret) {
				t.Errorf("the log shows %q, of the event's data or key", secret)
			}
		}
		if got := sum(l.collect(t)["eventbus.retries"], nil); got != 2 {
			t.Errorf("%v retries", got)
		}
	})
}

// TestLogFlood: a flood of poison events is logged, but does not flood the log.
func TestLogFlood(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		topic := orders(t)
		var book logbook
		c := config()
		c.Logger = book.logger(slog.LevelInfo)
		bus := newBus(t, cluster, c)
		if err := eventbus.Subscribe(bus, topic, func(context.Context, order) error { return eventbus.Permanent(errBoom) }); err != nil {
			t.Fatal(err)
		}
		start(t, bus)
		p := eventbus.NewPublisher(bus, topic)
		flood := func() {
			for i := range 200 {
				if err := p.Publish(t.Context(), order{ID: fmt.Sprint(i)}); err != nil {
					t.Fatal(err)
				}
			}
			synctest.Wait()
		}
		flood()
		if n := len(book.records(t, "level", "WARN")); n != 10 {
			t.Errorf("%d warnings of 200 dead letters, want 10", n)
		}
		time.Sleep(time.Second)
		flood()
		loud := book.records(t, "level", "WARN")
		if last := loud[len(loud)-1]; len(loud) != 11 || last["suppressed"] != 190.0 {
			t.Errorf("%d warnings, the last after %v suppressed ones", len(loud), last["suppressed"])
		}
		closeBus(t, bus)
	})
}
