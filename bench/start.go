package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/eventbus-go/eventbus/bench/internal/event"
	"github.com/eventbus-go/eventbus/bench/internal/meter"
	"github.com/eventbus-go/eventbus/bench/internal/peer"
)

// runStart measures how long a new consumer takes to handle its first event, which is
// already in the topic, and how long it then takes to leave. The first is in P50 and
// the second in P99: a start has one of each.
func runStart(ctx context.Context, t task, p peer.Peer) (measurement, error) {
	var once sync.Once
	first := make(chan time.Duration, 1)
	m := meter.Start()
	begin := time.Now()
	c, err := p.NewConsumer(ctx, t.Settings, func(*event.Order) {
		once.Do(func() { first <- time.Since(begin) })
	})
	if err != nil {
		m.Stop()
		return measurement{}, err
	}
	var took time.Duration
	select {
	case took = <-first:
	case <-ctx.Done():
		err = fmt.Errorf("no event arrived: %w", ctx.Err())
	}
	// By then the group is stable and idle, as is usual for a service that is
	// stopped.
	if err == nil {
		time.Sleep(settle)
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second)
	defer cancel()
	closing := time.Now()
	err = errors.Join(err, c.Close(ending))
	closed := time.Since(closing)
	result := t.per(1, max(took, 1), m.Stop())
	result.P50, result.P99 = float64(took.Microseconds()), float64(closed.Microseconds())
	return result, err
}

// settle is how long a consumer runs before it is closed.
const settle = 300 * time.Millisecond
