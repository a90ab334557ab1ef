package outbox

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/kafkatest"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// reading is a way to read an outbox: the relay's, or a wrong one that the race must
// catch.
type reading interface {
	next(ctx context.Context) ([]row, error)
}

// difference reads like the relay, with its statements.
type difference struct {
	relay *Relay
	lease lease
	at    cursor
}

func (d *difference) next(ctx context.Context) ([]row, error) {
	rows, after, err := d.relay.next(ctx, d.at)
	if err != nil {
		return nil, err
	}
	d.at = after
	return rows, d.relay.advance(ctx, &d.lease, after, rows, len(rows), nil)
}

// byID reads like a naive relay: ids greater than the last.
type byID struct {
	relay *Relay
	run   string
	last  int64
}

func (b *byID) next(ctx context.Context) ([]row, error) {
	rows, _, err := b.relay.read(ctx, b.run, b.relay.names.sql(`SELECT `+columns+` FROM {outbox} WHERE id > $1 ORDER BY id LIMIT 500`), b.last)
	if len(rows) > 0 {
		b.last = rows[len(rows)-1].id
	}
	return rows, err
}

// byTransaction reads as most articles suggest: an (xid, id) cursor below the oldest
// running transaction.
type byTransaction struct {
	relay *Relay
	xid   string
	last  int64
}

func (b *byTransaction) next(ctx context.Context) ([]row, error) {
	found, err := b.relay.pool.Query(ctx, b.relay.names.sql(`SELECT `+columns+`, xid::text FROM {outbox}
		WHERE (xid, id) > ($1::text::xid8, $2) AND xid < pg_snapshot_xmin(pg_current_snapshot()) ORDER BY xid, id LIMIT 500`), cmp.Or(b.xid, "0"), b.last)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(found, func(found pgx.CollectableRow) (x row, err error) {
		err = found.Scan(&x.id, &x.format, &x.eventID, &x.topic, &x.key, &x.value, &x.partitioner, &x.attributes, &x.table, &b.xid)
		b.last = x.id
		return x, err
	})
}

// outcome is the result of a race.
type outcome struct{ committed, read, lost, repeated, inverted int }

func (o outcome) String() string {
	return fmt.Sprintf("%d committed, %d read: %d lost, %d repeated, %d inverted", o.committed, o.read, o.lost, o.repeated, o.inverted)
}

// writers commit changes of aggregates with their events, up to a number of events.
// They use rollbacks, savepoints, an earlier write that makes the transaction id older
// than the aggregate's lock, pauses, and two-phase commits.
type writers struct {
	pool      *pgxpool.Pool
	table     Table
	publisher *Publisher[change]
	count     int
	events    int64
	keys      int
	pauses    bool
	patient   bool // go on after an error, like clients of an unreachable server

	done      atomic.Int64
	mu        sync.Mutex
	committed map[string]int64 // the last version of a key
	errs      []error
}

func (w *writers) run(ctx context.Context) {
	w.committed = make(map[string]int64)
	var wg sync.WaitGroup
	for n := range w.count {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(uint64(n), 7))
			for w.done.Load() < w.events && (!w.patient || ctx.Err() == nil) {
				err := w.one(ctx, random, n)
				if err != nil && w.patient {
					wait(ctx, 20*time.Millisecond)
					continue
				}
				if err != nil {
					w.mu.Lock()
					w.errs = append(w.errs, err)
					w.mu.Unlock()
					return
				}
			}
		})
	}
	wg.Wait()
}

