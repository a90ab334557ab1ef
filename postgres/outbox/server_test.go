package outbox

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/postgres/inbox"
	"github.com/jackc/pgx/v5"
)

// TestReadOnlyTransaction: the error says what is wrong with the transaction.
func TestReadOnlyTransaction(t *testing.T) {
	s := newScene(t, dsn(t))
	tx, err := s.pool.BeginTx(t.Context(), pgx.TxOptions{AccessMode: pgx.ReadOnly})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.Background()) }()
	err = s.publisher.Publish(t.Context(), Pgx(tx), change{Key: "k", Version: 1})
	if err == nil || !strings.Contains(err.Error(), "read-only") || !strings.Contains(err.Error(), "primary") || state(err) != readOnlyTransaction {
		t.Errorf("in a read-only transaction: %v", err)
	}
}

// TestUnstorableText: text that the database can't store is refused before it aborts
// the caller's transaction.
func TestUnstorableText(t *testing.T) {
	s := newScene(t, dsn(t))
	inTx(t, s.pool, func(tx pgx.Tx) {
		for _, id := range []string{"a\x00b", "a\xffb"} {
			e := &eventbus.Envelope{ID: id, Topic: "t", Data: []byte{}}
			if err := Write(t.Context(), Pgx(tx), s.table, []*eventbus.Envelope{e}); err == nil || state(err) != "" {
				t.Errorf("the id %q: %v", id, err)
			}
		}
		if err := s.publisher.Publish(t.Context(), Pgx(tx), change{Key: "k", Version: 1}); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	})
}

