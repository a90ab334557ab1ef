package inbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus/postgres/internal/pgtest"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var schemas atomic.Int64

func open(t testing.TB, config Config) (*Inbox, *pgxpool.Pool) {
	t.Helper()
	address := pgtest.Shared(t)
	c, err := pgxpool.ParseConfig(address)
	if err != nil {
		t.Fatal(err)
	}
	c.MaxConns = 64
	pool, err := pgxpool.NewWithConfig(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	config.Table.Schema = fmt.Sprintf("i%d_%d_%d", os.Getpid(), time.Now().UnixMilli(), schemas.Add(1))
	var wg sync.WaitGroup
	for range 5 { // like a deployment with many instances
		wg.Go(func() {
			if err := Migrate(context.Background(), pool, config.Table); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	t.Cleanup(func() { _, _ = pool.Exec(context.Background(), `DROP SCHEMA `+config.Table.Schema+` CASCADE`) })
	in, err := New(pool, config)
	if err != nil {
		t.Fatal(err)
	}
	return in, pool
}

// onBoth runs a test with an inbox on pgx, and with one on database/sql.
func onBoth(t *testing.T, config Config, do func(t *testing.T, in *Inbox, pool *pgxpool.Pool)) {
	t.Run("pgx", func(t *testing.T) {
		in, pool := open(t, config)
		do(t, in, pool)
	})
	t.Run("database/sql", func(t *testing.T) {
		in, pool := open(t, config)
		db := stdlib.OpenDBFromPool(pool)
		t.Cleanup(func() { _ = db.Close() })
		in, err := NewSQL(db, in.config)
		if err != nil {
			t.Fatal(err)
		}
		do(t, in, pool)
	})
}

// insert runs a statement in the transaction of the handler's context.
func insert(ctx context.Context, statement string) error {
	if tx, ok := FromContext(ctx); ok {
		_, err := tx.Exec(ctx, statement)
		return err
	}
	tx, ok := SQLFromContext(ctx)
	if !ok {
		return errors.New("no transaction in the handler's context")
	}
	_, err := tx.ExecContext(ctx, statement)
	return err
}

// TestOneKeyAtOnce: of eight deliveries of one event, the first three roll back, one
// commits, and the rest do not run.
func TestOneKeyAtOnce(t *testing.T) {
	onBoth(t, Config{}, func(t *testing.T, in *Inbox, _ *pgxpool.Pool) {
		var ran atomic.Int64
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				err := in.Once(t.Context(), []string{"g\x00src\x00id"}, func(_ context.Context, fresh []int) error {
					if len(fresh) == 1 && ran.Add(1) <= 3 {
						return errors.New("rolled back")
					}
					return nil
				})
				if err != nil && err.Error() != "rolled back" {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if ran.Load() != 4 {
			t.Errorf("the handler ran %d times, want 4", ran.Load())
		}
	})
}

// TestBatchesDoNotDeadlock: batches share keys, in opposite orders.
func TestBatchesDoNotDeadlock(t *testing.T) {
	onBoth(t, Config{}, func(t *testing.T, in *Inbox, _ *pgxpool.Pool) {
		var ran atomic.Int64
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				keys := []string{"a", "b", "c", "d", "e", fmt.Sprint("x", i), "a"}
				if i%2 == 1 {
					slices.Reverse(keys)
				}
				if err := in.Once(t.Context(), keys, func(_ context.Context, fresh []int) error {
					ran.Add(int64(len(fresh)))
					return nil
				}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if ran.Load() != 55 {
			t.Errorf("%d events were handled, want 55", ran.Load())
		}
	})
}

// TestHandlersTransaction: the handler's writes and the key commit or roll back
// together, even if the handler panics.
func TestHandlersTransaction(t *testing.T) {
	onBoth(t, Config{}, func(t *testing.T, in *Inbox, pool *pgxpool.Pool) {
		books := in.config.Table.Schema + ".books"
		if _, err := pool.Exec(t.Context(), `CREATE TABLE `+books+` (x int)`); err != nil {
			t.Fatal(err)
		}
		write := func(ctx context.Context) {
			if err := insert(ctx, `INSERT INTO `+books+` VALUES (1)`); err != nil {
				t.Error(err)
			}
		}
		func() {
			defer func() { _ = recover() }()
			_ = in.Once(t.Context(), []string{"k"}, func(ctx context.Context, _ []int) error { write(ctx); panic("half way") })
		}()
		for range 2 {
			if err := in.Once(t.Context(), []string{"k"}, func(ctx context.Context, fresh []int) error {
				if len(fresh) > 0 {
					write(ctx)
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		}
		var n int
		if err := pool.QueryRow(t.Context(), `SELECT count(*) FROM `+books).Scan(&n); err != nil || n != 1 {
			t.Errorf("%d rows, %v, want 1", n, err)
		}
		if s := pool.Stat(); s.AcquiredConns() != 0 {
			t.Errorf("%d connections are still held", s.AcquiredConns())
		}
	})
}

// TestTimeoutFreesTheConnection: a handler that waits longer than Timeout loses its
// transaction, and its connection is freed.
func TestTimeoutFreesTheConnection(t *testing.T) {
	onBoth(t, Config{Timeout: 100 * time.Millisecond}, func(t *testing.T, in *Inbox, pool *pgxpool.Pool) {
		err := in.Once(t.Context(), []string{"k"}, func(ctx context.Context, _ []int) error {
			<-ctx.Done()
			return context.Cause(ctx)
		})
		if err == nil || !strings.Contains(err.Error(), "took longer than") {
			t.Errorf("a handler beyond the bound: %v", err)
		}
		// The pool closes a connection whose context ended, in the background.
		for deadline := time.Now().Add(10 * time.Second); pool.Stat().AcquiredConns() != 0; runtime.Gosched() {
			if time.Now().After(deadline) {
				t.Fatalf("%d connections are still held", pool.Stat().AcquiredConns())
			}
		}
	})
}

func TestClean(t *testing.T) {
	onBoth(t, Config{Keep: time.Hour}, func(t *testing.T, in *Inbox, pool *pgxpool.Pool) {
		if _, err := pool.Exec(t.Context(), `INSERT INTO `+in.table+` SELECT 'old'||i, now() - interval '2 hours' FROM generate_series(1, 25000) i`); err != nil {
			t.Fatal(err)
		}
		if err := in.Once(t.Context(), []string{"young", strings.Repeat("long", 5000), "\xff"}, func(context.Context, []int) error { return nil }); err != nil {
			t.Fatal(err)
		}
		if n, err := in.Clean(t.Context()); err != nil || n != 25000 {
			t.Errorf("%d deleted, %v", n, err)
		}
		var left int
		if err := pool.QueryRow(t.Context(), `SELECT count(*) FROM `+in.table).Scan(&left); err != nil || left != 3 {
			t.Errorf("%d keys left, %v, want 3", left, err)
		}
	})
}

func TestMissingTable(t *testing.T) {
	onBoth(t, Config{}, func(t *testing.T, in *Inbox, pool *pgxpool.Pool) {
		if _, err := pool.Exec(t.Context(), `DROP TABLE `+in.table); err != nil {
			t.Fatal(err)
		}
		err := in.Once(t.Context(), []string{"k"}, func(context.Context, []int) error { return nil })
		if !errors.Is(err, ErrSchema) || !strings.Contains(err.Error(), "inbox.Migrate") {
			t.Errorf("a missing table: %v", err)
		}
		if _, err := New(pool, Config{Table: Table{Name: "a b"}, Keep: -1}); err == nil {
			t.Error("an invalid name was accepted")
		}
	})
}

// BenchmarkOnce measures the inbox alone, with one and with a hundred events per
// transaction.
func BenchmarkOnce(b *testing.B) {
	for _, size := range []int{1, 100} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			in, _ := open(b, Config{})
			var n atomic.Int64
			b.SetParallelism(32)
			b.RunParallel(func(p *testing.PB) {
				for p.Next() {
					keys := make([]string, size)
					for i := range keys {
						keys[i] = fmt.Sprintf("mailer-dev|urn:sales|%d", n.Add(1))
					}
					if err := in.Once(context.Background(), keys, func(context.Context, []int) error { return nil }); err != nil {
						b.Error(err)
					}
				}
			})
			b.ReportMetric(float64(b.N*size)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
