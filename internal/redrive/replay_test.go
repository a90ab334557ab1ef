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

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type order struct {
	ID  string `json:"id"`
	Seq int    `json:"seq"`
}

var orders = eventbus.NewTopic(eventbus.TopicConfig[order]{
	Domain: "shop", Name: "orders", Partitions: 4, Key: func(o order) string { return o.ID },
})

// shop is a service whose handler fails until it is mended, and the dead letters
// that this made.
type shop struct {
	*kafkatest.Cluster
	cluster *kafka.Transport
	mended  atomic.Bool

	came    chan struct{} // for every event that is handled
	mu      sync.Mutex
	handled map[string][]string // by key: sequence numbers, with the redeliveries
}

var errBroken = errors.New("order 17 of customer 4711 can't be billed")

// events is how many events of each of the keys die.
const (
	keys   = 5
	events = 8
)

func open(t *testing.T, cluster *kafkatest.Cluster) *shop {
	t.Helper()
	s := &shop{Cluster: cluster, handled: make(map[string][]string), came: make(chan struct{}, 10*keys*events)}
	s.cluster = kafka.New(kafka.Config{Brokers: cluster.Brokers()})
	t.Cleanup(func() { _ = s.cluster.Close(context.Background()) })
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

func (s *shop) letters(t *testing.T) *redrive.Box {
	t.Helper()
	b, err := redrive.OpenBox(t.Context(), s.cluster, orders.In(s.Environment())+".billing.dlq")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// all checks that every event was handled once, in order, after one redelivery.
func (s *shop) all(t *testing.T) {
	t.Helper()
	// A transaction is committed before its records can be read: Settle might
	// come too early for them.
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

// none checks that nothing has come since.
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
		dry, err := box.Run(t.Context(), redrive.Walk{DryRun: true})
		if err != nil || dry.Replayed != keys*events {
			t.Fatalf("dry run: %+v, %v", dry, err)
		}
		s.mended.Store(true)
		done, err := s.letters(t).Run(t.Context(), redrive.Walk{})
		if err != nil || done.Replayed != keys*events {
			t.Fatalf("%+v, %v", done, err)
		}
		s.all(t)
		again, err := s.letters(t).Run(t.Context(), redrive.Walk{})
		if err != nil || again != (redrive.Tally{}) {
			t.Errorf("a second replay: %+v, %v; want nothing to do", again, err)
		}
		s.none(t)
	})
}

// TestReplayInterrupted ends replays in every way there is between two of them.
func TestReplayInterrupted(t *testing.T) {
	everywhere(t, func(t *testing.T, s *shop) {
		s.mended.Store(true)
		// After some transactions.
		ctx, cancel := context.WithCancel(t.Context())
		first, err := s.letters(t).Run(ctx, redrive.Walk{Rate: 3, Progress: func(redrive.Tally) { cancel() }})
		if err == nil || first.Replayed == 0 || first.Replayed == keys*events {
			t.Fatalf("a replay that was stopped: %+v, %v", first, err)
		}
		// With a transaction open that wrote records and never ended.
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
		second, err := s.letters(t).Run(t.Context(), redrive.Walk{})
		if err != nil || first.Replayed+second.Replayed != keys*events {
			t.Errorf("first %+v, then %+v, %v", first, second, err)
		}
		if err := x.Commit(t.Context()); !errors.Is(err, transport.ErrFenced) {
			t.Errorf("the abandoned transaction commits: %v, want ErrFenced", err)
		}
		s.all(t)
	})
}

// TestForgotten: brokers forget the commits of a group without members after a
// week, and a process may end before it has made the copies.
func TestForgotten(t *testing.T) {
	everywhere(t, func(t *testing.T, s *shop) {
		forget := func(group string) {
			t.Helper()
			var none []transport.Commit
			for p := range s.letters(t).End {
				none = append(none, transport.Commit{Partition: p, LeaderEpoch: -1})
			}
			if err := kafka.NewAdmin(s.cluster).ResetGroup(t.Context(), group, none...); err != nil {
				t.Fatal(err)
			}
		}
		remembered := func(after string) {
			t.Helper()
			box := s.letters(t)
			if open, skipped, kept := box.Count(redrive.Open), box.Count(redrive.Skipped), box.Count(redrive.Quarantined); open != 3*events || skipped != events || kept != events {
				t.Fatalf("after %s: %d open, %d skipped and %d in quarantine, want %d, %d and %[5]d", after, open, skipped, kept, 3*events, events)
			}
		}
		for key, state := range map[string]redrive.State{"k1": redrive.Skipped, "k3": redrive.Quarantined} {
			if _, err := s.letters(t).Set(t.Context(), redrive.Filter{Keys: []string{key}}, state, false); err != nil {
				t.Fatal(err)
			}
		}
		remembered("decisions")
		forget(redrive.GroupKept)
		remembered("an end before the copies")
		if done, err := s.letters(t).Set(t.Context(), redrive.Filter{Keys: []string{"none"}}, redrive.Skipped, false); err != nil || done != (redrive.Tally{}) {
			t.Fatalf("%+v, %v", done, err)
		}
		forget(redrive.Group)
		remembered("a week")
		s.mended.Store(true)
		if done, err := s.letters(t).Run(t.Context(), redrive.Walk{}); err != nil || done.Replayed != 3*events {
			t.Fatalf("%+v, %v; want %d replayed", done, err, 3*events)
		}
	})
}

