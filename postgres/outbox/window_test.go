package outbox

import (
	"errors"
	"fmt"
	"testing"
	"time"
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
// statements, policies hide nothing, and a role's timeouts and isolation level do not
// apply.
func TestSessionSettings(t *testing.T) {
	pool := openPool(t, dsn(t)+"&statement_timeout=60000&default_transaction_isolation=serializable"+transactionTimeout(t, time.Minute), 4)
	for range 2 { // a setting lasts as long as its transaction
		b := pipeline("off")
		b.Queue(`SELECT current_setting('jit'), current_setting('row_security'), current_setting('statement_timeout'), current_setting('transaction_isolation'), coalesce(current_setting('transaction_timeout', true), '0')`)
		results, err := send(t.Context(), pool, b)
		if err != nil {
			t.Fatal(err)
		}
		var got [5]string
		err = results.QueryRow().Scan(&got[0], &got[1], &got[2], &got[3], &got[4])
		if err = errors.Join(err, results.Close()); err != nil || got != [...]string{"off", "off", "0", "read committed", "0"} {
			t.Errorf("%q, %v", got, err)
		}
		var isolation string
		if err := pool.QueryRow(t.Context(), `SELECT current_setting('transaction_isolation')`).Scan(&isolation); err != nil || isolation != "serializable" {
			t.Errorf("%q, %v in the next transaction", isolation, err)
		}
	}
}

// transactionTimeout returns a server's setting of transaction_timeout for the end of its
// address, or nothing before PostgreSQL 17.
func transactionTimeout(t *testing.T, d time.Duration) string {
	t.Helper()
	var number int
	if err := openPool(t, dsn(t), 1).QueryRow(t.Context(), `SELECT current_setting('server_version_num')::int`).Scan(&number); err != nil {
		t.Fatal(err)
	}
	if number < 170000 {
		return ""
	}
	return fmt.Sprint("&transaction_timeout=", d.Milliseconds())
}
