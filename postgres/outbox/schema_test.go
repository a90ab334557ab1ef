package outbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/kafkatest"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

func TestRefusedServers(t *testing.T) {
	pool := openPool(t, dsn(t), 4)
	bus := kafkatest.NewMemory(t).Bus(t)
	run := func(config Config) error {
		config.Logger = quiet()
		r, err := NewRelay(bus, pool, config)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		return r.Run(ctx)
	}
	if err := run(Config{Table: Table{Name: "absent"}}); !errors.Is(err, ErrSchema) || !strings.Contains(err.Error(), "migrate") {
		t.Errorf("no tables: %v", err)
	}
	table := newTable(t, pool)
	n, _ := table.names()
	if err := run(Config{Table: table, Name: "another"}); !errors.Is(err, ErrCursorLost) || !strings.Contains(err.Error(), "--from") {
		t.Errorf("no cursor: %v", err)
	}
	mustExec(t, pool, `ALTER TABLE `+n.outbox+` ALTER COLUMN id SET CACHE 20`)
	if err := run(Config{Table: table}); !errors.Is(err, ErrServer) || !strings.Contains(err.Error(), "SET CACHE 1") {
		t.Errorf("a sequence with a cache: %v", err)
	}
	mustExec(t, pool, n.sql(`UPDATE {version} SET version = 99`))
	for _, err := range []error{run(Config{Table: table}), Migrate(t.Context(), pool, table)} {
		if !errors.Is(err, ErrSchema) || !strings.Contains(err.Error(), "newer") {
			t.Errorf("a newer schema: %v", err)
		}
	}
}

// TestMigrateAtOnce: many instances of a deployment migrate at the same time.
func TestMigrateAtOnce(t *testing.T) {
	pool := openPool(t, dsn(t), 10)
	table := newTable(t, pool)
	table.Name = "second"
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			if err := Migrate(t.Context(), pool, table); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	// After a user's own migration with this SQL, Migrate has nothing to do.
	table.Name = "third"
	sql, err := Schema(table)
	if err != nil {
		t.Fatal(err)
	}
	mustExec(t, pool, sql)
	if err := Migrate(t.Context(), pool, table); err != nil {
		t.Error(err)
	}
}

// TestMigrateIndex: a later step builds its index while writers write, in several
// instances at once, and rebuilds what an interrupted attempt left.
func TestMigrateIndex(t *testing.T) {
	for _, partitioned := range []bool{false, true} {
		t.Run(fmt.Sprint("partitioned=", partitioned), func(t *testing.T) {
			s := newSceneOn(t, dsn(t), Table{Partitioned: partitioned})
			s.write(t, 20)
			released := migrations
			migrations = append(slices.Clone(released), migration{
				sql:   "ALTER TABLE {relay} ADD COLUMN note text;\n",
				index: [2]string{"by_event", "{outbox} (event_id)"},
			})
			t.Cleanup(func() { migrations = released })
			n, _ := s.table.names()
			// A build waits for writing transactions; if it is cut off, it leaves an
			// invalid index.
			open, err := s.pool.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := s.publisher.Publish(t.Context(), Pgx(open), change{Key: "open", Version: 1}); err != nil {
				t.Fatal(err)
			}
			short, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			err = Migrate(short, s.pool, s.table)
			cancel()
			if err == nil {
				t.Fatal("an index was built beside an open transaction of the table")
			}
			if err := open.Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
			s.versions["open"] = 1
			var wg sync.WaitGroup
			for range 5 {
				wg.Go(func() {
					if err := Migrate(t.Context(), s.pool, s.table); err != nil {
						t.Error(err)
					}
				})
			}
			s.write(t, 100)
			wg.Wait()
			var valid bool
			var version int
			if err := s.pool.QueryRow(t.Context(), n.sql(`SELECT (SELECT bool_and(indisvalid) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
				WHERE c.relnamespace = to_regnamespace('{schema}') AND c.relname LIKE 'by_event%'), version FROM {version}`)).Scan(&valid, &version); err != nil || !valid || version != latest() {
				t.Errorf("valid %v, version %d, %v", valid, version, err)
			}
			runRelay(t, s.bus, s.pool, Config{Table: s.table})
			s.check(t)
		})
	}
}

// TestGrants: a writer and a relay work with only the privileges of Grants.
func TestGrants(t *testing.T) {
	for _, partitioned := range []bool{false, true} {
		t.Run(fmt.Sprint("partitioned=", partitioned), func(t *testing.T) { testGrants(t, partitioned) })
	}
}

func testGrants(t *testing.T, partitioned bool) {
	s := newSceneOn(t, dsn(t), Table{Partitioned: partitioned})
	role := "r_" + s.table.Schema
	grants, err := Grants(s.table, role+"_w", role+"_r")
	if err != nil {
		t.Fatal(err)
	}
	mustExec(t, s.pool, `CREATE ROLE `+role+`_w LOGIN; CREATE ROLE `+role+`_r LOGIN; `+grants)
	t.Cleanup(func() {
		mustExec(t, s.pool, `DROP OWNED BY `+role+`_w, `+role+`_r; DROP ROLE `+role+`_w; DROP ROLE `+role+`_r`)
	})
	as := func(suffix string) *pgxpool.Pool {
		return openPool(t, strings.Replace(dsn(t), "postgres@", role+suffix+"@", 1), 4)
	}
	writer, relay := as("_w"), as("_r")
	r, _ := runRelay(t, s.bus, relay, Config{Table: s.table, Keep: time.Millisecond, CleanInterval: 10 * time.Millisecond})
	admin := s.pool
	s.pool = writer
	s.write(t, 20)
	inTx(t, writer, func(tx pgx.Tx) {
		later := s.publisher.With(NotBefore(time.Now().Add(time.Hour)), KeyLock())
		if err := later.Publish(t.Context(), Pgx(tx), change{Key: "later"}, eventbus.WithID("later")); err != nil {
			t.Error(err)
		}
		if cancelled, err := Cancel(t.Context(), Pgx(tx), s.table, "later"); !cancelled || err != nil {
			t.Errorf("cancelled %t, %v", cancelled, err)
		}
		if err := s.publisher.With(NotBefore(time.Now())).Publish(t.Context(), Pgx(tx), change{Key: "due", Version: 1}); err != nil {
			t.Error(err)
		}
	})
	s.versions["due"] = 1
	s.check(t)
	s.pool = admin
	if _, err := writer.Exec(t.Context(), `DELETE FROM `+s.table.Schema+`.outbox`); state(err) != insufficientRights {
		t.Errorf("a writer may delete: %v", err)
	}
	if err := r.Health(t.Context()); err != nil {
		t.Errorf("the relay's health: %v", err)
	}
}