// TestLoop: what fails again and again ends in quarantine.
func TestLoop(t *testing.T) {
	s := open(t, kafkatest.NewBroker(t))
	for round := range 3 {
		done, err := s.letters(t).Run(t.Context(), redrive.Walk{MaxRedeliveries: 2})
		if err != nil {
			t.Fatal(err)
		}
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
	released, err := box.Set(t.Context(), redrive.Filter{Keys: []string{"k1"}, States: []redrive.State{redrive.Quarantined}}, redrive.Open, false)
	if err != nil || released.Released != events {
		t.Errorf("released %+v, %v", released, err)
	}
	if n := s.letters(t).Count(redrive.Open); n != events {
		t.Errorf("%d are open after the release, want %d", n, events)
	}
}

func TestFilters(t *testing.T) {
	s := open(t, kafkatest.NewBroker(t))
	skipped, err := s.letters(t).Set(t.Context(), redrive.Filter{Keys: []string{"k2"}}, redrive.Skipped, false)
	if err != nil || skipped.Skipped != events {
		t.Fatalf("%+v, %v", skipped, err)
	}
	var fingerprint string
	box := s.letters(t)
	err = box.Each(t.Context(), box.All(), func(l *letter.Letter, state redrive.State, foreign error) error {
		fingerprint = redrive.Fingerprint(l)
		if key := string(l.Record.Key); foreign != nil || (key == "k2") != (state == redrive.Skipped) && state == redrive.Open {
			t.Errorf("key %s is %v (%v)", key, state, foreign)
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
	} {
		if none, err := s.letters(t).Run(t.Context(), redrive.Walk{Filter: filter, DryRun: true}); err != nil || none.Replayed != 0 {
			t.Errorf("another %s: %+v, %v", name, none, err)
		}
	}
	some, err := s.letters(t).Run(t.Context(), redrive.Walk{DryRun: true, Filter: redrive.Filter{
		Types: []string{"order"}, Fingerprints: []string{fingerprint}, Keys: []string{"k0", "k2"},
	}})
	if err != nil || some.Replayed != events {
		t.Errorf("%+v, %v; want those of k0", some, err)
	}
}

// TestForeign: what is no dead letter is never brought back, and can be skipped.
func TestForeign(t *testing.T) {
	s := open(t, kafkatest.NewBroker(t))
	box := s.letters(t)
	s.Produce(t, transport.Record{Topic: box.Topic, Partition: 1, Value: []byte("x")})
	done, err := s.letters(t).Run(t.Context(), redrive.Walk{})
	if err != nil || done.Foreign != 1 || done.Replayed != keys*events {
		t.Errorf("%+v, %v", done, err)
	}
	s.Settle(t)
	at := transport.Partition{Topic: box.Topic, Partition: 1}
	skipped, err := s.letters(t).SetOne(t.Context(), at, box.End[at], redrive.Skipped, false)
	if err != nil || skipped.Skipped != 1 {
		t.Errorf("%+v, %v", skipped, err)
	}
	if _, err := s.letters(t).SetOne(t.Context(), at, box.End[at], redrive.Skipped, false); err == nil {
		t.Error("it can be skipped twice")
	}
}

func TestNoBox(t *testing.T) {
	s := open(t, kafkatest.NewBroker(t))
	if _, err := redrive.OpenBox(t.Context(), s.cluster, orders.In(s.Environment())); !errors.Is(err, redrive.ErrNoBox) {
		t.Errorf("%v, want ErrNoBox", err)
	}
	if _, err := redrive.OpenBox(t.Context(), s.cluster, "none.dlq"); !errors.Is(err, transport.ErrTopicMissing) {
		t.Errorf("%v, want ErrTopicMissing", err)
	}
}
