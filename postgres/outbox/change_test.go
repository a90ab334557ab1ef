package outbox

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/postgres/internal/pgtest"
	"github.com/jackc/pgx/v5"
)

// rewrite makes PostgreSQL write all rows of the outbox again.
const rewrite = `ALTER TABLE {outbox} ALTER COLUMN topic TYPE text USING topic || ''`

// behind runs do, which reads a table of the relay, while a transaction that has executed a
// statement holds the table's lock. The transaction commits once do waits for it and
// waited, unless it is nil, says so.
func (s *scene) behind(t *testing.T, r *Relay, statement string, waited func(tx pgx.Tx) bool, do func() error) error {
	t.Helper()
	tx, err := s.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.Background()) }()
	if _, err := tx.Exec(t.Context(), r.names.sql(statement)); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- do() }()
	eventually(t, "it waits for the lock", func() (waits bool) {
		if len(done) > 0 {
			return true
		}
		err := tx.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid)))`).Scan(&waits)
		return err == nil && waits && (waited == nil || waited(tx))
	})
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	return <-done
}

// TestRewrittenTable: rows are not passed over, and refused ones are parked, while the table
// is rewritten. A transaction whose snapshot is older than that finds the table empty.
func TestRewrittenTable(t *testing.T) {
	s := newScene(t, dsn(t)+"&default_query_exec_mode=exec&default_transaction_isolation=repeatable%20read")
	r, l, c := s.newLeader(t, Config{})
	s.write(t, 20)
	var rows []row
	err := s.behind(t, r, rewrite, nil, func() (err error) {
		rows, c, err = r.next(t.Context(), c)
		return err
	})
	if err != nil || len(rows) != 20 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	fault := "refused"
	park := func() error {
		return r.advance(t.Context(), &l, c, rows, 19, []parkedRow{{id: rows[0].id, fault: &fault}})
	}
	if err := s.behind(t, r, rewrite, nil, park); err != nil {
		t.Fatal(err)
	}
	if err := park(); err != nil { // the batch is repeated
		t.Fatal(err)
	}
	if parked, err := ListParked(t.Context(), s.pool, s.table, 10); err != nil || len(parked) != 1 {
		t.Errorf("%d events are parked, %v", len(parked), err)
	}
}

// TestHiddenRows: a relay that may not see the rows of its tables, by policies or
// privileges, does not take them for sent.
func TestHiddenRows(t *testing.T) {
	s := newScene(t, dsn(t))
	role := "r_" + s.table.Schema
	grants, err := Grants(s.table, "", role)
	if err != nil {
		t.Fatal(err)
	}
	mustExec(t, s.pool, `CREATE ROLE `+role+` LOGIN; `+grants)
	t.Cleanup(func() { mustExec(t, s.pool, `DROP OWNED BY `+role+`; DROP ROLE `+role) })
	admin := s.pool
	s.pool = openPool(t, strings.Replace(dsn(t), "postgres@", role+"@", 1), 4)
	r, l, c := s.newLeader(t, Config{})
	s.pool = admin
	s.write(t, 20)
	for _, x := range []struct{ take, give, words string }{
		{`ALTER TABLE {outbox} ENABLE ROW LEVEL SECURITY`, `ALTER TABLE {outbox} DISABLE ROW LEVEL SECURITY`, "row-level security"},
		{`REVOKE SELECT ON {outbox} FROM ` + role, `GRANT SELECT ON {outbox} TO ` + role, "permission denied"},
	} {
		mustExec(t, admin, r.names.sql(x.take))
		if rows, _, err := r.next(t.Context(), c); len(rows) > 0 || state(err) != insufficientRights || !strings.Contains(err.Error(), x.words) {
			t.Errorf("after %s: %d rows, %v", x.take, len(rows), err)
		}
		if err := r.check(t.Context()); x.words == "row-level security" && (!permanent(err) || !strings.Contains(err.Error(), r.names.outbox)) {
			t.Errorf("after %s the relay starts: %v", x.take, err)
		}
		mustExec(t, admin, r.names.sql(x.give))
		if rows, _, err := r.next(t.Context(), c); len(rows) != 20 || err != nil {
			t.Errorf("after %s: %d rows, %v", x.give, len(rows), err)
		}
	}
	// A hidden name's cursor does not make clean delete what it has yet to send.
	mustExec(t, admin, r.names.sql(`ALTER TABLE {relay} ENABLE ROW LEVEL SECURITY`))
	if err := r.clean(t.Context()); state(err) != insufficientRights {
		t.Errorf("rows are deleted by cursors that are hidden: %v", err)
	}
	if err := r.renew(t.Context(), &l); err == nil {
		t.Error("the lease is renewed by a row that is hidden")
	}
}

// TestChangedTable: a relay goes on while its table is vacuumed, rewritten, emptied or
// replaced, and sends rows that were copied into it.
func TestChangedTable(t *testing.T) {
	for name, change := range map[string]string{
		"vacuumed":  `VACUUM FULL {outbox}`,
		"clustered": `CLUSTER {outbox} USING outbox_pkey`,
		"rewritten": rewrite,
		"emptied":   `TRUNCATE {outbox} RESTART IDENTITY`,
		"replaced":  `CREATE TABLE {schema}.other (LIKE {outbox} INCLUDING ALL); DROP TABLE {outbox}; ALTER TABLE {schema}.other RENAME TO outbox`,
		"copied":    ``,
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, dsn(t))
			n, _ := s.table.names()
			r, _ := runRelay(t, s.bus, s.pool, Config{Table: s.table, Batch: 7})
			s.write(t, 30)
			s.check(t)
			if change != "" {
				mustExec(t, s.pool, n.sql(change))
			} else {
				s.copy(t, 30)
			}
			s.write(t, 30)
			if repeated := s.check(t); repeated > 0 {
				t.Errorf("%d events repeated", repeated)
			}
			eventually(t, "the relay is well", func() bool { return r.Health(t.Context()) == nil })
		})
	}
}

// copy writes n events of another key by COPY.
func (s *scene) copy(t *testing.T, n int) {
	t.Helper()
	var rows [][]any
	for range n {
		s.versions["copied"]++
		e, err := s.publisher.of.Envelope(t.Context(), change{Key: "copied", Version: s.versions["copied"]})
		if err != nil {
			t.Fatal(err)
		}
		x, err := newRow(e)
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, []any{x.format, x.eventID, x.topic, x.key, x.value, x.attributes})
	}
	if _, err := s.pool.CopyFrom(t.Context(), pgx.Identifier{s.table.Schema, "outbox"}, []string{"format", "event_id", "topic", "key", "value", "attributes"}, pgx.CopyFromRows(rows)); err != nil {
		t.Fatal(err)
	}
}

// TestReplicatedRows: rows that logical replication brings are sent in order if they get
// their transaction ids here.
func TestReplicatedRows(t *testing.T) {
	from, to := pgtest.Start(t, "PG_OPTIONS=-c wal_level=logical"), pgtest.Start(t)
	source := openPool(t, from.URL, 4)
	var number int
	if err := source.QueryRow(t.Context(), `SELECT current_setting('server_version_num')::int`).Scan(&number); err != nil {
		t.Fatal(err)
	}
	if number < 150000 {
		t.Skip("a publication has columns since PostgreSQL 15")
	}
	s := newScene(t, to.URL)
	if err := Migrate(t.Context(), source, s.table); err != nil {
		t.Fatal(err)
	}
	n, _ := s.table.names()
	mustExec(t, source, n.sql(`CREATE PUBLICATION outbox FOR TABLE {outbox} (format, event_id, topic, key, value, partitioner, attributes, created_at) WITH (publish = 'insert')`))
	mustExec(t, s.pool, `CREATE SUBSCRIPTION outbox CONNECTION '`+from.URL+`' PUBLICATION outbox`)
	target := s.pool
	t.Cleanup(func() { mustExec(t, target, `DROP SUBSCRIPTION outbox`) })
	runRelay(t, s.bus, s.pool, Config{Table: s.table})
	s.pool = source
	s.write(t, 30)
	s.check(t)
}

// TestRestartedIDs: where ids begin again, a refused event is not taken for a parked one of
// the same id. It is parked once that is gone.
func TestRestartedIDs(t *testing.T) {
	s := newScene(t, dsn(t))
	n, _ := s.table.names()
	event := func(id string) *eventbus.Envelope {
		return &eventbus.Envelope{ID: id, Source: "/s", Type: "t", Topic: "gone", Key: []byte(id), Data: []byte("{}")}
	}
	s.raw(t, event("first"))
	r, _ := runRelay(t, s.bus, s.pool, Config{Table: s.table, RetryInterval: time.Hour})
	first := s.parkedOf(t, 1)[0]
	mustExec(t, s.pool, n.sql(`TRUNCATE {outbox} RESTART IDENTITY`))
	s.raw(t, event("second"))
	eventually(t, "health says so", func() bool {
		err := r.Health(t.Context())
		return err != nil && strings.Contains(err.Error(), "restarted")
	})
	if err := SkipParked(t.Context(), s.pool, s.table, "default", first.ID); err != nil {
		t.Fatal(err)
	}
	if second := s.parkedOf(t, 1)[0]; second.EventID != "second" || second.ID != first.ID {
		t.Errorf("%+v is parked", second)
	}
}

// TestRoleTimeouts: statements whose time grows with a backlog of parked or due events are
// not ended by the role's timeouts.
func TestRoleTimeouts(t *testing.T) {
	const limit = 300 * time.Millisecond
	s := newScene(t, dsn(t))
	r, l, _ := s.newLeader(t, Config{})
	r.pool = openPool(t, dsn(t)+fmt.Sprint("&default_query_exec_mode=exec&statement_timeout=", limit.Milliseconds())+transactionTimeout(t, limit), 4)
	for table, do := range map[string]func() error{
		"{parked}": func() error {
			if err := r.loadParked(t.Context(), &l); err != nil {
				return err
			}
			return r.retryParked(t.Context(), &l)
		},
		"{scheduled}": func() error {
			_, err := moveDue(t.Context(), r.pool, r.names, 10)
			return err
		},
	} {
		err := s.behind(t, r, `LOCK TABLE `+table, func(tx pgx.Tx) (long bool) {
			err := tx.QueryRow(t.Context(), `SELECT clock_timestamp() - min(query_start) > 2 * $1::float8 * interval '1 second' FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND pg_backend_pid() = ANY(pg_blocking_pids(pid))`, limit.Seconds()).Scan(&long)
			return err == nil && long
		}, do)
		if err != nil {
			t.Errorf("%s: %v", table, err)
		}
	}
}
