package eventbus_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/transport"
	"github.com/eventbus-go/eventbus/transport/memory"
)

const ordersGroup = "sales-api-test"

// listed publishes events, one a minute, and returns when the first was.
func listed(t *testing.T, bus *eventbus.Bus, topic *eventbus.Topic[order], events ...order) (first time.Time) {
	t.Helper()
	first = time.Now()
	p := eventbus.NewPublisher(bus, topic)
	for _, o := range events {
		must(t, p.Publish(t.Context(), o))
		pass(time.Minute)
	}
	return first
}

// noting returns a handler that records orders in s, and marks those of a replay.
func noting(s *story) func(context.Context, order) error {
	return func(ctx context.Context, o order) error {
		mark := ""
		if d, _ := eventbus.DeliveryFrom(ctx); d.Replay {
			mark = "~"
		}
		s.add("%s%s%d", mark, o.ID, o.Seq)
		return nil
	}
}

// TestReplayLeavesTheGroupAlone: the same handlers run over a window of time, in
// key order, beside the live group, whose commits stay as they are.
func TestReplayLeavesTheGroupAlone(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		bus, topic := newBus(t, cluster, config()), orders(t)
		var s story
		subscription := eventbus.On(topic, noting(&s))
		must(t, bus.Add(subscription))
		start(t, bus)
		first := listed(t, bus, topic, order{"a", 0}, order{"b", 0}, order{"a", 1}, order{"a", 2}, order{"b", 1}, order{"a", 3})
		before, members := cluster.Committed(ordersGroup), cluster.Members(ordersGroup)
		if len(before) == 0 || keyed(s.String(), "a") != "a0 a1 a2 a3" {
			t.Fatalf("the live group handled %s and committed %v", &s, before)
		}

		report, err := bus.Operator().Replay(t.Context(), eventbus.ReplayConfig{From: first.Add(time.Minute), To: first.Add(5 * time.Minute)}, subscription)
		must(t, err)
		if a, b := keyed(s.String(), "~a"), keyed(s.String(), "~b"); a != "~a1 ~a2" || b != "~b0 ~b1" {
			t.Errorf("replayed %q and %q, want a1 a2 and b0 b1", a, b)
		}
		if report.Events() != 4 || report.Handled() != 4 || report.Failed() != 0 || len(report.Partitions) != 3 {
			t.Errorf("the report is %+v", report)
		}
		for _, p := range report.Partitions {
			if p.Next != p.To || p.Removed != 0 {
				t.Errorf("%v came to %d of [%d, %d)", p.Partition, p.Next, p.From, p.To)
			}
		}
		pass(time.Minute)
		if after := cluster.Committed(ordersGroup); !maps.Equal(before, after) {
			t.Errorf("the group committed %v before the replay, and %v after", before, after)
		}
		if groups := cluster.Groups(); !slices.Equal(groups, []string{ordersGroup}) || len(cluster.Members(ordersGroup)) != len(members) {
			t.Errorf("groups %v with members %v", groups, cluster.Members(ordersGroup))
		}
		closeBus(t, bus)
	})
}

// TestReplayEnds: a replay ends where the log ended when it began, even if the
// handlers write to the same log; and it needs no started bus.
func TestReplayEnds(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		bus, topic := newBus(t, cluster, config()), orders(t)
		must(t, cluster.Admin().CreateTopics(t.Context(), transport.TopicSpec{Name: ordersName, Partitions: 3}))
		p := eventbus.NewPublisher(bus, topic)
		listed(t, bus, topic, order{"a", 0}, order{"b", 0}, order{"c", 0})
		report, err := bus.Operator().Replay(t.Context(), eventbus.ReplayConfig{}, eventbus.On(topic, func(ctx context.Context, o order) error {
			return p.Publish(ctx, order{o.ID, o.Seq + 1})
		}))
		must(t, err)
		if n := len(cluster.Records(ordersName)); report.Handled() != 3 || n != 6 {
			t.Errorf("handled %d of 3 events, and %d are in the log, want 6", report.Handled(), n)
		}
		empty, err := bus.Operator().Replay(t.Context(), eventbus.ReplayConfig{From: time.Now().Add(time.Hour)}, eventbus.On(topic, noting(&story{})))
		if err != nil || empty.Events() != 0 || len(empty.Partitions) != 3 {
			t.Errorf("a window after the end: %+v, %v", empty, err)
		}
		closeBus(t, bus)
	})
}

