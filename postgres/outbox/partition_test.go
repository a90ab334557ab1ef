package outbox

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// TestPartitions: days are made ahead, and one that is settled and old is dropped,
// but not before every relay has sent it, nor while a transaction that wrote on it
// is open.
func TestPartitions(t *testing.T) {
	s := newSceneOn(t, dsn(t), Table{Partitioned: true})
	n, _ := s.table.names()
	days := func() (names []string) {
		t.Helper()
		rows, err := s.pool.Query(t.Context(), `SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
			WHERE i.inhparent = $1::regclass ORDER BY 1`, n.outbox)
		if err != nil {
			t.Fatal(err)
		}
		if names, err = collectTexts(rows); err != nil {
			t.Fatal(err)
		}
		return names
	}
	if got := days(); len(got) != daysAhead+2 || got[len(got)-1] != "outbox_overflow" {
		t.Fatalf("after the migration there are %v", got)
	}
	old := time.Now().UTC().AddDate(0, 0, -9)
	part := "outbox_d" + old.Format("20060102")
	mustExec(t, s.pool, fmt.Sprintf(`CREATE TABLE %s.%s PARTITION OF %s FOR VALUES FROM ('%s 00:00:00+00') TO ('%s 00:00:00+00')`,
		s.table.Schema, part, n.outbox, old.Format(time.DateOnly), old.AddDate(0, 0, 1).Format(time.DateOnly)))
	there := func() bool { return strings.Contains(fmt.Sprint(days()), part) }
	backdate := func(tx pgx.Tx, key string) {
		if err := s.publisher.Publish(t.Context(), Pgx(tx), change{Key: key, Version: s.versions[key] + 1}); err != nil {
			t.Fatal(err)
		}
		s.versions[key]++
		if _, err := tx.Exec(t.Context(), `UPDATE `+n.outbox+` SET created_at = created_at - interval '9 days' WHERE xid = pg_current_xact_id()`); err != nil {
			t.Fatal(err)
		}
	}
	inTx(t, s.pool, func(tx pgx.Tx) { backdate(tx, "a") })
	open, err := s.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = open.Rollback(context.Background()) }()
	backdate(open, "b")
	s.versions["b"]-- // not committed yet

	mustExec(t, s.pool, n.sql(`INSERT INTO {relay} (name, system_identifier, from_snapshot) SELECT 'other', system_identifier, from_snapshot FROM {relay}`))
	_, stop := runRelay(t, s.bus, s.pool, Config{Table: s.table, CleanInterval: time.Hour})
	s.write(t, 10)
	s.check(t)
	stop()
	rotate := func() {
		t.Helper()
		mustExec(t, s.pool, n.sql(`SELECT {rotate}($1, $2)`), (24 * time.Hour).Seconds(), daysAhead)
	}
	if rotate(); !there() {
		t.Fatal("a day was dropped that the other relay has not sent")
	}
	mustExec(t, s.pool, n.sql(`UPDATE {relay} SET from_snapshot = pg_current_snapshot() WHERE name = 'other'`))
	if rotate(); !there() {
		t.Fatal("a day was dropped while a transaction that wrote on it was open")
	}
	if err := open.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.versions["b"]++
	if rotate(); !there() {
		t.Fatal("a day was dropped with a committed event that no relay has sent")
	}
	mustExec(t, s.pool, n.sql(`DELETE FROM {relay} WHERE name = 'other'`))
	runRelay(t, s.bus, s.pool, Config{Table: s.table, CleanInterval: 10 * time.Millisecond, Keep: 24 * time.Hour})
	s.check(t)
	eventually(t, "the old day is dropped", func() bool { return !there() })
}

// TestPartitionOverflow: without a relay there are no new days, and what is written
// is published all the same, and deleted.
func TestPartitionOverflow(t *testing.T) {
	s := newSceneOn(t, dsn(t), Table{Partitioned: true})
	n, _ := s.table.names()
	mustExec(t, s.pool, `DO $$ DECLARE part text; BEGIN
		FOR part IN SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = '`+n.outbox+`'::regclass AND inhrelid <> '`+n.overflow+`'::regclass LOOP
			EXECUTE 'DROP TABLE ' || part;
		END LOOP; END $$`)
	s.write(t, 20)
	runRelay(t, s.bus, s.pool, Config{Table: s.table, Keep: time.Millisecond, CleanInterval: 10 * time.Millisecond})
	s.check(t)
	eventually(t, "the overflow is empty", func() bool {
		var left int
		if err := s.pool.QueryRow(t.Context(), `SELECT count(*) FROM `+n.overflow).Scan(&left); err != nil {
			t.Fatal(err)
		}
		return left == 0
	})
	s.write(t, 20)
	s.check(t)
}
