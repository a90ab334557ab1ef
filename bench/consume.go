package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/eventbus-go/eventbus/bench/internal/event"
	"github.com/eventbus-go/eventbus/bench/internal/meter"
	"github.com/eventbus-go/eventbus/bench/internal/peer"
)

// runConsume measures how a client handles all events of a topic that was filled
// before. The rate counts from the first event to the last, without the time to
// join the group, which is spent once and differs between clients. The CPU time and
// the memory of joining are included. It is an error if ctx ends before all events
// are handled, or if any was lost or handled twice.
func runConsume(ctx context.Context, t task, w workload, p peer.Peer) (measurement, error) {
	// Handlers run concurrently, so everything that they share is atomic or a channel.
	var (
		handled, sum atomic.Int64
		first        atomic.Int64 // when the first was handled, in nanoseconds since begin
		last         = make(chan time.Duration, 1)
		begin        = time.Now()
	)
	// Started first, since the consumer handles events before NewConsumer returns.
	m := meter.Start()
	c, err := p.NewConsumer(ctx, t.Settings, func(o *event.Order) {
		// Only the first handler sets it; the check saves the others a write.
		if handled.Load() == 0 {
			first.CompareAndSwap(0, int64(time.Since(begin)))
		}
		if w.handling > 0 {
			time.Sleep(w.handling)
		}
		// Sum the numbers instead of keeping them, which would add memory to the measurement.
		sum.Add(o.Number)
		if handled.Add(1) == int64(w.events) {
			// The channel has room for one, so the handler does not wait.
			last <- time.Since(begin)
		}
	})
	if err != nil {
		m.Stop()
		return measurement{}, err
	}
	var elapsed time.Duration
	select {
	case end := <-last:
		elapsed = end - time.Duration(first.Load())
	// The error has the number of events, which says more than the timeout.
	case <-ctx.Done():
		err = fmt.Errorf("%d of %d events within %v: %w", handled.Load(), w.events, time.Since(begin).Round(time.Second), ctx.Err())
	}
	usage := m.Stop()
	// The sum of 0…n−1 also reveals a loss and a duplicate that cancel out in the count.
	if n := int64(w.events); err == nil && sum.Load() != n*(n-1)/2 {
		err = errors.New("the events that were handled are not those that were written, each once")
	}
	// Leaving the group takes time, and ctx may have ended.
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second)
	defer cancel()
	// Without a first or a last event there is no time to divide by.
	return t.per(w.events, max(elapsed, 1), usage), errors.Join(err, c.Close(ending))
}

// runEndToEnd publishes at a constant rate, even if handlers fall behind, and
// measures how long each event takes to its handler in the same process. It is an
// error if ctx ends before all events have arrived.
func runEndToEnd(ctx context.Context, t task, w workload, p peer.Peer) (measurement, error) {
	// At a high rate, fewer seconds bring enough events.
	events := w.rate * 20
	switch {
	case t.Quick:
		events = w.rate * 3
	case w.rate > 100:
		events = w.rate * 8
	}
	var (
		latencies meter.Histogram
		arrived   atomic.Int64
		warmed    = make(chan struct{}, 1)
		all       = make(chan struct{})
	)
	c, err := p.NewConsumer(ctx, t.Settings, func(o *event.Order) {
		// Events of the warm-up have negative numbers.
		if o.Number < 0 {
			select {
			// If the channel is full, drop the event: the handler must not wait for the publisher.
			case warmed <- struct{}{}:
			default:
			}
			return
		}
		// Both times are from one process, and so from one clock.
		latencies.Record(time.Duration(time.Now().UnixNano() - o.Sent))
		if arrived.Add(1) == int64(events) {
			// Only the last event closes it.
			close(all)
		}
	})
	if err != nil {
		return measurement{}, err
	}
	// Start the consumer first, so that it can join while the publisher connects.
	publisher, err := p.NewPublisher(ctx, t.Settings)
	if err != nil {
		return measurement{}, errors.Join(err, c.Close(ctx))
	}
	source := event.NewSource(w.keys)
	var usage meter.Usage
	// Connections, leaders and the group are there before anything is measured.
	if err = warmUp(ctx, publisher, source, warmed); err == nil {
		m := meter.Start()
		if err = pace(ctx, publisher, source, events, w.rate); err == nil {
			select {
			case <-all:
			case <-ctx.Done():
				err = fmt.Errorf("%d of %d events arrived: %w", arrived.Load(), events, ctx.Err())
			}
		}
		usage = m.Stop()
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second)
	defer cancel()
	result := t.per(events, max(usage.Elapsed, 1), usage)
	result.latencies(&latencies)
	return result, errors.Join(err, publisher.Close(ending), c.Close(ending))
}

// warmEvents is how many events of the warm-up must arrive. So many make it likely
// that every partition has delivered one.
const warmEvents = 50

// warmUp publishes until the handler has received warmEvents events.
func warmUp(ctx context.Context, p peer.Publisher, source *event.Source, warmed <-chan struct{}) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	arrived := 0
	for number := 0; arrived < warmEvents; number++ {
		o := source.At(number)
		// The negative number marks the warm-up for the handler.
		o.Number = -1
		// One event for each arrival or tick: the warm-up must not fill the client's buffer.
		if err := p.Enqueue(ctx, o); err != nil {
			return err
		}
		select {
		case <-warmed:
			arrived++
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%d of %d events of the warm-up arrived: %w", arrived, warmEvents, ctx.Err())
		}
	}
	return p.Flush(ctx)
}

// pace publishes events one after another, rate per second. The latency of an event
// counts from when it was due if the publish before it took too long, and from when
// it was sent if the system woke this goroutine late.
func pace(ctx context.Context, p peer.Publisher, source *event.Source, events, rate int) error {
	begin := time.Now()
	for number := range events {
		// Compute due times from the beginning, so that a late event delays no other.
		due := begin.Add(time.Duration(number) * time.Second / time.Duration(rate))
		sent := due
		if wait := time.Until(due); wait > 0 {
			time.Sleep(wait)
			sent = time.Now()
		}
		o := source.At(number)
		o.Sent = sent.UnixNano()
		if err := p.Enqueue(ctx, o); err != nil {
			return err
		}
	}
	return p.Flush(ctx)
}
