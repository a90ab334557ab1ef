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

// span returns how long synchronous publishing warms up, and how long it is measured then.
func span(quick bool) (warm, measured time.Duration) {
	if quick {
		return 300 * time.Millisecond, time.Second
	}
	return time.Second, 4 * time.Second
}

// firstEvents is how many events are published one by one before anything is measured. Some
// clients take seconds to learn the leaders of a new topic.
const firstEvents = 50

// runSync measures publishing from the workload's goroutines, each of which waits for its
// event before the next.
func runSync(ctx context.Context, t task, w workload, p peer.Publisher) (measurement, error) {
	// An event counts only if it is published and acknowledged in the measuring phase.
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
				// The first failure is kept, since others follow from it. The measurement
				// returns it at its end.
				if err := p.Publish(ctx, o); err != nil {
					failure.CompareAndSwap(nil, &err)
					return
				}
				// The phase may have changed while Publish was waiting.
				if at == measuring && phase.Load() == measuring {
					latencies.Record(time.Since(begin))
				}
			}
		})
	}
	// The goroutines publish in all phases, so that measuring begins and ends under load. The
	// few events across its limits use CPU time and do not count.
	warm, measured := span(t.Quick)
	time.Sleep(warm)
	m := meter.Start()
	phase.Store(measuring)
	time.Sleep(measured)
	phase.Store(ended)
	usage := m.Stop()
	// The caller closes the client, so no call of Publish may be left.
	running.Wait()
	if err := failure.Load(); err != nil {
		return measurement{}, *err
	}
	// Without events the percentiles would be zero, which would look excellent.
	if latencies.Count() == 0 {
		return measurement{}, fmt.Errorf("no event was acknowledged within %v", measured)
	}
	// Exactly the events that count have a latency.
	result := t.per(latencies.Count(), usage.Elapsed, usage)
	result.latencies(&latencies)
	return result, nil
}

// runAsync measures publishing the workload's events, until all are acknowledged.
func runAsync(ctx context.Context, t task, w workload, p peer.Publisher) (measurement, error) {
	source := event.NewSource(w.keys)
	// Warm up first: connections, buffers and the first growth of the heap are not measured.
	if err := enqueue(ctx, p, source, w.events/20); err != nil {
		return measurement{}, err
	}
	m := meter.Start()
	err := enqueue(ctx, p, source, w.events)
	// The time includes the flush, since an event counts once it is acknowledged.
	usage := m.Stop()
	return t.per(w.events, usage.Elapsed, usage), err
}

// enqueue enqueues a number of events, and waits until all are acknowledged.
func enqueue(ctx context.Context, p peer.Publisher, source *event.Source, events int) error {
	for number := range events {
		if err := p.Enqueue(ctx, source.At(number)); err != nil {
			return err
		}
	}
	return p.Flush(ctx)
}

// fill writes the events of a topic that all consumers of the workload read.
func fill(ctx context.Context, t task, w workload) error {
	// Batches depend on the client that writes them, so one client writes for all peers.
	franz, _ := peer.Named(peer.Franz)
	p, err := franz.NewPublisher(ctx, t.Settings)
	if err != nil {
		return err
	}
	return errors.Join(enqueue(ctx, p, event.NewSource(w.keys), w.events), p.Close(ctx))
}