// TestReplayFilters: keys and types choose events, in a dry run as in a real one.
func TestReplayFilters(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		bus, topic := newBus(t, cluster, config()), orders(t)
		must(t, cluster.Admin().CreateTopics(t.Context(), transport.TopicSpec{Name: ordersName, Partitions: 3}))
		returned := eventbus.NewTopic(eventbus.TopicConfig[order]{
			Domain: "sales", Name: "order", Plural: true, Partitions: 3, Type: "returned", Key: func(o order) string { return o.ID },
		})
		listed(t, bus, topic, order{"a", 0}, order{"b", 0}, order{"a", 1})
		listed(t, bus, returned, order{"a", 2}, order{"b", 1})
		must(t, eventbus.NewPublisher(bus, topic).Delete(t.Context(), "a"))
		raw(t, cluster, transport.Record{Topic: ordersName, Key: []byte("a"), Value: []byte("no event")})

		var s story
		subscriptions := []eventbus.Subscription{
			eventbus.On(topic, func(_ context.Context, o order) error { s.add("%s%d", o.ID, o.Seq); return nil }),
			eventbus.On(returned, func(_ context.Context, o order) error { s.add("%s%d(returned)", o.ID, o.Seq); return nil }),
			eventbus.OnDelete(topic, func(_ context.Context, key string) error { s.add("%s(deleted)", key); return nil }),
		}
		for _, c := range []struct {
			what          string
			config        eventbus.ReplayConfig
			subscriptions []eventbus.Subscription
			want          string
			events        map[string]int64
		}{
			{"everything", eventbus.ReplayConfig{}, subscriptions, "a0 a1 a2(returned) a(deleted) b0 b1(returned)",
				map[string]int64{"order": 3, "returned": 2, eventbus.ReplayTombstones: 1, eventbus.ReplayMalformed: 1}},
			{"a key", eventbus.ReplayConfig{Keys: []string{"a", "z"}}, subscriptions, "a0 a1 a2(returned) a(deleted)",
				map[string]int64{"order": 2, "returned": 1, eventbus.ReplayTombstones: 1, eventbus.ReplayMalformed: 1}},
			{"a type", eventbus.ReplayConfig{Types: []string{"returned"}}, subscriptions, "a2(returned) b1(returned)",
				map[string]int64{"returned": 2}},
			{"key and type", eventbus.ReplayConfig{Keys: []string{"b"}, Types: []string{"returned"}}, subscriptions, "b1(returned)",
				map[string]int64{"returned": 1}},
			{"one handler", eventbus.ReplayConfig{Keys: []string{"b"}}, subscriptions[:1], "b0",
				map[string]int64{"order": 1}},
		} {
			for _, dry := range []bool{true, false} {
				s.clear()
				c.config.DryRun = dry
				report, err := bus.Operator().Replay(t.Context(), c.config, c.subscriptions...)
				must(t, err)
				events := make(map[string]int64)
				for _, p := range report.Partitions {
					for typ, n := range p.Events {
						events[typ] += n
					}
				}
				if !maps.Equal(events, c.events) {
					t.Errorf("%s, dry %t: counted %v, want %v", c.what, dry, events, c.events)
				}
				malformed := c.events[eventbus.ReplayMalformed]
				switch got := strings.Join(strings.Fields(keyed(s.String(), "a")+" "+keyed(s.String(), "b")), " "); {
				case dry && (got != "" || report.Handled() != 0 || report.Failed() != 0 || report.Partitions[0].Next != report.Partitions[0].From):
					t.Errorf("%s: the dry run handled %q, and reports %+v", c.what, got, report)
				case !dry && (got != c.want || report.Handled() != report.Events()-malformed || report.Failed() != malformed):
					t.Errorf("%s: handled %q, want %q; the report is %+v", c.what, got, c.want, report)
				}
			}
		}
		if letters := cluster.Records(orderLetters); len(letters) > 0 {
			t.Errorf("%d dead letters", len(letters))
		}
		closeBus(t, bus)
	})
}

