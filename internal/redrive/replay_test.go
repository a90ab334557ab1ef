package redrive_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/internal/letter"
	"github.com/eventbus-go/eventbus/internal/redrive"
	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/kafkatest"
	"github.com/eventbus-go/eventbus/resilience"
	"github.com/eventbus-go/eventbus/transport"
)

func TestMain(m *testing.M) {
	child()
	goleak.VerifyTestMain(m)
}

type order struct {
	ID  string `json:"id"`
	Seq int    `json:"seq"`
}

var orders = eventbus.NewTopic(eventbus.TopicConfig[order]{
	Domain: "shop", Name: "orders", Partitions: 4, Key: func(o order) string { return o.ID },
})

// shop is a service whose handler fails until it is repaired, with the resulting
// dead letters.
type shop struct {
	*kafkatest.Cluster
	cluster *kafka.Transport
	client  *redrive.Client
	mended  atomic.Bool

	came    chan struct{} // for every event that is handled
	mu      sync.Mutex
	handled map[string][]string // by key: sequence numbers, with the redeliveries
}

var errBroken = errors.New("order 17 of customer 4711 can't be billed")

// events is how many events of each key are dead-lettered.
const (
	keys   = 5
	events = 8
)

func open(t *testing.T, cluster *kafkatest.Cluster) *shop {
	t.Helper()
	s := &shop{Cluster: cluster, handled: make(map[string][]string), came: make(chan struct{}, 10*keys*events)}
	s.cluster = kafka.New(kafka.Config{Brokers: cluster.Brokers()})
	t.Cleanup(func() { _ = s.cluster.Close(context.Background()) })
	s.client = s.operator("ann@desk")
	cluster.Start(t, eventbus.On(orders, s.handle, eventbus.Group("billing"), eventbus.Retry(resilience.Retry{Attempts: 1})))
	for seq := range events {
		for key := range keys {
			kafkatest.Publish(t, cluster, orders, order{fmt.Sprint("k", key), seq})
		}
	}
	cluster.Settle(t)
	return s
}

