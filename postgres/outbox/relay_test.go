package outbox

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/kafkatest"
	"github.com/jackc/pgx/v5"
)

// TestPromise9PublishedIfCommitted: committed events are published, once and in order;
// those of a rolled back transaction or savepoint are not.
func TestPromise9PublishedIfCommitted(t *testing.T) {
	for name, c := range map[string]struct{ unfenced, partitioned bool }{"fenced": {}, "unfenced": {unfenced: true}, "partitioned": {partitioned: true}} {
		t.Run(name, func(t *testing.T) {
			pool := openPool(t, dsn(t), 10)
			table := newTableOf(t, pool, Table{Partitioned: c.partitioned})
			cluster := kafkatest.NewBroker(t)
			bus := cluster.Bus(t)
			if err := bus.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			base := eventbus.NewPublisher(bus, changeTopic)
			if err := base.Publish(t.Context(), change{Key: "first"}); err != nil { // makes the topic
				t.Fatal(err)
			}
			publisher := For(base).In(table)
			runRelay(t, bus, pool, Config{Table: table, Unfenced: c.unfenced})
			for n := range int64(300) {
				tx, err := pool.Begin(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				event := change{Key: fmt.Sprint("k", n%5), Version: n/5 + 1}
				if err := publisher.Publish(t.Context(), Pgx(tx), event, eventbus.WithHeader("x", "y")); err != nil {
					t.Fatal(err)
				}
				save, err := tx.Begin(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if err := publisher.Publish(t.Context(), Pgx(save), change{Key: "never"}); err != nil {
					t.Fatal(err)
				}
				if err := save.Rollback(t.Context()); err != nil {
					t.Fatal(err)
				}
				if err := tx.Commit(t.Context()); err != nil {
					t.Fatal(err)
				}
				tx, err = pool.Begin(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if err := publisher.PublishBatch(t.Context(), Pgx(tx), []change{{Key: "never"}, {Key: "never"}}); err != nil {
					t.Fatal(err)
				}
				if err := tx.Rollback(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			inTx(t, pool, func(tx pgx.Tx) {
				if err := publisher.PublishBatch(t.Context(), Pgx(tx), []change{{Key: "k0", Version: 61}, {Key: "k0", Version: 62}}); err != nil {
					t.Error(err)
				}
			})
			eventually(t, "303 events are published", func() bool { return len(kafkatest.Published(t, cluster, changeTopic)) >= 303 })
			versions, repeated := published(t, cluster)
			delete(versions, "first")
			if len(versions["never"]) > 0 || repeated > 0 || len(inverted(versions)) > 0 || len(versions["k0"]) != 62 {
				t.Errorf("%d events of rolled back transactions, %d repeated, inverted %v, %d of k0", len(versions["never"]), repeated, inverted(versions), len(versions["k0"]))
			}
		})
	}
}

func TestWriteErrors(t *testing.T) {
	pool := openPool(t, dsn(t), 4)
	table := newTable(t, pool)
	bus := kafkatest.NewMemory(t).Bus(t)
	publisher := For(eventbus.NewPublisher(bus, changeTopic)).In(table)
	expect := func(name string, err error, words ...string) {
		t.Helper()
		for _, w := range words {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %v, want %q in it", name, err, w)
			}
		}
	}
	expect("no transaction", publisher.Publish(t.Context(), nil, change{Key: "k"}), "there is no transaction", "outbox.Pgx")
	expect("nil pgx transaction", publisher.Publish(t.Context(), Pgx(nil), change{Key: "k"}), "there is no transaction")

	begin := func() pgx.Tx {
		tx, err := pool.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = tx.Rollback(context.Background()) })
		return tx
	}
	tx := begin()
	_, _ = tx.Exec(t.Context(), `SELECT 1/0`)
	expect("aborted", publisher.Publish(t.Context(), Pgx(tx), change{Key: "k"}), "aborted by an earlier error", "25P02")
	_ = tx.Rollback(t.Context())
	expect("over", publisher.Publish(t.Context(), Pgx(tx), change{Key: "k"}), "the transaction is over")
	other := publisher.In(Table{Schema: table.Schema, Name: "elsewhere"})
	err := other.Publish(t.Context(), Pgx(begin()), change{Key: "k"})
	expect("missing", err, "eventbus outbox migrate", "42P01")
	if !errors.Is(err, ErrSchema) {
		t.Errorf("a missing table is no ErrSchema: %v", err)
	}
	expect("name", publisher.In(Table{Name: `x"; DROP`}).Publish(t.Context(), Pgx(begin()), change{Key: "k"}), "lower-case")
	if _, err := (Config{Name: "a b", Batch: -1, PollInterval: -1}).resolve2(); err == nil || strings.Count(err.Error(), "\n") < 2 {
		t.Errorf("a bad configuration names every field: %v", err)
	}
}

func (c Config) resolve2() (Config, error) { c, _, err := c.resolve(0); return c, err }

// TestLongReadKeepsTheLease: the first window of a large backlog takes longer than the
// lease. It is kept meanwhile, so that no other relay begins the same read.
func TestLongReadKeepsTheLease(t *testing.T) {
	pool := openPool(t, dsn(t), 4)
	table := newTable(t, pool)
	r, err := NewRelay(quickBus(t, kafkatest.NewMemory(t), true), pool, quickLease(table, true))
	if err != nil {
		t.Fatal(err)
	}
	l, _, err := r.acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	acquired, slow := l.until, make(chan window)
	go func() {
		defer close(slow)
		wait(t.Context(), r.config.Lease+time.Second) // as long as a slow statement
		slow <- window{more: true}
	}()
	if w, err := await(t.Context(), r, &l, slow); err != nil || !w.more {
		t.Fatalf("%+v, %v", w, err)
	}
	if !l.covers(0) || !l.until.After(acquired) {
		t.Errorf("the lease ended at %v", l.until)
	}
	if _, _, err := r.acquire(t.Context()); !errors.Is(err, errNotLeading) {
		t.Errorf("another relay takes the lease: %v", err)
	}
}