// TestReplayFailures: events that fail permanently are reported, instead of a dead
// letter or in addition, and hold up only their own keys.
func TestReplayFailures(t *testing.T) {
	for _, deadLetter := range []bool{false, true} {
		t.Run(fmt.Sprintf("DeadLetter=%t", deadLetter), func(t *testing.T) {
			run(t, func(t *testing.T, cluster *memory.Cluster) {
				bus, topic := newBus(t, cluster, config()), orders(t)
				must(t, cluster.Admin().CreateTopics(t.Context(), transport.TopicSpec{Name: ordersName, Partitions: 1}))
				listed(t, bus, topic, order{"a", 0}, order{"b", 0}, order{"a", 1}, order{"c", 0})
				cause := errors.New("no such order")
				var s story
				report, err := bus.Operator().Replay(t.Context(), eventbus.ReplayConfig{DeadLetter: deadLetter, MaxFailures: 1},
					eventbus.On(topic, func(ctx context.Context, o order) error {
						d, _ := eventbus.DeliveryFrom(ctx)
						s.add("%s%d#%d", o.ID, o.Seq, d.Attempt)
						if o.Seq == 0 && o.ID != "b" {
							return cause
						}
						return nil
					}))
				must(t, err)
				if got := keyed(s.String(), "a"); got != "a0#1 a0#2 a0#3 a1#1" {
					t.Errorf("handled %s", got)
				}
				if report.Handled() != 2 || report.Failed() != 2 || len(report.Failures) != 1 {
					t.Fatalf("the report is %+v", report)
				}
				f := report.Failures[0]
				if !errors.Is(f.Err, cause) || f.Attempts != 3 || f.Reason != "exhausted" || f.Type != "order" || f.EventID == "" || f.Topic != ordersName || f.Time.IsZero() {
					t.Errorf("the failure is %+v", f)
				}
				if got, want := report.Partitions[0].String(), ordersName+"/0 [0, 4) at 4: 4 events, 2 handled, 2 failed"; got != want {
					t.Errorf("the partition is %q, want %q", got, want)
				}
				if got, want := f.String(), fmt.Sprintf("order %q at %s/0@%d, exhausted after 3 attempts: ", f.EventID, ordersName, f.Offset); !strings.HasPrefix(got, want) || !strings.HasSuffix(got, cause.Error()) {
					t.Errorf("the failure is %q, want %q…", got, want)
				}
				if n := len(letters(cluster, orderLetters)); n != 0 && !deadLetter || n != 2 && deadLetter {
					t.Errorf("%d dead letters", n)
				}
				closeBus(t, bus)
			})
		})
	}
}

// TestReplayBatches: events of a batch that were handled are counted once.
func TestReplayBatches(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		bus, topic := newBus(t, cluster, config()), orders(t)
		must(t, cluster.Admin().CreateTopics(t.Context(), transport.TopicSpec{Name: ordersName, Partitions: 1}))
		listed(t, bus, topic, order{"a", 0}, order{"b", 0}, order{"a", 1}, order{"b", 1}, order{"a", 2})
		report, err := bus.Operator().Replay(t.Context(), eventbus.ReplayConfig{}, eventbus.OnBatch(topic, func(_ context.Context, batch []order) error {
			failed := &eventbus.BatchError{Errors: make(map[int]error)}
			for i, o := range batch {
				if o == (order{"a", 1}) {
					failed.Errors[i] = errors.New("poison")
				}
			}
			if len(failed.Errors) > 0 {
				return failed
			}
			return nil
		}))
		must(t, err)
		if report.Events() != 5 || report.Handled() != 4 || report.Failed() != 1 {
			t.Errorf("the report is %+v", report)
		}
		closeBus(t, bus)
	})
}