func (s *shop) handle(ctx context.Context, o order) error {
	if !s.mended.Load() {
		return errBroken
	}
	e, _ := eventbus.EnvelopeFrom(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handled[o.ID] = append(s.handled[o.ID], fmt.Sprintf("%d/%d", o.Seq, e.Redeliveries))
	s.came <- struct{}{}
	return nil
}

// operator returns a Client that stands for another process.
func (s *shop) operator(who string) *redrive.Client {
	return redrive.New(s.cluster, redrive.Config{Who: who, Create: true})
}

// box returns the name of the dead-letter topic.
func (s *shop) box() string { return orders.In(s.Environment()) + ".billing.dlq" }

func (s *shop) letters(t *testing.T) *redrive.Box {
	t.Helper()
	b, err := s.client.Open(t.Context(), s.box())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// order returns o with the box, a name and a reason.
func (s *shop) order(o redrive.Order) redrive.Order {
	o.Topic, o.Who, o.Why = s.box(), "ann@desk", "ticket 12"
	return o
}

// do runs a job to its end.
func (s *shop) do(t *testing.T, o redrive.Order) redrive.Tally {
	t.Helper()
	j, err := s.client.Start(t.Context(), s.order(o), redrive.Run{})
	if err != nil || j.State != redrive.Done {
		t.Fatalf("%s: %+v, %v", o.Action, j, err)
	}
	return j.Done
}

func (s *shop) plan(t *testing.T, o redrive.Order) redrive.Tally {
	t.Helper()
	would, err := s.client.Plan(t.Context(), s.order(o), nil)
	if err != nil {
		t.Fatal(err)
	}
	return would.Tally
}

// all checks that every event was handled once, in order, after one redelivery.
func (s *shop) all(t *testing.T) {
	t.Helper()
	// Records can be read only some time after their commit, so Settle might be too
	// early.
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for range keys * events {
		select {
		case <-s.came:
		case <-ctx.Done():
			t.Fatal("not all events come back")
		}
	}
	s.none(t)
}

// none checks that no more events have come.
func (s *shop) none(t *testing.T) {
	t.Helper()
	s.Settle(t)
	s.mu.Lock()
	defer s.mu.Unlock()
	var want []string
	for seq := range events {
		want = append(want, fmt.Sprintf("%d/1", seq))
	}
	for key := range keys {
		if got := s.handled[fmt.Sprint("k", key)]; !slices.Equal(got, want) {
			t.Errorf("key %d: handled %v, want %v", key, got, want)
		}
	}
}

// everywhere runs a test on the in-process broker, and on the brokers that
// EVENTBUS_TEST_BROKERS names.
func everywhere(t *testing.T, body func(*testing.T, *shop)) {
	t.Run("Broker", func(t *testing.T) { body(t, open(t, kafkatest.NewBroker(t))) })
	t.Run("Kafka", func(t *testing.T) { body(t, open(t, kafkatest.Open(t))) })
}

func TestReplay(t *testing.T) {
	everywhere(t, func(t *testing.T, s *shop) {
		box := s.letters(t)
		if n := box.Count(redrive.Open); n != keys*events {
			t.Fatalf("%d letters are open, want %d", n, keys*events)
		}
		if dry := s.plan(t, redrive.Order{}); dry.Replayed != keys*events {
			t.Fatalf("dry run: %+v", dry)
		}
		s.mended.Store(true)
		if done := s.do(t, redrive.Order{}); done.Replayed != keys*events {
			t.Fatalf("%+v", done)
		}
		s.all(t)
		if again := s.do(t, redrive.Order{}); again != (redrive.Tally{}) {
			t.Errorf("a second replay: %+v; want nothing to do", again)
		}
		s.none(t)
	})
}

// TestReplayInterrupted interrupts replays in every possible way.
func TestReplayInterrupted(t *testing.T) {
	everywhere(t, func(t *testing.T, s *shop) {
		s.mended.Store(true)
		// After some transactions.
		ctx, cancel := context.WithCancel(t.Context())
		first, err := s.client.Start(ctx, s.order(redrive.Order{Rate: 3}), redrive.Run{Progress: func(j redrive.Job) {
			if j.Done.Replayed > 0 {
				cancel()
			}
		}})
		if err == nil || first.Done.Replayed == 0 || first.Done.Replayed == keys*events || first.State != redrive.Stopped {
			t.Fatalf("a replay that was interrupted: %+v, %v", first, err)
		}
		// With an open transaction that has written records and never ends.
		box := s.letters(t)
		x, err := kafka.NewTransactor(t.Context(), s.cluster, redrive.Group+"."+box.Topic, kafka.TransactorConfig{})
		if err != nil {
			t.Fatal(err)
		}
		err = box.Each(t.Context(), box.Undecided(), func(l *letter.Letter, state redrive.State, _ error) error {
			if state != redrive.Open {
				return nil
			}
			return x.Produce(t.Context(), l.Again())
		})
		if err != nil {
			t.Fatal(err)
		}
		second, err := s.operator("bob@desk").Resume(t.Context(), s.box(), first.ID, redrive.Run{})
		if err != nil || second.Done.Replayed != keys*events || second.State != redrive.Done || second.Rate != 3 {
			t.Errorf("first %+v, then %+v, %v", first, second, err)
		}
		if err := x.Commit(t.Context()); !errors.Is(err, transport.ErrFenced) {
			t.Errorf("the abandoned transaction commits: %v, want ErrFenced", err)
		}
		s.all(t)
	})
}

// TestLoop: letters that fail again and again end in quarantine.
func TestLoop(t *testing.T) {
	s := open(t, kafkatest.NewBroker(t))
	for round := range 3 {
		done := s.do(t, redrive.Order{MaxRedeliveries: 2})
		want := redrive.Tally{Replayed: keys * events}
		if round == 2 {
			want = redrive.Tally{Quarantined: keys * events}
		}
		if done != want {
			t.Fatalf("round %d: %+v, want %+v", round, done, want)
		}
		s.Settle(t)
	}
	box := s.letters(t)
	if open, kept := box.Count(redrive.Open), box.Count(redrive.Quarantined); open != 0 || kept != keys*events {
		t.Errorf("%d open and %d quarantined, want 0 and %d", open, kept, keys*events)
	}
	released := s.do(t, redrive.Order{Action: redrive.Release, Filter: redrive.Filter{Keys: []string{"k1"}}})
	if released.Released != events {
		t.Errorf("released %+v", released)
	}
	if n := s.letters(t).Count(redrive.Open); n != events {
		t.Errorf("%d are open after the release, want %d", n, events)
	}
}

func TestFilters(t *testing.T) {
	s := open(t, kafkatest.NewBroker(t))
	if skipped := s.do(t, redrive.Order{Action: redrive.Skip, Filter: redrive.Filter{Keys: []string{"k2"}}}); skipped.Skipped != events {
		t.Fatalf("%+v", skipped)
	}
	var fingerprint, id string
	var at redrive.Range
	box := s.letters(t)
	err := box.Each(t.Context(), box.All(), func(l *letter.Letter, state redrive.State, foreign error) error {
		fingerprint, _, _ = redrive.CauseOf(l, foreign)
		if key := string(l.Record.Key); foreign != nil || (key == "k2") != (state == redrive.Skipped) && state == redrive.Open {
			t.Errorf("key %s is %v (%v)", key, state, foreign)
		} else if key == "k3" {
			id, at = redrive.ID(l), redrive.At(l.Record.Partition, l.Record.Offset)
		}
		if redrive.Type(l) != "order" || l.Attempts != 1 || l.Group != "billing" || !strings.Contains(l.Error, errBroken.Error()) {
			t.Errorf("%+v", l)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, filter := range map[string]redrive.Filter{
		"type": {Types: []string{"refund"}}, "key": {Keys: []string{"k9"}}, "reason": {Reasons: []string{"panic"}},
		"fingerprint": {Fingerprints: []string{"00000000"}}, "state": {States: []redrive.State{redrive.Quarantined}},
		"group": {Groups: []string{"mailer"}}, "id": {IDs: []string{"x"}}, "place": {Ranges: []redrive.Range{{Partition: 99, To: 1}}},
		"time": {Before: time.Now().Add(-time.Hour)},
	} {
		if none := s.plan(t, redrive.Order{Filter: filter}); none.Replayed != 0 {
			t.Errorf("another %s: %+v", name, none)
		}
	}
	for name, filter := range map[string]redrive.Filter{
		"id": {IDs: []string{id}}, "place": {Ranges: []redrive.Range{at}},
	} {
		if one := s.plan(t, redrive.Order{Filter: filter}); one.Replayed != 1 {
			t.Errorf("by %s: %+v, want one", name, one)
		}
	}
	some := s.plan(t, redrive.Order{Filter: redrive.Filter{
		Types: []string{"order"}, Fingerprints: []string{fingerprint}, Keys: []string{"k0", "k2"}, Groups: []string{"billing"}, After: time.Now().Add(-time.Hour),
	}})
	if some.Replayed != events {
		t.Errorf("%+v; want those of k0", some)
	}
}

// TestForeign: records that are not dead letters are never brought back, and can be
// skipped.
func TestForeign(t *testing.T) {
	s := open(t, kafkatest.NewBroker(t))
	box := s.letters(t)
	s.Produce(t, transport.Record{Topic: box.Topic, Partition: 1, Value: []byte("x")})
	if done := s.do(t, redrive.Order{}); done.Foreign != 1 || done.Replayed != keys*events {
		t.Errorf("%+v", done)
	}
	s.Settle(t)
	at := redrive.At(1, box.End[transport.Partition{Topic: box.Topic, Partition: 1}])
	skip := redrive.Order{Action: redrive.Skip, Filter: redrive.Filter{Ranges: []redrive.Range{at}}}
	if skipped := s.do(t, skip); skipped.Skipped != 1 {
		t.Errorf("%+v", skipped)
	}
	if skipped := s.do(t, skip); skipped != (redrive.Tally{}) {
		t.Errorf("it is skipped twice: %+v", skipped)
	}
}

func TestNoBox(t *testing.T) {
	s := open(t, kafkatest.NewBroker(t))
	if _, err := s.client.Open(t.Context(), orders.In(s.Environment())); !errors.Is(err, redrive.ErrNoBox) {
		t.Errorf("%v, want ErrNoBox", err)
	}
	if _, err := s.client.Open(t.Context(), "none.dlq"); !errors.Is(err, transport.ErrTopicMissing) {
		t.Errorf("%v, want ErrTopicMissing", err)
	}
}
