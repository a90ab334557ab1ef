package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eventbus-go/eventbus/bench/internal/event"
	"github.com/eventbus-go/eventbus/bench/internal/meter"
	"github.com/eventbus-go/eventbus/bench/internal/peer"
)

// span returns how long synchronous publishing is measured, and for how long it
// is warmed up before.
func span(quick bool) (warm, measured time.Duration) {
	if quick {
		return 300 * time.Millisecond, time.Second
	}
	return time.Second, 4 * time.Second
}

// firstEvents are published one by one before anything is measured: some
// clients take seconds to learn the leaders of a new topic.
const firstEvents = 50

// runSync publishes from several goroutines, each of which waits for every
// event.
func runSync(ctx context.Context, t task, w workload, p peer.Publisher) (measurement, error) {
	// Events count only if their whole publish lies within the measuring phase.
	const (
		warming int32 = iota
		measuring
		ended
	)
	var (
		source    = event.NewSource(w.keys)
		latencies meter.Histogram
		phase     atomic.Int32
		number    atomic.Int64
		failure   atomic.Pointer[error]
		running   sync.WaitGroup
	)
	for n := range firstEvents {
		if err := p.Publish(ctx, source.At(n)); err != nil {
			return measurement{}, err
		}
	}
	// The goroutines share one sequence of numbers, so that no two publish the same order.
	for range w.goroutines {
		running.Go(func() {
			for at := phase.Load(); at != ended; at = phase.Load() {
				o := source.At(int(number.Add(1)))
				begin := time.Now()
				// The first failure ends the measurement; the others follow from
				// it.
				if err := p.Publish(ctx, o); err != nil {
					failure.CompareAndSwap(nil, &err)
					return
				}
				// The phase may have changed while the event was under way.
				if at == measuring && phase.Load() == measuring {
					latencies.Record(time.Since(begin))
				}
			}
		})
	}
	// The goroutines publish through all phases, so that measuring begins and ends while they
	// are at work. The few publishes across its edges use CPU time and don't count.
	warm, measured := span(t.Quick)
	time.Sleep(warm)
	m := meter.Start()
	phase.Store(measuring)
	time.Sleep(measured)
	phase.Store(ended)
	usage := m.Stop()
	// Publishes that are under way end first, so that their client can be closed.
	running.Wait()
	if err := failure.Load(); err != nil {
		return measurement{}, *err
	}
	// Percentiles of nothing would be zero, and look excellent.
	if latencies.Count() == 0 {
		return measurement{}, fmt.Errorf("no event was acknowledged within %v", measured)
	}
	// The events that count are those that have a latency.
	result := t.per(latencies.Count(), usage.Elapsed, usage)
	result.latencies(&latencies)
	return result, nil
}

// runAsync publishes so many events, and ends when all are acknowledged.
func runAsync(ctx context.Context, t task, w workload, p peer.Publisher) (measurement, error) {
	source := event.NewSource(w.keys)
	// Connections, buffers and the first growth of the heap come before the
	// measurement.
	if err := enqueue(ctx, p, source, w.events/20); err != nil {
		return measurement{}, err
	}
	m := meter.Start()
	err := enqueue(ctx, p, source, w.events)
	// The flush is included: an event counts once it is acknowledged.
	usage := m.Stop()
	return t.per(w.events, usage.Elapsed, usage), err
}

// enqueue publishes events and waits until all are acknowledged.
func enqueue(ctx context.Context, p peer.Publisher, source *event.Source, events int) error {
	for number := range events {
		if err := p.Enqueue(ctx, source.At(number)); err != nil {
			return err
		}
	}
	return p.Flush(ctx)
}

// fill writes what consumers read, once for all of them, with the client that
// ours is compared with.
func fill(ctx context.Context, t task, w workload) error {
	// The same writer for all: consumers must not differ in what they read.
	franz, _ := peer.Named(peer.Franz)
	p, err := franz.NewPublisher(ctx, t.Settings)
	if err != nil {
		return err
	}
	return errors.Join(enqueue(ctx, p, event.NewSource(w.keys), w.events), p.Close(ctx))
}
