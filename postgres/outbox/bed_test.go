package outbox

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/kafkatest"
	"github.com/eventbus-go/eventbus/postgres/internal/pgtest"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if text := os.Getenv(relayVariable); text != "" {
		os.Exit(relayMain(text))
	}
	goleak.VerifyTestMain(m)
}

type change struct {
	Key     string `json:"key"`
	Version int64  `json:"version"`
	Data    string `json:"data,omitempty"`
}

var changeTopic = eventbus.NewTopic(eventbus.TopicConfig[change]{
	Domain: "sales", Name: "change", Partitions: 6, Key: func(c change) string { return c.Key },
})

// dsn returns the address of the server to test with, or skips the test.
func dsn(t testing.TB) string { return pgtest.Shared(t) }

func openPool(t testing.TB, address string, conns int32) *pgxpool.Pool {
	t.Helper()
	config, err := pgxpool.ParseConfig(address)
	if err != nil {
		t.Fatal(err)
	}
	config.MaxConns = conns
	pool, err := pgxpool.NewWithConfig(context.Background(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

var schemas atomic.Int64

// newTable returns an outbox in a new schema, with a table of aggregates.
func newTable(t testing.TB, pool *pgxpool.Pool) Table { return newTableOf(t, pool, Table{}) }

func newTableOf(t testing.TB, pool *pgxpool.Pool, table Table) Table {
	t.Helper()
	table.Schema = fmt.Sprintf("t%d_%d_%d", os.Getpid(), time.Now().UnixMilli(), schemas.Add(1))
	if err := Migrate(context.Background(), pool, table); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mustExec(t, pool, `DROP SCHEMA `+table.Schema+` CASCADE`) })
	mustExec(t, pool, `CREATE TABLE `+table.Schema+`.aggregate (key text PRIMARY KEY, version bigint NOT NULL)`)
	mustExec(t, pool, `CREATE TABLE `+table.Schema+`.audit (x bigint)`)
	return table
}

func mustExec(t testing.TB, pool *pgxpool.Pool, statement string, args ...any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if _, err := pool.Exec(ctx, statement, args...); err != nil {
		t.Fatalf("%.200s: %v", statement, err)
	}
}

func quiet() *slog.Logger {
	if testing.Verbose() {
		return slog.Default()
	}
	return slog.New(slog.DiscardHandler)
}

// inTx runs do in a transaction that commits.
func inTx(t testing.TB, pool *pgxpool.Pool, do func(pgx.Tx)) {
	t.Helper()
	if err := pgx.BeginFunc(context.Background(), pool, func(tx pgx.Tx) error { do(tx); return nil }); err != nil {
		t.Fatal(err)
	}
}

// runRelay runs a relay until the test ends or stop is called.
func runRelay(t testing.TB, bus *eventbus.Bus, pool *pgxpool.Pool, config Config) (r *Relay, stop func()) {
	t.Helper()
	if config.Logger == nil {
		config.Logger = quiet()
	}
	r, err := NewRelay(bus, pool, config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	var stopped atomic.Bool
	stop = func() {
		if stopped.Swap(true) {
			return
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the relay ended with %v", err)
		}
	}
	t.Cleanup(stop)
	return r, stop
}

// eventually waits until a condition holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(60 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

// published returns the versions of each key in log order, without repetitions, and
// how many were repetitions.
func published(t testing.TB, cluster *kafkatest.Cluster) (versions map[string][]int64, repeated int) {
	t.Helper()
	versions = make(map[string][]int64)
	seen := make(map[string]bool)
	for _, c := range kafkatest.Published(t, cluster, changeTopic) {
		id := fmt.Sprint(c.Key, "/", c.Version)
		if seen[id] {
			repeated++
			continue
		}
		seen[id] = true
		versions[c.Key] = append(versions[c.Key], c.Version)
	}
	return versions, repeated
}

// inverted returns the keys whose versions are not 1, 2, 3 and so on, with the
// versions.
func inverted(versions map[string][]int64) (keys []string) {
	for key, list := range versions {
		for i, v := range list {
			if v != int64(i+1) {
				keys = append(keys, fmt.Sprintf("%s: %s", key, strings.Trim(fmt.Sprint(list), "[]")))
				break
			}
		}
	}
	return keys
}