func (w *writers) one(ctx context.Context, random *rand.Rand, writer int) error {
	tx, err := w.pool.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(ctx) }()
	if random.IntN(4) == 0 {
		if _, err := tx.Exec(ctx, `INSERT INTO `+w.table.Schema+`.audit VALUES (1)`); err != nil {
			return err
		}
	}
	if w.pauses && random.IntN(10) == 0 {
		wait(ctx, time.Duration(random.IntN(30))*time.Millisecond)
	}
	key := "k" + strconv.Itoa(random.IntN(w.keys))
	inner := tx
	savepoint := random.IntN(20) == 0
	if savepoint {
		if inner, err = tx.Begin(ctx); err != nil {
			return err
		}
	}
	var version int64
	if err := inner.QueryRow(ctx, `INSERT INTO `+w.table.Schema+`.aggregate VALUES ($1, 1) ON CONFLICT (key) DO UPDATE SET version = aggregate.version + 1 RETURNING version`, key).Scan(&version); err != nil {
		return err
	}
	if err := w.publisher.Publish(ctx, Pgx(inner), change{Key: key, Version: version}); err != nil {
		return err
	}
	if savepoint {
		if random.IntN(2) == 0 {
			if err := inner.Rollback(ctx); err != nil {
				return err
			}
			return tx.Commit(ctx)
		}
		if err := inner.Commit(ctx); err != nil {
			return err
		}
	}
	if w.pauses && random.IntN(20) == 0 {
		wait(ctx, time.Duration(random.IntN(20))*time.Millisecond)
	}
	switch {
	case random.IntN(50) == 0:
		return tx.Rollback(ctx)
	case random.IntN(200) == 0 && writer < 10: // as many as max_prepared_transactions allows
		name := fmt.Sprintf("'%s-%d-%d'", w.table.Schema, writer, random.Uint64())
		if _, err := tx.Exec(ctx, `PREPARE TRANSACTION `+name); err != nil {
			return err
		}
		wait(ctx, time.Duration(random.IntN(10))*time.Millisecond)
		if _, err := tx.Conn().Exec(ctx, `COMMIT PREPARED `+name); err != nil {
			return err
		}
	default:
		if err := tx.Commit(ctx); err != nil {
			return err
		}
	}
	w.mu.Lock()
	w.committed[key] = max(w.committed[key], version)
	w.mu.Unlock()
	w.done.Add(1)
	return nil
}

// race lets writers write while a reading follows, and judges the reading. The row
// lock makes a key's versions follow the commit order.
func race(t *testing.T, r reading, w *writers) outcome {
	t.Helper()
	ctx := t.Context()
	over := make(chan struct{})
	go func() { defer close(over); w.run(ctx) }()
	read := make(map[string][]int64)
	var found outcome
	for empty := 0; empty < 5; {
		ended := false
		select {
		case <-over:
			ended = true
		default:
		}
		rows, err := r.next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for i := range rows {
			e, err := rows[i].envelope()
			if err != nil {
				t.Fatal(err)
			}
			c, err := changeTopic.Decode(e)
			if err != nil {
				t.Fatal(err)
			}
			read[c.Key] = append(read[c.Key], c.Version)
			found.read++
		}
		if len(rows) == 0 {
			if ended {
				empty++
			}
			wait(ctx, 2*time.Millisecond)
		}
	}
	for _, err := range w.errs {
		t.Error(err)
	}
	for key, last := range w.committed {
		found.committed += int(last)
		seen := make(map[int64]bool)
		highest := int64(0)
		for _, v := range read[key] {
			switch {
			case seen[v]:
				found.repeated++
			case v < highest:
				found.inverted++
			}
			seen[v], highest = true, max(highest, v)
		}
		for v := int64(1); v <= last; v++ {
			if !seen[v] {
				found.lost++
			}
		}
	}
	return found
}

func newWriters(t *testing.T, pool *pgxpool.Pool, table Table, events int64) *writers {
	bus := kafkatest.NewMemory(t).Bus(t)
	return &writers{pool: pool, table: table, publisher: For(eventbus.NewPublisher(bus, changeTopic)).In(table), count: 100, events: events, keys: 5000, pauses: true}
}

// newReading returns the reading of a relay that leads.
func newReading(t *testing.T, pool *pgxpool.Pool, table Table, batch int) *difference {
	r, err := NewRelay(kafkatest.NewMemory(t).Bus(t), pool, Config{Table: table, Logger: quiet(), Batch: batch})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.check(t.Context()); err != nil {
		t.Fatal(err)
	}
	l, at, err := r.acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return &difference{relay: r, lease: l, at: at}
}

