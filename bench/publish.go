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
	for range w.goroutines {
		running.Go(func() {
			for at := phase.Load(); at != ended; at = phase.Load() {
				o := source.At(int(number.Add(1)))
				begin := time.Now()
				if err := p.Publish(ctx, o); err != nil {
					failure.CompareAndSwap(nil, &err)
					return
				}
				if at == measuring && phase.Load() == measuring {
					latencies.Record(time.Since(begin))
				}
			}
		})
	}
	warm, measured := span(t.Quick)
	time.Sleep(warm)
	m := meter.Start()
	phase.Store(measuring)
	time.Sleep(measured)
	phase.Store(ended)
	usage := m.Stop()
	running.Wait()
	if err := failure.Load(); err != nil {
		return measurement{}, *err
	}
	if latencies.Count() == 0 {
		return measurement{}, fmt.Errorf("no event was acknowledged within %v", measured)
	}
	result := t.per(latencies.Count(), usage.Elapsed, usage)
	result.latencies(&latencies)
	return result, nil
}

// runAsync publishes so many events, and ends when all are acknowledged.
func runAsync(ctx context.Context, t task, w workload, p peer.Publisher) (measurement, error) {
	source := event.NewSource(w.keys)
	if err := enqueue(ctx, p, source, w.events/20); err != nil { // connections, buffers, the first heap
		return measurement{}, err
	}
	m := meter.Start()
	err := enqueue(ctx, p, source, w.events)
	usage := m.Stop()
	return t.per(w.events, usage.Elapsed, usage), err
}

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
	franz, _ := peer.Named(peer.Franz)
	p, err := franz.NewPublisher(ctx, t.Settings)
	if err != nil {
		return err
	}
	return errors.Join(enqueue(ctx, p, event.NewSource(w.keys), w.events), p.Close(ctx))
}
