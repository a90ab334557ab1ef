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

// until polls a condition.
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
			return fmt.Errorf("not within %v: %w", limit, ctx.Err())
		}
	}
}

// drain measures how fast a backlog goes to Kafka.
func (b *bed) drain(ctx context.Context, r *results) error {
	for _, s := range b.systems {
		n := b.flags.rows
		if _, peer := s.(*watermillOutbox); peer {
			n = b.flags.peerRows
		}
		if _, err := s.prepare(ctx); err != nil {
			return err
		}
		if err := b.fill(ctx, s, n); err != nil {
			return fmt.Errorf("fill %s: %w", s.name(), err)
		}
		if err := b.exec(ctx, `CHECKPOINT`); err != nil { // what filling left to be written is no part of draining
			return err
		}
		var took time.Duration
		if err := relaying(ctx, s, func(ctx context.Context) error {
			start := time.Now()
			defer func() { took = time.Since(start) }()
			return until(ctx, time.Hour, func() (bool, error) {
				sent, err := s.sent(ctx)
				return sent >= int64(n), err
			})
		}); err != nil {
			return err
		}
		r.add(fmt.Sprintf("%s, %d rows", s.name(), n), "rows/s", float64(n)/took.Seconds())
		if s != b.systems[0] {
			first := fmt.Sprintf("%s, %d rows", b.systems[0].name(), b.flags.rows)
			r.compare(first, fmt.Sprintf("%s, %d rows", s.name(), n), b.systems[0].name()+" / "+s.name())
		}
	}
	return nil
}

// follow measures how long after the beginning of its transaction an event is in the
// hands of a reader of committed records.
func (b *bed) follow(ctx context.Context, r *results) error {
	for _, s := range b.systems {
		topic, err := s.prepare(ctx)
		if err != nil {
			return err
		}
		var delays []time.Duration
		var wrote int64
		if err := relaying(ctx, s, func(ctx context.Context) error {
			reading, cancel := context.WithCancel(ctx)
			defer cancel()
			read, err := b.read(reading, topic)
			if err != nil {
				return err
			}
			if wrote, err = b.writeAt(ctx, s); err != nil {
				return err
			}
			return until(ctx, time.Minute, func() (bool, error) {
				delays = read()
				return int64(len(delays)) >= wrote, nil
			})
		}); err != nil {
			return fmt.Errorf("%s: %w", s.name(), err)
		}
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

// writeAt has the writers commit transactions of one event each, evenly in time.
func (b *bed) writeAt(ctx context.Context, s system) (wrote int64, err error) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	every := time.Second * time.Duration(b.flags.writers) / time.Duration(b.flags.rate)
	end := time.Now().Add(b.flags.lasts)
	for n := range b.flags.writers {
		wg.Go(func() {
			next := time.Now().Add(every * time.Duration(n) / time.Duration(b.flags.writers))
			for i := 0; next.Before(end); next, i = next.Add(every), i+1 {
				select {
				case <-time.After(time.Until(next)):
				case <-ctx.Done():
					return
				}
				o := order{ID: fmt.Sprint("w", n), At: time.Now().UnixNano(), Note: note}
				one := pgx.BeginFunc(ctx, b.pool, func(tx pgx.Tx) error { return s.publish(ctx, tx, o) })
				mu.Lock()
				wrote++
				err = errors.Join(err, one)
				mu.Unlock()
				if one != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	return wrote, err
}

// read reads a topic until ctx ends. The function that it returns returns how long
// each event took.
func (b *bed) read(ctx context.Context, topic string) (delays func() []time.Duration, err error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(b.brokers...), kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	var found []time.Duration
	go func() {
		defer client.Close()
		for ctx.Err() == nil {
			client.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
				var o order
				if json.Unmarshal(r.Value, &o) == nil && o.At > 0 {
					mu.Lock()
					found = append(found, time.Duration(time.Now().UnixNano()-o.At))
					mu.Unlock()
				}
			})
		}
	}()
	return func() []time.Duration {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(found)
	}, nil
}
