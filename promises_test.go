package eventbus_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/transport/memory"
)

func TestPromise1PublishReturnsWhenItIsInTheLog(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		bus, topic := newBus(t, cluster, config()), orders(t)
		p := eventbus.NewPublisher(bus, topic)
		must(t, p.Publish(t.Context(), order{"a", 0}))
		if n := len(cluster.Records(ordersName)); n != 1 {
			t.Fatalf("%d records after Publish returned", n)
		}
		// Without an acknowledgement it is not published: the caller waits, and is
		// told.
		release := cluster.HoldAcknowledgements(ordersName)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := p.Publish(ctx, order{"a", 1})
		var e *eventbus.Error
		if !errors.Is(err, eventbus.ErrOutcomeUnknown) || !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &e) {
			t.Fatalf("without an acknowledgement: %v", err)
		}
		release()
		closeBus(t, bus)
	})
}

func TestPromise2DeadLetterTopicOutOfReachSkipsNothing(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		bus, topic := newBus(t, cluster, config()), orders(t)
		var s story
		must(t, eventbus.Subscribe(bus, topic, func(_ context.Context, o order) error {
			s.add("%s%d", o.ID, o.Seq)
			if o.Seq == 0 {
				return eventbus.Permanent(errors.New("poison"))
			}
			return nil
		}))
		start(t, bus)
		cluster.FailProduces(orderLetters, -1, errors.New("no such luck"))
		p := eventbus.NewPublisher(bus, topic)
		must(t, p.PublishBatch(t.Context(), []order{{"a", 0}, {"a", 1}, {"b", 1}, {"c", 1}}))
		pass(time.Hour)
		if got := s.String(); strings.Contains(got, "a1") || !strings.Contains(got, "b1") || !strings.Contains(got, "c1") {
			t.Errorf("handled %s: a1 must wait, the others must not", got)
		}
		if h := bus.Health(t.Context()); h.Status == eventbus.Healthy {
			t.Errorf("health hides the waiting key: %+v", h)
		}
		for p, c := range cluster.Committed("sales-api-test") {
			poison := cluster.Records(ordersName)[0]
			if p.Topic == ordersName && p.Partition == poison.Partition && c.Offset > poison.Offset {
				t.Errorf("committed %d, past the poison at %d", c.Offset, poison.Offset)
			}
		}
		cluster.StopProduceFaults(orderLetters)
		pass(time.Hour)
		if got := fmt.Sprint(letters(cluster, orderLetters)); got != "[permanent]" || !strings.Contains(s.String(), "a1") {
			t.Errorf("afterwards: dead letters %s, handled %s", got, s.String())
		}
		if h := bus.Health(t.Context()); h.Status != eventbus.Healthy {
			t.Errorf("%+v", h)
		}
		closeBus(t, bus)
	})
}

func TestPromise5OneKeyHoldsUpItselfAlone(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		c := config()
		c.StuckAfter = 10 * time.Minute
		bus, topic := newBus(t, cluster, c), orders(t)
		var s story
		wake := make(chan struct{})
		must(t, eventbus.Subscribe(bus, topic, func(_ context.Context, o order) error {
			if o.ID == "deaf" && o.Seq == 0 {
				<-wake // ignores its context
			}
			s.add("%s%d", o.ID, o.Seq)
			return nil
		}, eventbus.Concurrency(1), eventbus.Timeout(time.Second)))
		start(t, bus)
		p := eventbus.NewPublisher(bus, topic)
		must(t, p.PublishBatch(t.Context(), []order{{"deaf", 0}, {"deaf", 1}, {"a", 0}, {"b", 0}, {"c", 0}}))
		pass(5 * time.Minute)
		if got := s.String(); strings.Contains(got, "deaf") || len(strings.Fields(got)) != 3 {
			t.Errorf("handled %s, want a0, b0 and c0", got)
		}
		if h := bus.Health(t.Context()); h.Status != eventbus.Unhealthy || !strings.Contains(h.Checks["group sales-api-test"].Error, "ignore their timeout") {
			t.Errorf("health hides the deaf handler: %+v", h)
		}
		close(wake)
		pass(time.Minute)
		if got := keyed(s.String(), "deaf"); got != "deaf0 deaf1" {
			t.Errorf("afterwards: %s", got)
		}
		if h := bus.Health(t.Context()); h.Status != eventbus.Healthy {
			t.Errorf("%+v", h)
		}
		closeBus(t, bus)
	})
}

