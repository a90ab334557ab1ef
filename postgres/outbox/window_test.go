package outbox

import (
	"testing"

	"github.com/jackc/pgx/v5"
)

// TestBatchIsBoundedInBytes: a relay reads at most maxBatchBytes at a time, however
// many rows a batch may have, and every row once and in order. The sizes vary, so that
// the estimate is wrong in both directions.
func TestBatchIsBoundedInBytes(t *testing.T) {
	pool := openPool(t, dsn(t), 4)
	table := newTable(t, pool)
	d := newReading(t, pool, table, 10_000)
	const large, small = 40, 3000
	fill := d.relay.names.sql(`INSERT INTO {outbox} (format, event_id, topic, key, value, attributes)
		SELECT 1, gen_random_uuid()::text, 't', 'k', convert_to(repeat('x', $2::int), 'UTF8'), '' FROM generate_series(1, $1::int)`)
	mustExecLong(t, pool, fill, large, 1<<20)
	mustExecLong(t, pool, fill, small, 100)
	mustExecLong(t, pool, fill, large, 1<<20)
	var last int64
	read, windows := 0, 0
	for {
		rows, after, err := d.relay.next(t.Context(), d.at)
		if err != nil {
			t.Fatal(err)
		}
		if len(rows) == 0 && after.to == "" {
			break
		}
		size := 0
		for _, r := range rows {
			if r.id <= last {
				t.Fatalf("row %d after row %d", r.id, last)
			}
			last = r.id
			size += len(r.value)
		}
		if size > maxBatchBytes {
			t.Fatalf("%d bytes in a batch of %d rows, more than %d", size, len(rows), maxBatchBytes)
		}
		read += len(rows)
		windows++
		d.at = after
	}
	if want := 2*large + small; read != want {
		t.Errorf("%d rows in %d batches, want %d", read, windows, want)
	}
	t.Logf("%d rows in %d batches", read, windows)
}

// TestSessionSettings: the costs of disabled plans do not make the server compile
// statements, and a role's timeout does not apply.
func TestSessionSettings(t *testing.T) {
	pool := openPool(t, dsn(t)+"&statement_timeout=60000", 4)
	inTx(t, pool, func(tx pgx.Tx) {
		var jit, timeout string
		_, err := tx.Exec(t.Context(), sessionSettings, "off")
		if err == nil {
			err = tx.QueryRow(t.Context(), `SELECT current_setting('jit'), current_setting('statement_timeout')`).Scan(&jit, &timeout)
		}
		if err != nil || jit != "off" || timeout != "0" {
			t.Errorf("jit %q, statement_timeout %q, %v", jit, timeout, err)
		}
	})
}
