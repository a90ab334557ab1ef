package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"
)

// until calls holds at once and then every 20 ms, until it returns true. It returns the
// error of holds, or an error if limit passes or ctx ends before. The interval is the
// resolution of what drain measures.
func until(ctx context.Context, limit time.Duration, holds func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if ok, err := holds(); err != nil || ok {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("waiting for at most %v: %w", limit, ctx.Err())
		}
	}
}

// drain measures the rate at which each system's relay sends a backlog to Kafka.
func (b *bed) drain(ctx context.Context, r *results) error {
	for _, s := range b.systems {
		// The peer may have fewer rows, since rates are compared and not times.
		n := b.flags.rows
		if _, peer := s.(*watermillOutbox); peer {
			n = b.flags.peerRows
		}
		if _, err := s.prepare(ctx); err != nil {
			return err
		}
		// The backlog is complete before the relay starts, as after an outage.
		if err := b.fill(ctx, s, n); err != nil {
			return fmt.Errorf("fill %s: %w", s.name(), err)
		}
		if err := b.exec(ctx, `CHECKPOINT`); err != nil { // pages that filling left dirty are not written while draining
			return err
		}
		var took time.Duration
		if err := relaying(ctx, s, func(ctx context.Context) error {
			// The time includes the relay's start: taking the lease, fencing, subscribing.
			start := time.Now()
			defer func() { took = time.Since(start) }()
			// The end is what the relay has recorded, not what Kafka holds: after a crash it
			// would send again what it had not recorded.
			return until(ctx, time.Hour, func() (bool, error) {
				sent, err := s.sent(ctx)
				return sent >= int64(n), err
			})
		}); err != nil {
			return err
		}
		// The name includes the number of rows, which may differ between systems.
		r.add(fmt.Sprintf("%s, %d rows", s.name(), n), "rows/s", float64(n)/took.Seconds())
		if s != b.systems[0] {
			first := fmt.Sprintf("%s, %d rows", b.systems[0].name(), b.flags.rows)
			r.compare(first, fmt.Sprintf("%s, %d rows", s.name(), n), b.systems[0].name()+" / "+s.name())
		}
	}
	return nil
}

// follow measures the delay from the beginning of an event's transaction until a reader of
// committed records has decoded the event. The delay includes the transaction. Both times
// come from this process's clock, so they can be compared.
func (b *bed) follow(ctx context.Context, r *results) error {
	for _, s := range b.systems {
		topic, err := s.prepare(ctx)
		if err != nil {
			return err
		}
		var delays []time.Duration
		var wrote int64
		if err := relaying(ctx, s, func(ctx context.Context) error {
			// The reader stops with the turn, or it would take processor time from the next one.
			reading, cancel := context.WithCancel(ctx)
			defer cancel()
			read, err := b.read(reading, topic)
			if err != nil {
				return err
			}
			// The reader starts before the first event, so that few delays include its start, if
			// any.
			if wrote, err = b.writeAt(ctx, s); err != nil {
				return err
			}
			// Wait for every event: the last ones to arrive are the tail that is measured.
			return until(ctx, time.Minute, func() (bool, error) {
				// Each call copies all delays, which costs little beside a turn of seconds.
				delays = read()
				return int64(len(delays)) >= wrote, nil
			})
		}); err != nil {
			return fmt.Errorf("%s: %w", s.name(), err)
		}
		// Among thousands of delays the nearest rank is close enough to a percentile.
		slices.Sort(delays)
		r.add(s.name()+", written", "tx/s", float64(wrote)/b.flags.lasts.Seconds())
		for _, q := range []int{50, 99} {
			name := fmt.Sprintf(", delay p%d", q)
			r.add(s.name()+name, "ms", float64(delays[len(delays)*q/100])/1e6)
			if s != b.systems[0] {
				r.compare(b.systems[0].name()+name, s.name()+name, fmt.Sprintf("%s / %s, p%d", b.systems[0].name(), s.name(), q))
			}
		}
	}
	return nil
}

// writeAt has the writers commit transactions of one event each, spread evenly over time,
// and returns how many it tried.
func (b *bed) writeAt(ctx context.Context, s system) (wrote int64, err error) {
	var wg sync.WaitGroup
	// mu guards wrote and err.
	var mu sync.Mutex
	// If each writer commits at this interval, all of them together commit at the rate.
	every := time.Second * time.Duration(b.flags.writers) / time.Duration(b.flags.rate)
	end := time.Now().Add(b.flags.lasts)
	for n := range b.flags.writers {
		wg.Go(func() {
			// The writers begin at different times, so that commits are spread over the interval.
			next := time.Now().Add(every * time.Duration(n) / time.Duration(b.flags.writers))
			// Due times do not depend on how long commits take: a writer that is late catches up.
			for i := 0; next.Before(end); next, i = next.Add(every), i+1 {
				select {
				case <-time.After(time.Until(next)):
				case <-ctx.Done():
					return
				}
				// Each writer has its own key, so that no order between writers has to be kept.
				o := order{ID: fmt.Sprint("w", n), At: time.Now().UnixNano(), Note: note}
				one := pgx.BeginFunc(ctx, b.pool, func(tx pgx.Tx) error { return s.publish(ctx, tx, o) })
				mu.Lock()
				wrote++
				err = errors.Join(err, one)
				mu.Unlock()
				// A writer stops when it fails. The others continue, and the error ends the turn.
				if one != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	return wrote, err
}

// read starts a reader of a topic, which stops when ctx ends. The function that it returns
// returns a copy of the delays so far, in the order of arrival.
func (b *bed) read(ctx context.Context, topic string) (delays func() []time.Duration, err error) {
	// All systems have the same reader. It reads committed records alone, as the events of a
	// fenced relay require, and from the start: the topic is new, so all of it is of this turn.
	client, err := kgo.NewClient(kgo.SeedBrokers(b.brokers...), kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return nil, err
	}
	// mu guards found, which the caller reads while events arrive.
	var mu sync.Mutex
	var found []time.Duration
	go func() {
		defer client.Close()
		for ctx.Err() == nil {
			client.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
				var o order
				// The time is taken after decoding, when a handler could begin.
				if json.Unmarshal(r.Value, &o) == nil && o.At > 0 {
					mu.Lock()
					found = append(found, time.Duration(time.Now().UnixNano()-o.At))
					mu.Unlock()
				}
			})
		}
	}()
	// The caller sorts the copy.
	return func() []time.Duration {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(found)
	}, nil
}