func TestPromise6Bounded(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		c := config()
		c.Bounds = eventbus.Bounds{Records: 500, MinRecords: 10}
		c.FetchBytes = 16 << 10
		bus, topic := newBus(t, cluster, c), orders(t)
		wake := make(chan struct{})
		var handled atomic.Int64
		must(t, eventbus.Subscribe(bus, topic, func(context.Context, order) error {
			<-wake
			handled.Add(1)
			return nil
		}, eventbus.Timeout(0)))
		p := eventbus.NewPublisher(bus, topic)
		const events = 20_000
		batch := make([]order, events)
		for i := range batch {
			batch[i] = order{fmt.Sprint("k", i%1000), i}
		}
		must(t, p.PublishBatch(t.Context(), batch))
		start(t, bus)
		pass(10 * time.Minute)
		for _, g := range bus.Operator().Inspect().Groups {
			if g.Records > 3000 {
				t.Errorf("%d events in hand, the bound is 500 and a batch per partition", g.Records)
			}
			if !g.Joined {
				t.Error("back-pressure left the group")
			}
		}
		close(wake)
		pass(10 * time.Minute)
		if handled.Load() != events {
			t.Errorf("handled %d of %d", handled.Load(), events)
		}
		closeBus(t, bus)
	})
}

func TestPromise7EndsWithinItsContextAndCommitsWhatRan(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		bus, topic := newBus(t, cluster, config()), orders(t)
		started, finish := make(chan struct{}), make(chan struct{})
		must(t, eventbus.Subscribe(bus, topic, func(_ context.Context, o order) error {
			close(started)
			<-finish
			return nil
		}))
		start(t, bus)
		p := eventbus.NewPublisher(bus, topic)
		must(t, p.Publish(t.Context(), order{"a", 0}))
		<-started
		receipt := p.PublishAsync(t.Context(), order{"b", 0})
		var wait sync.WaitGroup
		wait.Go(func() { closeBus(t, bus) })
		synctest.Wait() // Close waits for the handler
		close(finish)
		wait.Wait()
		if _, err := receipt.Wait(t.Context()); err != nil {
			t.Errorf("not flushed: %v", err)
		}
		r := cluster.Records(ordersName)[0]
		for p, c := range cluster.Committed("sales-api-test") {
			if p.Topic == ordersName && p.Partition == r.Partition && c.Offset != r.Offset+1 {
				t.Errorf("committed %d, the handler finished %d", c.Offset, r.Offset)
			}
		}
	})
}

func TestPromise7CutsOffWhatDoesNotEnd(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		bus, topic := newBus(t, shared{cluster}, config()), orders(t)
		started := make(chan struct{}, 10)
		handler := func(ctx context.Context, _ order) error {
			started <- struct{}{}
			<-ctx.Done()
			return ctx.Err()
		}
		must(t, eventbus.Subscribe(bus, topic, handler, eventbus.Timeout(0)))
		start(t, bus)
		must(t, eventbus.NewPublisher(bus, topic).Publish(t.Context(), order{"a", 0}))
		<-started
		begin := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = bus.Close(ctx)
		if took := time.Since(begin); took > 11*time.Second {
			t.Errorf("Close took %v", took)
		}
		if n := bus.Operator().Inspect().Groups[0].Abandoned; n != 1 {
			t.Errorf("%d abandoned, want 1", n)
		}
		for p, c := range cluster.Committed("sales-api-test") {
			if p.Topic == ordersName && c.Offset > 0 {
				t.Errorf("%v committed %d: the event was not handled", p, c.Offset)
			}
		}
		must(t, cluster.Close(context.Background()))
	})
}

func TestPromise8PlainOnTheWire(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		bus, topic := newBus(t, cluster, config()), orders(t)
		at := time.Date(2024, 1, 15, 10, 30, 0, 0, time.UTC)
		must(t, eventbus.NewPublisher(bus, topic).PublishWith(t.Context(), order{"a", 7},
			eventbus.WithID("e-1"), eventbus.WithTime(at), eventbus.WithSubject("a"), eventbus.WithExtension("tenant", "acme")))
		r := cluster.Records(ordersName)[0]
		for header, want := range map[string]string{
			"ce_specversion": "1.0", "ce_id": "e-1", "ce_source": "urn:momentum:sales-api", "ce_type": "order",
			"ce_time": "2024-01-15T10:30:00Z", "ce_subject": "a", "ce_tenant": "acme", "content-type": "application/json",
		} {
			if got, _ := r.Header(header); string(got) != want {
				t.Errorf("%s is %q, want %q", header, got, want)
			}
		}
		if string(r.Key) != "a" || string(r.Value) != `{"id":"a","seq":7}` {
			t.Errorf("key %q, value %s", r.Key, r.Value)
		}
		closeBus(t, bus)
	})
}
