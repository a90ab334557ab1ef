package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/eventbus-go/eventbus/postgres/inbox"
)

// plain is a table with the outbox's primary key and the columns that an event fills, without its
// transaction ids and second index. It shows the cost of any table into which a service might insert
// its events.
const plain = `CREATE TABLE IF NOT EXISTS bench_outbox.plain (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, format smallint NOT NULL, event_id text NOT NULL, topic text NOT NULL,
	key bytea, value bytea, attributes bytea NOT NULL, created_at timestamptz NOT NULL DEFAULT clock_timestamp())`

// writingAtOnce is the number of concurrent transactions in the workloads write and inbox.
const writingAtOnce = 8

// write measures the rate of transactions that write one event and nothing else, beside those that
// insert the same event into a plain table. Their order rotates from round to round.
func (b *bed) write(ctx context.Context, r *results) error {
	if err := b.exec(ctx, plain, `TRUNCATE bench_outbox.plain`); err != nil {
		return err
	}
	// The unfenced variant is left out: it differs only in its relay.
	own, peer := b.systems[0], b.systems[len(b.systems)-1]
	for _, s := range []system{own, peer} {
		if _, err := s.prepare(ctx); err != nil {
			return err
		}
	}
	// Take the row that the outbox writes, so that the plain table gets the same event.
	sample := order{ID: "w1", At: time.Now().UnixNano(), Note: note}
	if err := pgx.BeginFunc(ctx, b.pool, func(tx pgx.Tx) error { return own.publish(ctx, tx, sample) }); err != nil {
		return err
	}
	var eventID, topic string
	var key, value, attributes []byte
	if err := b.pool.QueryRow(ctx, `SELECT event_id, topic, key, value, attributes FROM bench_outbox.outbox LIMIT 1`).Scan(&eventID, &topic, &key, &value, &attributes); err != nil {
		return err
	}
	// All events have the same key. Publishers lock no keys by default, so the writers don't
	// wait for each other.
	ways := []struct {
		name string
		do   func(ctx context.Context, tx pgx.Tx) error
	}{
		// The first way is the one that the others are compared with.
		{"plain INSERT", func(ctx context.Context, tx pgx.Tx) error {
			_, err := tx.Exec(ctx, `INSERT INTO bench_outbox.plain (format, event_id, topic, key, value, attributes) VALUES (1,$1,$2,$3,$4,$5)`, eventID, topic, key, value, attributes)
			return err
		}},
		{own.name(), func(ctx context.Context, tx pgx.Tx) error {
			return own.publish(ctx, tx, order{ID: "w1", At: time.Now().UnixNano(), Note: note})
		}},
		{peer.name(), func(ctx context.Context, tx pgx.Tx) error {
			return peer.publish(ctx, tx, order{ID: "w1", At: time.Now().UnixNano(), Note: note})
		}},
	}
	// Each round begins with another way, so that none always has the same place.
	first := len(r.values[ways[0].name])
	// The figures are added in the order of ways, not in that of this round.
	found := make([]float64, len(ways))
	for i := range ways {
		// The ways run one at a time, and equally long.
		at := (first + i) % len(ways)
		rate, err := b.flatOut(ctx, writingAtOnce, func(ctx context.Context) (int64, error) {
			return 1, pgx.BeginFunc(ctx, b.pool, func(tx pgx.Tx) error { return ways[at].do(ctx, tx) })
		})
		if err != nil {
			return fmt.Errorf("%s: %w", ways[at].name, err)
		}
		found[at] = rate
	}
	for i, w := range ways {
		r.add(w.name, "tx/s", found[i])
		if i > 0 {
			r.compare(ways[0].name, w.name, "cost of "+w.name+" / "+ways[0].name)
		}
	}
	return nil
}

// inbox measures how many events per second pass an inbox, one per transaction and a hundred,
// beside transactions that run the handler's INSERT and nothing else.
func (b *bed) inbox(ctx context.Context, r *results) error {
	// Use new tables for every round, since they grow during the measurement.
	if err := b.exec(ctx, `DROP TABLE IF EXISTS bench_outbox.inbox, bench_outbox.handled`, `CREATE TABLE bench_outbox.handled (id bigint PRIMARY KEY)`); err != nil {
		return err
	}
	table := inbox.Table{Schema: "bench_outbox"}
	// Use the package's own migration, as a service does.
	if err := inbox.Migrate(ctx, b.pool, table); err != nil {
		return err
	}
	in, err := inbox.New(b.pool, inbox.Config{Table: table})
	if err != nil {
		return err
	}
	// last is the highest number given to an event. Each event has another number, so that the
	// inbox and the table take all of them.
	var last atomic.Int64
	// The handler runs one statement for any batch, the same with and without an inbox.
	handle := func(ctx context.Context, tx pgx.Tx, from, n int64) error {
		_, err := tx.Exec(ctx, `INSERT INTO bench_outbox.handled SELECT generate_series($1::bigint, $2::bigint)`, from, from+n-1)
		return err
	}
	// A batch shares the cost of its transaction.
	for _, batch := range []int64{1, 100} {
		with, without := fmt.Sprintf("inbox, %d a transaction", batch), fmt.Sprintf("no inbox, %d a transaction", batch)
		rate, err := b.flatOut(ctx, writingAtOnce, func(ctx context.Context) (int64, error) {
			// No other transaction gets these numbers, even after an error.
			from := last.Add(batch) - batch
			// The form of the keys that eventbus.Idempotent makes: group, source and id.
			keys := make([]string, batch)
			for i := range keys {
				keys[i] = fmt.Sprintf("group urn:bench %d", from+int64(i))
			}
			return batch, in.Once(ctx, keys, func(ctx context.Context, fresh []int) error {
				// All events are new, so fresh has every index and the handler does all of its work.
				tx, _ := inbox.FromContext(ctx)
				return handle(ctx, tx, from, int64(len(fresh)))
			})
		})
		if err != nil {
			return err
		}
		r.add(with, "events/s", rate)
		// The same INSERT without an inbox runs right after, so that the machine and the table
		// are in the same state.
		if rate, err = b.flatOut(ctx, writingAtOnce, func(ctx context.Context) (int64, error) {
			from := last.Add(batch) - batch
			return batch, pgx.BeginFunc(ctx, b.pool, func(tx pgx.Tx) error { return handle(ctx, tx, from, batch) })
		}); err != nil {
			return err
		}
		r.add(without, "events/s", rate)
		r.compare(without, with, fmt.Sprintf("cost of the inbox, %d a transaction", batch))
	}
	return nil
}

// flatOut calls do repeatedly on atOnce goroutines, for as long as the flag -for says. do returns
// the number of its events, and flatOut the events per second. A goroutine stops at its first error;
// flatOut returns the errors of all.
func (b *bed) flatOut(ctx context.Context, atOnce int, do func(context.Context) (int64, error)) (rate float64, err error) {
	var wg sync.WaitGroup
	var events atomic.Int64
	// mu guards err.
	var mu sync.Mutex
	start := time.Now()
	// Concurrent commits are part of the work: PostgreSQL may write several of them to the disk
	// together.
	for range atOnce {
		wg.Go(func() {
			// A call that has begun before the end is finished, and counts.
			for time.Since(start) < b.flags.lasts {
				n, one := do(ctx)
				if one != nil {
					mu.Lock()
					err = errors.Join(err, one)
					mu.Unlock()
					return
				}
				events.Add(n)
			}
		})
	}
	wg.Wait()
	// The sum includes the events of the goroutine that ended last, so the time does too.
	return float64(events.Load()) / time.Since(start).Seconds(), err
}
