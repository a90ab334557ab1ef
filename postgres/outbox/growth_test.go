package outbox

import (
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// TestGrowth measures a look into the outbox with one new event, in an empty table and
// behind EVENTBUS_OUTBOX_GROWTH rows that are settled and not deleted yet. It asserts a
// ratio of 1.2 of the medians at most.
func TestGrowth(t *testing.T) {
	rows, _ := strconv.Atoi(os.Getenv("EVENTBUS_OUTBOX_GROWTH"))
	if dsn(t); rows == 0 {
		t.Skip("a measurement: set EVENTBUS_OUTBOX_GROWTH to a number of rows")
	}
	pool := openPool(t, dsn(t), 4)
	table := newTable(t, pool)
	n, _ := table.names()
	d := newReading(t, pool, table, 2000)
	look := func() time.Duration {
		const looks = 2000
		took := make([]time.Duration, looks)
		for i := range took {
			inTx(t, pool, func(tx pgx.Tx) {
				if _, err := tx.Exec(t.Context(), n.sql(`INSERT INTO {outbox} (format, event_id, topic, value, attributes) VALUES (1, 'e', 't', '', '')`)); err != nil {
					t.Error(err)
				}
			})
			start := time.Now()
			found, after, err := d.relay.next(t.Context(), d.at)
			took[i] = time.Since(start)
			if err != nil || len(found) != 1 {
				t.Fatalf("%d rows, %v", len(found), err)
			}
			d.at = after
		}
		slices.Sort(took)
		t.Logf("p50 %v, p99 %v", took[looks/2], took[looks*99/100])
		return took[looks/2]
	}
	empty := look()
	const chunk = 100_000
	for from := 0; from < rows; from += chunk {
		mustExec(t, pool, n.sql(`INSERT INTO {outbox} (format, event_id, topic, key, value, attributes)
			SELECT 1, gen_random_uuid()::text, 't', convert_to('k' || (i % 5000), 'UTF8'), convert_to(repeat('x', 100), 'UTF8'), '' FROM generate_series(1, $1::int) i`), min(chunk, rows-from))
	}
	var to string
	if err := pool.QueryRow(t.Context(), `SELECT pg_current_snapshot()::text`).Scan(&to); err != nil {
		t.Fatal(err)
	}
	d.at = cursor{from: to, system: d.at.system} // all of it is settled
	if ratio := float64(look()) / float64(empty); ratio > 1.2 {
		t.Errorf("a look behind %d settled rows takes %.2f times as long", rows, ratio)
	} else {
		t.Logf("a look behind %d settled rows takes %.2f times as long", rows, ratio)
	}
}
