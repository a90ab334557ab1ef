package outbox

import (
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// TestGrowth measures a look that finds one new event, in an otherwise empty table and
// in one with EVENTBUS_OUTBOX_GROWTH rows that are sent but not deleted yet. It
// asserts that the medians differ by at most a factor of 1.2.
func TestGrowth(t *testing.T) {
	rows, _ := strconv.Atoi(os.Getenv("EVENTBUS_OUTBOX_GROWTH"))
	if dsn(t); rows == 0 {
		t.Skip("a measurement: set EVENTBUS_OUTBOX_GROWTH to a number of rows")
	}
	pool := openPool(t, dsn(t), 4)
	var outboxes []*difference
	for _, settled := range []int{0, rows} {
		table := newTable(t, pool)
		d := newReading(t, pool, table, 2000)
		const chunk = 100_000
		for from := 0; from < settled; from += chunk {
			mustExecLong(t, pool, d.relay.names.sql(`INSERT INTO {outbox} (format, event_id, topic, key, value, attributes)
				SELECT 1, gen_random_uuid()::text, 't', convert_to('k' || (i % 5000), 'UTF8'), convert_to(repeat('x', 100), 'UTF8'), '' FROM generate_series(1, $1::int) i`), min(chunk, settled-from))
		}
		// Vacuum now, so that work left over from filling the table does not count.
		mustExecLong(t, pool, `VACUUM ANALYZE `+d.relay.names.outbox)
		if err := pool.QueryRow(t.Context(), `SELECT pg_current_snapshot()::text`).Scan(&d.at.from); err != nil {
			t.Fatal(err)
		}
		outboxes = append(outboxes, d)
	}
	mustExecLong(t, pool, `CHECKPOINT`)
	const looks = 3000
	var took [2][]time.Duration
	for range looks {
		for i, d := range outboxes {
			mustExec(t, pool, d.relay.names.sql(`INSERT INTO {outbox} (format, event_id, topic, value, attributes) VALUES (1, 'e', 't', '', '')`))
			start := time.Now()
			found, after, err := d.relay.next(t.Context(), d.at)
			took[i] = append(took[i], time.Since(start))
			if err != nil || len(found) != 1 {
				t.Fatalf("%d rows, %v", len(found), err)
			}
			d.at = after
		}
	}
	for i := range took {
		slices.Sort(took[i])
		t.Logf("p50 %v, p99 %v", took[i][looks/2], took[i][looks*99/100])
	}
	ratio := float64(took[1][looks/2]) / float64(took[0][looks/2])
	t.Logf("a look behind %d settled rows takes %.2f times as long", rows, ratio)
	if ratio > 1.2 {
		t.Error("that is more than 1.2")
	}
}

// mustExecLong is mustExec for statements that take minutes.
func mustExecLong(t *testing.T, pool *pgxpool.Pool, statement string, args ...any) {
	t.Helper()
	if _, err := pool.Exec(t.Context(), statement, args...); err != nil {
		t.Fatalf("%.200s: %v", statement, err)
	}
}
