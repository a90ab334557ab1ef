package outbox

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Status is the state of an outbox and its relays.
type Status struct {
	Table     string        `json:"table"`
	Version   int           `json:"version"`
	Scheduled int64         `json:"scheduled"` // events that are not due yet, up to CountLimit
	Relays    []RelayStatus `json:"relays"`
	Oldest    OldestTx      `json:"oldestTransaction"`
}

// CountLimit is the largest number of rows that is counted.
const CountLimit = 100_000

// RelayStatus is the state of one relay name.
type RelayStatus struct {
	Name      string        `json:"name"`
	Holder    string        `json:"holder,omitempty"` // who leads: host/pid; empty if nobody does
	Epoch     int64         `json:"epoch"`
	Published int64         `json:"published"`
	Pending   int64         `json:"pending"` // committed but not sent, up to CountLimit
	OldestAge time.Duration `json:"oldestAge"`
	Parked    int64         `json:"parked"`    // events held back because Kafka refused one of their key, up to CountLimit
	ParkedFor time.Duration `json:"parkedFor"` // since the oldest was parked
	// Still is how long the cursor has not moved. A name that nobody runs any more keeps
	// the table from being cleaned.
	Still time.Duration `json:"still"`
}

// OldestTx is the server's oldest transaction: dead rows stay in every table until it
// ends. It is zero if there is none. Its process id is missing if the role may not see
// it.
type OldestTx struct {
	PID int32         `json:"pid,omitempty"`
	Age time.Duration `json:"age"`
}

// ReadStatus reads the status of an outbox.
func ReadStatus(ctx context.Context, pool *pgxpool.Pool, table Table) (*Status, error) {
	n, err := table.names()
	if err == nil {
		err = checkVersion(ctx, pool, n)
	}
	if err != nil {
		return nil, fmt.Errorf("outbox: status: %w", err)
	}
	s, err := readStatus(ctx, pool, n)
	if err != nil {
		return nil, fmt.Errorf("outbox: status of %s: %w", n.bare, err)
	}
	return s, nil
}

// readStatus reads the status without the checks, which a relay has made already.
// Pending and scheduled events are counted up to a limit, so that reading the status
// does not cost more the longer an outage lasts.
func readStatus(ctx context.Context, pool *pgxpool.Pool, n names) (*Status, error) {
	s := &Status{Table: n.bare, Version: latest()}
	if err := pool.QueryRow(ctx, n.sql(`SELECT count(*) FROM (SELECT FROM {scheduled} LIMIT $1) s`), CountLimit).Scan(&s.Scheduled); err != nil {
		return nil, err
	}
	var age float64
	if err := pool.QueryRow(ctx, `SELECT coalesce(pid, 0), coalesce(extract(epoch FROM clock_timestamp() - xact_start), 0)::float8 FROM (SELECT) one
		LEFT JOIN LATERAL (SELECT pid, xact_start FROM pg_stat_activity WHERE xact_start IS NOT NULL AND pid <> pg_backend_pid() AND backend_type = 'client backend'
			ORDER BY xact_start LIMIT 1) a ON true`).Scan(&s.Oldest.PID, &age); err != nil {
		return nil, err
	}
	s.Oldest.Age = seconds(age)
	// expires_at decides who holds the lease: a process that died leaves its name
	// behind.
	found, err := pool.Query(ctx, n.sql(`
		SELECT r.name, CASE WHEN r.expires_at > clock_timestamp() THEN r.holder ELSE '' END, r.epoch, r.published,
			extract(epoch FROM clock_timestamp() - r.moved_at)::float8,
			few.parked, coalesce(extract(epoch FROM clock_timestamp() - few.oldest), 0)::float8,
			r.from_snapshot::text, coalesce(r.to_snapshot::text, ''), r.last_id
		FROM {relay} r, LATERAL (SELECT count(*) AS parked, min(parked_at) AS oldest
			FROM (SELECT parked_at FROM {parked} p WHERE p.relay = r.name ORDER BY id LIMIT $1) first) few
		ORDER BY r.name`), CountLimit)
	if err != nil {
		return nil, err
	}
	// cursors[i] is the cursor of Relays[i]. All rows are read before the next query.
	var cursors []cursor
	s.Relays, err = pgx.CollectRows(found, func(found pgx.CollectableRow) (x RelayStatus, err error) {
		var still, parkedFor float64
		var c cursor
		err = found.Scan(&x.Name, &x.Holder, &x.Epoch, &x.Published, &still, &x.Parked, &parkedFor, &c.from, &c.to, &c.last)
		x.Still, x.ParkedFor = seconds(still), seconds(parkedFor)
		cursors = append(cursors, c)
		return x, err
	})
	if err != nil {
		return nil, err
	}
	for i := range s.Relays {
		if err := readPending(ctx, pool, n, cursors[i], &s.Relays[i]); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// readPending counts what a relay has not sent yet. It counts the rest of a window
// that is being walked as walk reads it, and what has committed since as the next
// window will, so that rows that are sent do not use up the limit.
func readPending(ctx context.Context, pool *pgxpool.Pool, n names, c cursor, x *RelayStatus) error {
	rows, args := windowBy("id, xid, created_at"), []any{c.from, farFuture, CountLimit}
	if c.to != "" {
		rows = `(SELECT id, xid, created_at FROM {outbox}
			WHERE id > $5 AND NOT pg_visible_in_snapshot(xid, $4::text::pg_snapshot) AND pg_visible_in_snapshot(xid, $1::text::pg_snapshot) ORDER BY id LIMIT $3)
			UNION ALL ` + rows
		args = []any{c.to, farFuture, CountLimit, c.from, c.last}
	}
	var age float64
	b := pipeline("off")
	b.Queue(n.sql(`SELECT least(count(*), $3), coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0)::float8 FROM (`+rows+`) w`), args...)
	results, err := send(ctx, pool, b)
	if err != nil {
		return err
	}
	defer results.Close()
	err = results.QueryRow().Scan(&x.Pending, &age)
	x.OldestAge = seconds(age)
	return err
}

// farFuture is a snapshot in which every transaction is over: it shows every row that
// a statement sees.
const farFuture = "9223372036854775807:9223372036854775807:"

// seconds converts s. It never returns less than zero, even if the server's clock was
// set back.
func seconds(s float64) time.Duration { return max(0, time.Duration(s*float64(time.Second))) }

// watch reads the status for health and metrics.
func (r *Relay) watch(ctx context.Context) error {
	s, err := readStatus(ctx, r.pool, r.names)
	if err == nil {
		r.note(func(state *relayState) { state.status = s })
	}
	return err
}

// Own returns the status of one relay name, zero if there is none.
func (s *Status) Own(name string) RelayStatus {
	for _, x := range s.Relays {
		if x.Name == name {
			return x
		}
	}
	return RelayStatus{}
}