// TestStrictIsolation: writers with a stricter isolation level, which retry conflicts,
// keep the order of their keys.
func TestStrictIsolation(t *testing.T) {
	for _, level := range []pgx.TxIsoLevel{pgx.RepeatableRead, pgx.Serializable} {
		t.Run(string(level), func(t *testing.T) {
			s := newScene(t, dsn(t))
			runRelay(t, s.bus, s.pool, Config{Table: s.table})
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() {
					for written := 0; written < 20; {
						err := pgx.BeginTxFunc(t.Context(), s.pool, pgx.TxOptions{IsoLevel: level}, func(tx pgx.Tx) error {
							var version int64
							if err := tx.QueryRow(t.Context(), `INSERT INTO `+s.table.Schema+`.aggregate VALUES ('k', 1) ON CONFLICT (key) DO UPDATE SET version = aggregate.version + 1 RETURNING version`).Scan(&version); err != nil {
								return err
							}
							return s.publisher.With(KeyLock()).Publish(t.Context(), Pgx(tx), change{Key: "k", Version: version})
						})
						switch {
						case err == nil:
							written++
						case state(err) != "40001" && state(err) != "40P01":
							t.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			s.versions["k"] = 8 * 20
			s.check(t)
		})
	}
}

// TestOtherEncoding: events are published, parked and handled once even in a LATIN1
// database with an empty search path.
func TestOtherEncoding(t *testing.T) {
	admin := openPool(t, dsn(t), 4)
	name := fmt.Sprint("latin_", time.Now().UnixMilli())
	mustExec(t, admin, `CREATE DATABASE `+name+` ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0`)
	t.Cleanup(func() { mustExec(t, admin, `DROP DATABASE `+name) })
	s := newSceneOn(t, strings.Replace(dsn(t), "/postgres?", "/"+name+"?", 1)+"&client_encoding=UTF8&options=-c%20search_path%3D", Table{Partitioned: true})
	n, _ := s.table.names()
	refusal := fmt.Errorf("refused, “in other words”: 日本 🙂 %s", strings.Repeat("ü", maxFault))
	r, err := NewRelay(s.bus, s.pool, Config{Table: s.table, Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	l, c, err := r.acquire(t.Context())
	if err == nil {
		c, err = r.open(t.Context(), &l, c)
	}
	if err != nil {
		t.Fatal(err)
	}
	s.write(t, 1)
	rows, after, err := r.next(t.Context(), c)
	if err == nil {
		err = r.advance(t.Context(), &l, after, rows, 0, []parkedRow{r.park(&rows[0], refusal)})
	}
	if err != nil {
		t.Fatalf("a refused event: %v", err)
	}
	if parked, err := ListParked(t.Context(), s.pool, s.table, 10); err != nil || len(parked) != 1 || !strings.Contains(parked[0].Error, `\u65e5\u672c \U0001f642`) || len(parked[0].Error) > maxFault+20 {
		t.Errorf("%+v, %v", parked, err)
	}
	mustExec(t, s.pool, n.sql(`UPDATE {parked} SET next_at = '-infinity'`))
	if err := r.release(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	runRelay(t, s.bus, s.pool, Config{Table: s.table})
	s.write(t, 20)
	s.check(t)
	at := inbox.Table{Schema: s.table.Schema}
	in, err := inbox.New(s.pool, inbox.Config{Table: at})
	if err = errors.Join(err, inbox.Migrate(t.Context(), s.pool, at)); err != nil {
		t.Fatal(err)
	}
	keys := []string{"日本", "\"\\u65e5\\u672c\"", "ü\x00", "\xff", "plain"}
	for _, want := range []int{len(keys), 0} {
		err := in.Once(t.Context(), keys, func(_ context.Context, fresh []int) error {
			if len(fresh) != want {
				t.Errorf("%d of %d keys are new, want %d", len(fresh), len(keys), want)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// TestSettings: relaying, parking and scheduling work in every mode of pgx, including
// those for proxies without prepared statements, and with unusual settings of a role.
func TestSettings(t *testing.T) {
	for _, settings := range []string{
		"default_query_exec_mode=cache_describe", "default_query_exec_mode=describe_exec", "default_query_exec_mode=exec", "default_query_exec_mode=simple_protocol",
		"default_transaction_isolation=serializable", "default_transaction_isolation=repeatable%20read", "default_transaction_isolation=serializable&default_transaction_deferrable=on",
		"DateStyle=SQL,%20YMD", "IntervalStyle=sql_standard&extra_float_digits=-15&quote_all_identifiers=on&session_replication_role=replica", "timezone=Pacific/Apia", "bytea_output=escape", "enable_indexscan=off", "row_security=off",
	} {
		t.Run(settings, func(t *testing.T) {
			s := newSceneOn(t, dsn(t)+"&"+settings, Table{Partitioned: true})
			n, _ := s.table.names()
			s.raw(t, &eventbus.Envelope{ID: "gone", Source: "/s", Type: "t", Topic: "gone", Key: []byte("k"), Data: []byte("{}")})
			s.raw(t, &eventbus.Envelope{ID: "follows", Source: "/s", Type: "t", Topic: "gone", Key: []byte("k"), Data: []byte("{}")})
			s.versions["due"]++
			inTx(t, s.pool, func(tx pgx.Tx) {
				if err := s.publisher.With(NotBefore(time.Now()), KeyLock()).Publish(t.Context(), Pgx(tx), change{Key: "due", Version: 1}); err != nil {
					t.Error(err)
				}
			})
			mustExec(t, s.pool, n.sql(`UPDATE {relay} SET system_identifier = 1`))
			runRelay(t, s.bus, s.pool, Config{Table: s.table, Batch: 7})
			s.write(t, 40)
			if repeated := s.check(t); repeated > 0 {
				t.Errorf("%d events repeated", repeated)
			}
			s.parkedOf(t, 2)
		})
	}
}

// TestEscapedBytes: a setting under which keys can't be read ends the relay with an
// error that says what to do.
func TestEscapedBytes(t *testing.T) {
	for _, mode := range []string{"exec", "simple_protocol"} {
		s := newScene(t, dsn(t)+"&bytea_output=escape&default_query_exec_mode="+mode)
		r, err := NewRelay(s.bus, s.pool, Config{Table: s.table, Logger: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.check(t.Context()); !permanent(err) || !errors.Is(err, ErrServer) || !strings.Contains(err.Error(), "bytea_output=hex") {
			t.Errorf("%s: %v", mode, err)
		}
	}
}

// TestAnotherServer: behind a proxy the server may change without an error, and the
// cursor in memory may be ahead of it. Nothing is read or written with that cursor,
// and the server's own is read again. The cases are a failover, whose server has no
// row of the run; a term that began there with the same epoch; and a restored dump.
func TestAnotherServer(t *testing.T) {
	for _, change := range []string{`DELETE FROM {run}`, `UPDATE {run} SET id = gen_random_uuid()`, `UPDATE {run} SET started = started - interval '1 second'`} {
		s := newScene(t, dsn(t))
		r, err := NewRelay(s.bus, s.pool, Config{Table: s.table, Logger: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		l, c, err := r.acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		s.write(t, 20)
		parkable, _, err := r.next(t.Context(), c)
		if err == nil {
			err = r.renew(t.Context(), &l)
		}
		if err != nil || len(parkable) != 20 {
			t.Fatalf("%d rows, %v", len(parkable), err)
		}
		mustExec(t, s.pool, r.names.sql(change))
		for name, at := range map[string]cursor{"ahead": {from: farFuture, run: c.run}, "walking": {from: c.from, to: farFuture, run: c.run}} {
			if rows, _, err := r.next(t.Context(), at); !errors.Is(err, errAnotherRun) || len(rows) > 0 {
				t.Errorf("%s: %s: %d rows were read by the cursor of another server: %v", change, name, len(rows), err)
			}
		}
		parked := []parkedRow{{id: parkable[0].id}}
		if err := r.advance(t.Context(), &l, cursor{from: farFuture}, nil, 0, parked); !errors.Is(err, errNotLeading) {
			t.Errorf("%s: the cursor of another server was stored: %v", change, err)
		}
		mustExec(t, s.pool, r.names.sql(`INSERT INTO {parked} (relay, id, format, event_id, topic, partitioner, attributes, created_at, error) VALUES ('default', 1000000, 1, '', '', '', '', now(), 'refused')`))
		if err := r.settleParked(t.Context(), &l, []row{{id: 1000000}}, 1, nil); err != nil {
			t.Fatal(err)
		}
		var left []int64
		if err := s.pool.QueryRow(t.Context(), r.names.sql(`SELECT array_agg(id) FROM {parked}`)).Scan(&left); err != nil || len(left) != 1 || left[0] != 1000000 {
			t.Errorf("%s: parked and settled behind a cursor that was refused: %v, %v", change, left, err)
		}
		if err := r.renew(t.Context(), &l); !errors.Is(err, errNotLeading) {
			t.Errorf("%s: the lease of another server was extended: %v", change, err)
		}
		mustExec(t, s.pool, r.names.sql(`DELETE FROM {parked}`))
		if err := r.release(t.Context(), l); err != nil {
			t.Fatal(err)
		}
		runRelay(t, s.bus, s.pool, Config{Table: s.table})
		s.check(t)
	}
}

// TestNoPasswordInErrors: the errors of an unreachable database don't show the
// password.
func TestNoPasswordInErrors(t *testing.T) {
	pool := openPool(t, "postgres://shop:hunter2@127.0.0.1:1/shop?connect_timeout=1", 4)
	s := newScene(t, dsn(t))
	r, _ := runRelay(t, s.bus, pool, Config{})
	eventually(t, "health says so", func() bool {
		err := r.Health(context.Background())
		return err != nil && strings.Contains(err.Error(), "nothing has been relayed")
	})
	if err := r.Health(context.Background()); strings.Contains(err.Error(), "hunter2") {
		t.Error(err)
	}
	if _, err := NewRelay(s.bus, openPool(t, dsn(t), 2), Config{}); err == nil || !strings.Contains(err.Error(), "MaxConns") {
		t.Errorf("a pool of two connections: %v", err)
	}
}

// newLeader returns a relay that leads and has fenced the others.
func (s *scene) newLeader(t *testing.T, config Config) (*Relay, lease, cursor) {
	t.Helper()
	config.Table, config.Logger = s.table, quiet()
	r, err := NewRelay(s.bus, s.pool, config)
	if err != nil {
		t.Fatal(err)
	}
	l, c, err := r.acquire(t.Context())
	if err == nil {
		c, err = r.open(t.Context(), &l, c)
	}
	if err != nil {
		t.Fatal(err)
	}
	return r, l, c
}