// TestReplayGoesOn: a cancelled replay finishes running handlers, and one with
// After continues from there, up to the same end.
func TestReplayGoesOn(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		bus, topic := newBus(t, cluster, config()), orders(t)
		must(t, cluster.Admin().CreateTopics(t.Context(), transport.TopicSpec{Name: ordersName, Partitions: 3}))
		var events []order
		for n := range 30 {
			events = append(events, order{string(rune('a' + n%5)), n})
		}
		listed(t, bus, topic, events...)
		ctx, cancel := context.WithCancel(t.Context())
		var s story
		window := eventbus.ReplayConfig{}
		report, err := bus.Operator().Replay(ctx, window, eventbus.On(topic, func(handling context.Context, o order) error {
			if o.Seq >= 10 {
				cancel()
			}
			pass(time.Second)
			s.add("%s%d", o.ID, o.Seq)
			return handling.Err()
		}, eventbus.Concurrency(1)))
		if !errors.Is(err, context.Canceled) || report.Handled() == 0 || report.Handled() == 30 {
			t.Fatalf("cancelled: %v, %+v", err, report)
		}
		listed(t, bus, topic, order{"a", 99})
		rest, err := bus.Operator().Replay(t.Context(), window.After(report), eventbus.On(topic, noting(&s)))
		must(t, err)
		if report.Handled()+rest.Handled() < 30 {
			t.Errorf("handled %d and then %d of 30", report.Handled(), rest.Handled())
		}
		for i := range rest.Partitions {
			if rest.Partitions[i].From != report.Partitions[i].Next || rest.Partitions[i].Next != report.Partitions[i].To {
				t.Errorf("the first came to %+v, the second to %+v", report.Partitions[i], rest.Partitions[i])
			}
		}
		seen := strings.ReplaceAll(s.String(), "~", "") + " "
		for _, o := range events {
			if !strings.Contains(seen, fmt.Sprintf("%s%d ", o.ID, o.Seq)) {
				t.Errorf("%v was never handled", o)
			}
		}
		if strings.Contains(seen, "a99 ") {
			t.Error("an event after the first window's end was handled")
		}
		closeBus(t, bus)
	})
}

// TestReplayEndsWithTheBus: Close waits for the running handler, and the report
// covers what was done.
func TestReplayEndsWithTheBus(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		bus, topic := newBus(t, cluster, config()), orders(t)
		must(t, cluster.Admin().CreateTopics(t.Context(), transport.TopicSpec{Name: ordersName, Partitions: 1}))
		listed(t, bus, topic, order{"a", 0}, order{"a", 1})
		running, release := make(chan struct{}), make(chan struct{})
		type result struct {
			report eventbus.ReplayReport
			err    error
		}
		ended := make(chan result, 1)
		go func() {
			report, err := bus.Operator().Replay(t.Context(), eventbus.ReplayConfig{}, eventbus.On(topic, func(context.Context, order) error {
				close(running)
				<-release
				return nil
			}))
			ended <- result{report, err}
		}()
		<-running
		closed := make(chan error, 1)
		go func() { closed <- bus.Close(context.Background()) }()
		synctest.Wait()
		select {
		case err := <-closed:
			t.Fatalf("Close returned while a replay's handler ran: %v", err)
		default:
		}
		close(release)
		must(t, <-closed)
		if r := <-ended; !errors.Is(r.err, eventbus.ErrClosed) || r.report.Handled() != 1 || r.report.Partitions[0].Next != 1 {
			t.Errorf("the replay ended with %v and %+v", r.err, r.report)
		}
		if _, err := bus.Operator().Replay(t.Context(), eventbus.ReplayConfig{}, eventbus.On(topic, noting(&story{}))); !errors.Is(err, eventbus.ErrClosed) {
			t.Errorf("a replay on a closed bus: %v, want ErrClosed", err)
		}
	})
}

// raw writes a record as it is.
func raw(t *testing.T, cluster *memory.Cluster, r transport.Record) {
	t.Helper()
	p, err := cluster.NewProducer(transport.ProducerConfig{})
	must(t, err)
	defer func() { must(t, p.Close(context.Background())) }()
	done := make(rawWritten, 1)
	must(t, p.Produce(t.Context(), &r, done))
	must(t, <-done)
}

type rawWritten chan error

func (w rawWritten) Done(_ transport.Position, err error) { w <- err }

func (s *story) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = nil
}
