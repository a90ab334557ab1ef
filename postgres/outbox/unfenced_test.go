package outbox

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/transport"
	"github.com/eventbus-go/eventbus/transport/memory"
)

// mute is a transport whose brokers never answer: the outcome of each event that its
// producer accepts is unknown until DeliveryTimeout is over.
type mute struct {
	transport.Transport
	accept   func(ctx context.Context) error
	timeout  time.Duration
	given    int          // calls of Produce
	underWay atomic.Int64 // events without an outcome
	last     atomic.Int64 // when the last outcome came, in Unix nanoseconds
}

// muteBus returns a bus on a mute transport, whose producer calls accept for each event.
func muteBus(t *testing.T, timeout time.Duration, accept func(ctx context.Context) error) (*eventbus.Bus, *mute) {
	t.Helper()
	m := &mute{Transport: memory.New(), accept: accept}
	bus, err := eventbus.New(m, eventbus.Config{Service: "mute", Environment: "Test", Logger: quiet(), Producer: transport.ProducerConfig{DeliveryTimeout: timeout}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = bus.Close(context.Background()) })
	return bus, m
}

func (m *mute) NewProducer(c transport.ProducerConfig) (transport.Producer, error) {
	m.timeout = c.WithDefaults().DeliveryTimeout
	p, err := m.Transport.NewProducer(c)
	return muteProducer{p, m}, err
}

type muteProducer struct {
	transport.Producer
	of *mute
}

func (p muteProducer) Produce(ctx context.Context, _ *transport.Record, done transport.Completion) error {
	p.of.given++
	if err := p.of.accept(ctx); err != nil {
		return err
	}
	p.of.underWay.Add(1)
	time.AfterFunc(p.of.timeout, func() {
		p.of.last.Store(time.Now().UnixNano())
		p.of.underWay.Add(-1)
		done.Done(transport.Position{Offset: -1}, transport.ErrOutcomeUnknown)
	})
	return nil
}

// someEvents returns envelopes of one key.
func someEvents(n int) (events []*eventbus.Envelope) {
	for i := range n {
		events = append(events, &eventbus.Envelope{ID: fmt.Sprint(i), Source: "/s", Type: "t", Topic: "topic", Key: []byte("k"), Data: []byte("{}")})
	}
	return events
}

// TestUnfencedOutlivesTheProducer: an unfenced relay gets a DeliveryTimeout that is
// longer than the bus's, and refuses any other with both values.
func TestUnfencedOutlivesTheProducer(t *testing.T) {
	pool := unreachable(t, func() {})
	for _, c := range []struct {
		producer, relay, want time.Duration
		fenced                bool
	}{
		{want: 2*time.Minute + 10*time.Second},
		{producer: 5 * time.Second, want: 15 * time.Second},
		{producer: 5 * time.Second, relay: 6 * time.Second, want: 6 * time.Second},
		{producer: 5 * time.Second, relay: 5 * time.Second},
		{relay: time.Minute},
		{relay: time.Second, want: time.Second, fenced: true},
	} {
		bus, _ := muteBus(t, c.producer, nil)
		r, err := NewRelay(bus, pool, Config{Unfenced: !c.fenced, DeliveryTimeout: c.relay, Logger: quiet()})
		switch {
		case c.want == 0 && (err == nil || !strings.Contains(err.Error(), c.relay.String()) || !strings.Contains(err.Error(), bus.DeliveryTimeout().String())):
			t.Errorf("%+v: %v", c, err)
		case c.want != 0 && (err != nil || r.config.DeliveryTimeout != c.want):
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// TestUnfencedKnowsEveryOutcome: when an unfenced batch ends, nothing of it can be
// written any more, and nothing was given to the producer after an event that it did
// not accept.
func TestUnfencedKnowsEveryOutcome(t *testing.T) {
	const producer, room = time.Minute, 10 * time.Second
	refusal := errors.New("the breaker is open")
	for name, c := range map[string]struct {
		accept func(calls int) func(context.Context) error
		given  int
		took   time.Duration
		is     error
	}{
		"at once": {func(int) func(context.Context) error { return func(context.Context) error { return nil } }, 5, producer, transport.ErrOutcomeUnknown},
		"full buffer": {func(int) func(context.Context) error {
			return func(ctx context.Context) error {
				if !wait(ctx, 4*time.Second) {
					return ctx.Err()
				}
				return nil
			}
		}, 3, 8*time.Second + producer, transport.ErrOutcomeUnknown},
		"refused by the breaker": {func(calls int) func(context.Context) error {
			return func(context.Context) error {
				if calls++; calls == 1 {
					return refusal
				}
				return nil
			}
		}, 1, 0, refusal},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				bus, m := muteBus(t, producer, c.accept(0))
				s := sender{bus: bus, timeout: room}
				began := time.Now()
				_, err := s.send(t.Context(), someEvents(5))
				if took := time.Since(began); !errors.Is(err, c.is) || took != c.took || m.given != c.given {
					t.Errorf("%v after %v and %d events, want %v after %v and %d", err, took, m.given, c.is, c.took, c.given)
				}
				if n := m.underWay.Load(); n > 0 {
					t.Errorf("%d events may still be written", n)
				}
			})
		})
	}
}

