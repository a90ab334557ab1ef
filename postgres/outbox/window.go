package outbox

import (
	"cmp"
	"context"
	"slices"

	"github.com/jackc/pgx/v5"
)

// columns are the columns of a row, in the order in which collect scans them.
const columns = `id, format, event_id, topic, key, value, partitioner, attributes, tableoid`

// window is what next returned, and whether more rows probably follow. rows and after
// are valid only if err is nil.
type window struct {
	rows  []row
	after cursor
	more  bool
	err   error
}

// readAhead reads the window after a cursor in a new goroutine. The channel is closed
// after the window.
func (r *Relay) readAhead(ctx context.Context, c cursor) <-chan window {
	// The buffer lets the goroutine end even if nobody receives.
	read := make(chan window, 1)
	go func() {
		defer close(read)
		ctx, cancel := context.WithTimeout(ctx, maxRead)
		defer cancel()
		var w window
		w.rows, w.after, w.err = r.next(ctx, c)
		// After a full batch another one is likely, and a walk has not ended while to
		// is set.
		w.more = len(w.rows) >= r.config.Batch || w.after.to != ""
		read <- w
	}()
	return read
}

// next returns the rows that follow the cursor, in order, and the cursor after them.
// No rows and an equal cursor mean that nothing has committed.
//
// A window that fits into one batch is read by the index (xid, id), and sorted here. A
// larger one, after an outage, is read by walking the primary key, which needs no
// sort.
func (r *Relay) next(ctx context.Context, c cursor) (rows []row, after cursor, err error) {
	if c.to != "" {
		return r.walk(ctx, c)
	}
	var to string
	var cut, same bool
	// Snapshots with equal texts show the same transactions.
	err = r.within(ctx, func(ctx context.Context) error {
		err := r.pool.QueryRow(ctx, r.names.sql(`SELECT pg_current_snapshot()::text, `+sameRun), r.config.Name, c.run).Scan(&to, &same)
		if err == nil && !same {
			err = errAnotherRun
		}
		return err
	})
	if err != nil || to == c.from {
		return nil, c, err
	}
	// One row more than a batch shows that the window does not fit into it.
	err = bounded(ctx, maxAnswer, func(ctx context.Context) (err error) {
		rows, cut, err = r.read(ctx, c.run, r.names.sql(windowBy(columns)), c.from, to, r.config.Batch+1)
		return err
	})
	if err != nil {
		return nil, c, err
	}
	if len(rows) <= r.config.Batch && !cut {
		slices.SortFunc(rows, func(a, b row) int { return cmp.Compare(a.id, b.id) })
		c.from, c.last = to, 0
		return rows, c, nil
	}
	if cut {
		r.likely = len(rows)
	}
	first, err := r.first(ctx, c.run, c.from, to)
	if err != nil {
		return nil, c, err
	}
	// The walk begins after last, so this includes first.
	c.to, c.last = to, first-1
	return r.walk(ctx, c)
}

// windowBy selects the difference of two snapshots in two parts, of at most $3 rows
// each: transactions that began after from, and those that were running in it.
func windowBy(columns string) string {
	return `(SELECT ` + columns + ` FROM {outbox}
		WHERE xid >= pg_snapshot_xmax($1::text::pg_snapshot) AND xid < pg_snapshot_xmax($2::text::pg_snapshot)
			AND pg_visible_in_snapshot(xid, $2::text::pg_snapshot)
		ORDER BY xid, id LIMIT $3)
	UNION ALL
	(SELECT ` + columns + ` FROM {outbox}
		WHERE xid = ANY(ARRAY(SELECT pg_snapshot_xip($1::text::pg_snapshot))) AND pg_visible_in_snapshot(xid, $2::text::pg_snapshot)
		ORDER BY xid, id LIMIT $3)`
}