// raceEvents returns the number of events of a race: EVENTBUS_OUTBOX_EVENTS, or a few.
func raceEvents(t *testing.T) int64 {
	if text := os.Getenv("EVENTBUS_OUTBOX_EVENTS"); text != "" {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	return 10_000
}

// TestPromise9Race: with 100 writers nothing is lost or inverted, in windows that fit
// into a batch and in windows that are walked.
func TestPromise9Race(t *testing.T) {
	address := dsn(t)
	for _, batch := range []int{2000, 10} {
		t.Run(fmt.Sprint("batch=", batch), func(t *testing.T) {
			pool := openPool(t, address, 110)
			table := newTable(t, pool)
			w := newWriters(t, pool, table, raceEvents(t))
			if batch == 10 {
				w.events = min(w.events, 50_000)
			}
			// A transaction that has written stays open during all windows.
			long, err := pool.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := long.Exec(t.Context(), `INSERT INTO `+table.Schema+`.audit VALUES (1)`); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = long.Rollback(context.Background()) })
			start := time.Now()
			found := race(t, newReading(t, pool, table, batch), w)
			t.Logf("%v in %v", found, time.Since(start).Round(time.Millisecond))
			if found.lost > 0 || found.inverted > 0 || found.repeated > 0 || found.committed < int(w.events) {
				t.Errorf("%v", found)
			}
		})
	}
}

// TestRaceCatchesWrongRelays: the race finds the faults of wrong relays.
func TestRaceCatchesWrongRelays(t *testing.T) {
	address := dsn(t)
	t.Run("naive", func(t *testing.T) {
		pool := openPool(t, address, 110)
		table := newTable(t, pool)
		d := newReading(t, pool, table, 500)
		found := race(t, &byID{relay: d.relay, run: d.lease.run}, newWriters(t, pool, table, 5000))
		t.Logf("id > last: %v", found)
		if found.lost == 0 {
			t.Errorf("id > last lost nothing: %v", found)
		}
	})
	t.Run("xid", func(t *testing.T) {
		pool := openPool(t, address, 110)
		table := newTable(t, pool)
		d := newReading(t, pool, table, 500)
		w := newWriters(t, pool, table, 10_000)
		w.keys = 300
		found := race(t, &byTransaction{relay: d.relay}, w)
		t.Logf("(xid, id): %v", found)
		if found.inverted == 0 {
			t.Errorf("(xid, id) inverted nothing: %v", found)
		}
	})
}

// TestOrderOfTransactionIDs: the (xid, id) order inverts a key, step by step.
func TestOrderOfTransactionIDs(t *testing.T) {
	pool := openPool(t, dsn(t), 6)
	table := newTable(t, pool)
	publisher := newWriters(t, pool, table, 0).publisher
	d := newReading(t, pool, table, 100)
	begin := func() pgx.Tx {
		tx, err := pool.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return tx
	}
	write := func(tx pgx.Tx, version int64) {
		if err := publisher.Publish(t.Context(), Pgx(tx), change{Key: "k", Version: version}); err != nil {
			t.Fatal(err)
		}
		if err := tx.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	a := begin()
	if _, err := a.Exec(t.Context(), `INSERT INTO `+table.Schema+`.audit VALUES (1)`); err != nil {
		t.Fatal(err)
	}
	write(begin(), 1)
	write(a, 2) // with the older transaction id
	rows, err := d.next(t.Context())
	if err != nil || len(rows) != 2 || !slices.IsSortedFunc(rows, func(a, b row) int { return cmp.Compare(a.id, b.id) }) {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	if byXID, err := (&byTransaction{relay: d.relay}).next(t.Context()); err != nil || len(byXID) != 2 || byXID[0].id < byXID[1].id {
		t.Errorf("the planted relay does not invert: %v", err)
	}
}