// TestUnfencedEndsWithinTheLease: what an unfenced relay sends has its outcome before
// the lease ends, and a relay with too little of it left sends nothing.
func TestUnfencedEndsWithinTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus, m := muteBus(t, time.Minute, func(ctx context.Context) error {
			wait(ctx, 4*time.Second)
			return ctx.Err()
		})
		r, err := NewRelay(bus, unreachable(t, func() {}), Config{Unfenced: true, Logger: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		var l lease
		if err := r.fence(t.Context(), &l, 1, "shop"); err != nil {
			t.Fatal(err)
		}
		l.until = time.Now().Add(r.config.DeliveryTimeout + margin)
		if _, err := r.deliver(t.Context(), &l, someEvents(5)); err == nil || m.given > 0 {
			t.Errorf("%d events were sent with too little of the lease, %v", m.given, err)
		}
		l.until = time.Now().Add(r.config.DeliveryTimeout + margin + 1)
		if _, err := r.deliver(t.Context(), &l, someEvents(5)); !errors.Is(err, transport.ErrOutcomeUnknown) || m.given == 0 {
			t.Errorf("%d events were sent, %v", m.given, err)
		}
		if left := l.until.Sub(time.Unix(0, m.last.Load())); m.underWay.Load() > 0 || left <= margin {
			t.Errorf("%d events are under way, and the last outcome came %v before the end of the lease", m.underWay.Load(), left)
		}
	})
}

// announcing is a transport that announces what is produced, in transactions or not.
type announcing struct {
	transport.Transport
	began chan struct{} // has a buffer of one
}

func (a announcing) announce() {
	select {
	case a.began <- struct{}{}:
	default:
	}
}

func (a announcing) NewProducer(c transport.ProducerConfig) (transport.Producer, error) {
	p, err := a.Transport.NewProducer(c)
	return announcingProducer{p, a}, err
}

func (a announcing) Transactor(ctx context.Context, id string, c transport.ProducerConfig) (transport.Transactor, error) {
	tx, err := a.Transport.(transport.Transactional).Transactor(ctx, id, c)
	return announcingTransactor{tx, a}, err
}

type announcingProducer struct {
	transport.Producer
	of announcing
}

func (p announcingProducer) Produce(ctx context.Context, r *transport.Record, done transport.Completion) error {
	defer p.of.announce()
	return p.Producer.Produce(ctx, r, done)
}

type announcingTransactor struct {
	transport.Transactor
	of announcing
}

func (t announcingTransactor) Produce(ctx context.Context, records ...transport.Record) error {
	t.of.announce()
	return t.Transactor.Produce(ctx, records...)
}

// TestCutOffByDrain: a relay that DrainTimeout cuts off in the middle of a batch frees
// its lease if it is fenced. Otherwise nobody leads until the lease ends, since the
// batch may still be written. Either way the next leader sends everything, in order.
func TestCutOffByDrain(t *testing.T) {
	for _, unfenced := range []bool{false, true} {
		t.Run(fmt.Sprint("unfenced=", unfenced), func(t *testing.T) {
			s := newScene(t, dsn(t))
			brokers := announcing{s.cluster.Transport(), make(chan struct{}, 1)}
			bus, err := eventbus.New(brokers, eventbus.Config{Service: "cut-off", Environment: s.cluster.Environment(), Logger: quiet()})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = bus.Close(context.Background()) })
			config := Config{Table: s.table, Unfenced: unfenced, DrainTimeout: time.Millisecond}
			one, stop := runRelay(t, bus, s.pool, config)
			s.write(t, 20)
			s.check(t)
			eventually(t, "the cursor is stored", func() bool {
				_, published := leader(t, s.pool, s.table)
				return published == 20
			})
			reconnect := s.cluster.Disconnect(t)
			for len(brokers.began) > 0 {
				<-brokers.began
			}
			s.write(t, 20)
			<-brokers.began
			stop()
			config.Logger = quiet()
			other, err := NewRelay(s.bus, s.pool, config)
			if err != nil {
				t.Fatal(err)
			}
			l, _, err := other.acquire(t.Context())
			if unfenced {
				if !errors.Is(err, errNotLeading) {
					t.Errorf("another relay leads while a batch may be under way: %v", err)
				}
				status, err := ReadStatus(t.Context(), s.pool, s.table)
				if err != nil || status.Own("default").Holder != one.holder {
					t.Errorf("status %+v, %v", status, err)
				}
				mustExec(t, s.pool, other.names.sql(`UPDATE {relay} SET expires_at = '-infinity'`))
			} else if err != nil || l.epoch != 2 {
				t.Errorf("the lease is not free: epoch %d, %v", l.epoch, err)
			} else if err := other.release(t.Context(), l); err != nil {
				t.Fatal(err)
			}
			reconnect()
			runRelay(t, s.bus, s.pool, config)
			if repeated := s.check(t); repeated > 20 {
				t.Errorf("%d events repeated", repeated)
			}
		})
	}
}