// first returns the smallest id of a window. OFFSET 0 keeps the planner from walking
// the primary key for it. It may count rows that to does not show, and then the walk
// only begins earlier.
func (r *Relay) first(ctx context.Context, run, from, to string) (id int64, err error) {
	results, err := r.query(ctx, run, r.names.sql(`
		SELECT min(id) FROM (
			(SELECT id FROM {outbox} WHERE xid >= pg_snapshot_xmax($1::text::pg_snapshot) AND xid < pg_snapshot_xmax($2::text::pg_snapshot) OFFSET 0)
			UNION ALL
			(SELECT id FROM {outbox} WHERE xid = ANY(ARRAY(SELECT pg_snapshot_xip($1::text::pg_snapshot))) OFFSET 0)) w`), from, to)
	if err != nil {
		return 0, err
	}
	defer results.Close()
	err = results.QueryRow().Scan(&id)
	return id, err
}

// walk reads one batch of a large window. It asks for no more rows than are likely to
// fit into maxBatchBytes, since the database would send the others in addition, only
// to be dropped.
func (r *Relay) walk(ctx context.Context, c cursor) ([]row, cursor, error) {
	limit := min(cmp.Or(r.likely, r.config.Batch), r.config.Batch)
	rows, cut, err := r.read(ctx, c.run, r.names.sql(`
		SELECT `+columns+` FROM {outbox}
		WHERE id > $4 AND NOT pg_visible_in_snapshot(xid, $1::text::pg_snapshot) AND pg_visible_in_snapshot(xid, $2::text::pg_snapshot)
		ORDER BY id LIMIT $3`), c.from, c.to, limit, c.last)
	if err != nil {
		return nil, c, err
	}
	// After a cut, the next rows are assumed to be as large; otherwise the next read
	// tries more.
	if r.likely = 2 * limit; cut {
		r.likely = len(rows)
	}
	// A batch that is not full ends the window.
	if len(rows) < limit && !cut {
		c.from, c.to, c.last = c.to, "", 0
	} else {
		c.last = rows[len(rows)-1].id
	}
	return rows, c, nil
}

// query runs a query with the relay's session settings, or fails with errAnotherRun if
// run is not the server's current run. The caller reads its result next, and closes
// the results.
func (r *Relay) query(ctx context.Context, run, statement string, args ...any) (pgx.BatchResults, error) {
	b := pipeline("off")
	b.Queue(r.names.sql(`SELECT `+sameRun), r.config.Name, run)
	b.Queue(statement, args...)
	results, err := send(ctx, r.pool, b)
	if err != nil {
		return nil, err
	}
	var same bool
	if err = results.QueryRow().Scan(&same); err == nil && !same {
		err = errAnotherRun
	}
	if err != nil {
		_ = results.Close()
		return nil, err
	}
	return results, nil
}

// maxBatchBytes bounds the keys, values and attributes of one batch, and so a relay's
// memory, which holds two batches, and the size of a transaction. A single row may
// exceed it.
const maxBatchBytes = 16 << 20

// read reads the rows of a query. cut reports whether maxBatchBytes was reached, so
// that rows are missing.
func (r *Relay) read(ctx context.Context, run, statement string, args ...any) (rows []row, cut bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results, err := r.query(ctx, run, statement, args...)
	if err != nil {
		return nil, false, err
	}
	defer results.Close()
	found, err := results.Query()
	if err != nil {
		return nil, false, err
	}
	return collect(found, cancel)
}

// collect reads rows up to maxBatchBytes, and closes found. cut reports whether there were more.
// Closing reads the rest, so that the connection can be used again. If the rest is large,
// collect calls cancel instead, which ends the statement and the connection: reading many large
// events would exceed the statement's limit, at every attempt.
func collect(found pgx.Rows, cancel context.CancelFunc) (rows []row, cut bool, err error) {
	defer found.Close()
	size := 0
	for found.Next() {
		// A row's size is counted before it is kept.
		for _, value := range found.RawValues() {
			size += len(value)
		}
		if size > maxBatchBytes && len(rows) > 0 {
			if cut = true; size > 2*maxBatchBytes {
				cancel()
				break
			}
			continue
		}
		var x row
		if err := found.Scan(&x.id, &x.format, &x.eventID, &x.topic, &x.key, &x.value, &x.partitioner, &x.attributes, &x.table); err != nil {
			return nil, false, err
		}
		rows = append(rows, x)
	}
	if cut {
		return rows, true, nil
	}
	return rows, false, found.Err()
}
