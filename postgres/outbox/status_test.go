package outbox

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// TestPendingOfLargeWindow: in a window with more than CountLimit rows, sent rows do
// not use up the limit.
func TestPendingOfLargeWindow(t *testing.T) {
	pool := openPool(t, dsn(t), 4)
	table := newTable(t, pool)
	n, _ := table.names()
	fill := func(rows int) (snapshot string) {
		mustExec(t, pool, n.sql(`INSERT INTO {outbox} (format, event_id, topic, value, attributes) SELECT 1, i::text, 't', '', '' FROM generate_series(1, $1::int) i`), rows)
		if err := pool.QueryRow(t.Context(), `SELECT pg_current_snapshot()::text`).Scan(&snapshot); err != nil {
			t.Fatal(err)
		}
		return snapshot
	}
	pending := func() RelayStatus {
		t.Helper()
		status, err := ReadStatus(t.Context(), pool, table)
		if err != nil {
			t.Fatal(err)
		}
		return status.Own("default")
	}
	to := fill(CountLimit + 1000)
	if x := pending(); x.Pending != CountLimit {
		t.Errorf("%d pending before anything is sent, want %d", x.Pending, CountLimit)
	}
	// The window is walked up to its last 500 rows; 7 rows have come since.
	mustExec(t, pool, n.sql(`UPDATE {relay} SET to_snapshot = $1::text::pg_snapshot, last_id = (SELECT max(id) - 500 FROM {outbox})`), to)
	fill(7)
	if x := pending(); x.Pending != 507 || x.OldestAge <= 0 {
		t.Errorf("%d pending, the oldest for %v, want 507", x.Pending, x.OldestAge)
	}
	after := ""
	inTx(t, pool, func(tx pgx.Tx) {
		if err := tx.QueryRow(t.Context(), `SELECT pg_current_snapshot()::text`).Scan(&after); err != nil {
			t.Fatal(err)
		}
	})
	mustExec(t, pool, n.sql(`UPDATE {relay} SET from_snapshot = $1::text::pg_snapshot, to_snapshot = NULL, last_id = 0`), after)
	if x := pending(); x.Pending != 0 {
		t.Errorf("%d pending when all is sent", x.Pending)
	}
}

// TestParkedAreCountedUpTo: an outage of one topic may park very many rows, and
// reading the status reads at most CountLimit of them.
func TestParkedAreCountedUpTo(t *testing.T) {
	pool := openPool(t, dsn(t), 4)
	table := newTable(t, pool)
	n, _ := table.names()
	for rows, want := range map[int]int64{7: 7, CountLimit + 1000: CountLimit} {
		mustExec(t, pool, n.sql(`DELETE FROM {parked}`))
		mustExec(t, pool, n.sql(`INSERT INTO {parked} (relay, id, format, event_id, topic, partitioner, attributes, created_at, parked_at)
			SELECT 'default', i, 1, i::text, 't', '', '', now(), now() - make_interval(hours => 1) FROM generate_series(1, $1::int) i`), rows)
		status, err := ReadStatus(t.Context(), pool, table)
		if err != nil {
			t.Fatal(err)
		}
		if x := status.Own("default"); x.Parked != want || x.ParkedFor < time.Hour || x.ParkedFor > 2*time.Hour {
			t.Errorf("%d parked for %v, want %d", x.Parked, x.ParkedFor, want)
		}
	}
}
