package outbox

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// TestPartitions: partitions are made days ahead, and an old day is dropped, but not
// before every relay has sent it, nor while a transaction that wrote to it is open.
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

// TestPartitionOverflow: without a relay no new days are made, and events are still
// published later, and deleted.
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

// TestDroppedDaysAreCounted: the events of a dropped day count as deleted, once,
// whichever process dropped it. Those in the overflow partition count when they are
// deleted.
func TestDroppedDaysAreCounted(t *testing.T) {
	s := newSceneOn(t, dsn(t), Table{Partitioned: true})
	n, _ := s.table.names()
	reader := sdk.NewManualReader()
	deleted := func() (events int64) {
		t.Helper()
		var all metricdata.ResourceMetrics
		if err := reader.Collect(t.Context(), &all); err != nil {
			t.Fatal(err)
		}
		for _, scope := range all.ScopeMetrics {
			for _, m := range scope.Metrics {
				if sum, ok := m.Data.(metricdata.Sum[int64]); ok && m.Name == "eventbus.outbox.deleted" {
					events = sum.DataPoints[0].Value
				}
			}
		}
		return events
	}
	today := time.Now().UTC().Truncate(24 * time.Hour)
	// written commits events of an earlier day, with or without a partition.
	written := func(events, ago int, partition bool) {
		day := today.AddDate(0, 0, -ago)
		if partition {
			mustExec(t, s.pool, fmt.Sprintf(`CREATE TABLE %s.outbox_d%s PARTITION OF %s FOR VALUES FROM ('%s 00:00:00+00') TO ('%s 00:00:00+00')`, s.table.Schema,
				day.Format("20060102"), n.outbox, day.Format(time.DateOnly), day.AddDate(0, 0, 1).Format(time.DateOnly)))
		}
		inTx(t, s.pool, func(tx pgx.Tx) {
			for range events {
				key := fmt.Sprint("k", s.total()%7)
				s.versions[key]++
				if err := s.publisher.Publish(t.Context(), Pgx(tx), change{Key: key, Version: s.versions[key]}); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := tx.Exec(t.Context(), `UPDATE `+n.outbox+` SET created_at = $1 WHERE xid = pg_current_xact_id()`, day.Add(12*time.Hour)); err != nil {
				t.Fatal(err)
			}
		})
	}
	config := Config{Table: s.table, Batch: 5, Lease: 3 * time.Second, Keep: 24 * time.Hour, CleanInterval: time.Hour, MeterProvider: sdk.NewMeterProvider(sdk.WithReader(reader))}
	written(12, 9, true)
	written(5, 20, false)
	s.write(t, 14)
	_, stop := runRelay(t, s.bus, s.pool, config)
	s.check(t)
	stop()
	// A later relay name has counted only some of the rows. The larger count is used.
	mustExec(t, s.pool, n.sql(`INSERT INTO {relay} (name, system_identifier, from_snapshot, days) SELECT 'later', system_identifier, pg_current_snapshot(), days - 'none' FROM {relay}`))
	mustExec(t, s.pool, n.sql(`UPDATE {relay} SET days = (SELECT jsonb_object_agg(key, 1) FROM jsonb_each(days)) WHERE name = 'later'`))
	// A process drops the day, and dies before it counts its events.
	if days, err := rotate(t.Context(), s.pool, n, config.Keep); err != nil || days != 1 {
		t.Fatalf("%d days, %v", days, err)
	}
	before := deleted() // rows of the overflow partition, in the relay's first round
	config.CleanInterval = 10 * time.Millisecond
	runRelay(t, s.bus, s.pool, config)
	eventually(t, "the dropped day and the overflow are counted", func() bool { return deleted() == 12+5 })
	mustExec(t, s.pool, n.sql(`DELETE FROM {relay} WHERE name = 'later'`))
	written(23, 8, true)
	s.check(t)
	eventually(t, "the next day is counted", func() bool { return deleted() >= 12+5+23 })
	var left int64
	if err := s.pool.QueryRow(t.Context(), `SELECT count(*) FROM `+n.outbox).Scan(&left); err != nil || left+deleted() != s.total() {
		t.Errorf("%d of %d rows are left, and %d deleted (%d at first): %v", left, s.total(), deleted(), before, err)
	}
}
