package outbox

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/eventbus-go/eventbus"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// countedConn counts the bytes that are read.
type countedConn struct {
	net.Conn
	read *atomic.Int64
}

func (c countedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.read.Add(int64(n))
	return n, err
}

// counted returns a pool whose connections count the bytes that they read.
func counted(t *testing.T) (pool *pgxpool.Pool, read *atomic.Int64) {
	t.Helper()
	config, err := pgxpool.ParseConfig(dsn(t))
	if err != nil {
		t.Fatal(err)
	}
	read = new(atomic.Int64)
	dial := config.ConnConfig.DialFunc
	config.ConnConfig.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return countedConn{conn, read}, nil
	}
	if pool, err = pgxpool.NewWithConfig(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool, read
}

// large selects 60 rows of 4 MiB.
const large = ` SELECT 1, i::text, 'topic', 'k'::bytea, convert_to(repeat('x', 4 << 20), 'UTF8'), ''::bytea FROM generate_series(1, 60) i`

// TestLargeEvents: of a backlog of large events, or of a parked key with many, the
// relay reads at most twice maxBatchBytes at a time, whatever Batch is.
func TestLargeEvents(t *testing.T) {
	s := newScene(t, dsn(t))
	r, l, c := s.newLeader(t, Config{})
	mustExec(t, s.pool, r.names.sql(`INSERT INTO {outbox} (format, event_id, topic, key, value, attributes)`+large))
	mustExec(t, s.pool, r.names.sql(`INSERT INTO {parked} (relay, id, created_at, partitioner, format, event_id, topic, key, value, attributes)
		SELECT 'default', id, created_at, partitioner, format, event_id, topic, key, value, attributes FROM {outbox}`))
	var read *atomic.Int64
	r.pool, read = counted(t)
	for sent := 0; sent < 60; {
		before := read.Load()
		rows, after, err := r.next(t.Context(), c)
		if err != nil || len(rows) == 0 {
			t.Fatalf("%d rows, %v", len(rows), err)
		}
		for i, x := range rows {
			if x.eventID != fmt.Sprint(sent+i+1) {
				t.Fatalf("event %s follows %d", x.eventID, sent+i)
			}
		}
		sent, c = sent+len(rows), after
		if n := read.Load() - before; n > 5*maxBatchBytes {
			t.Errorf("%d MiB were read for %d events", n>>20, len(rows))
		}
	}
	before := read.Load()
	if refusal, err := r.retryKey(t.Context(), &l, row{topic: "topic", key: []byte("k")}); err != nil || !errors.Is(refusal, eventbus.ErrSerialization) {
		t.Errorf("%v, %v", refusal, err)
	}
	if n := read.Load() - before; n > 3*maxBatchBytes {
		t.Errorf("%d MiB were read of a parked key", n>>20)
	}
}

// TestLargeEventsDue: many large events that are due at once move batch by batch, in
// order.
func TestLargeEventsDue(t *testing.T) {
	s := newScene(t, dsn(t))
	n, _ := s.table.names()
	mustExec(t, s.pool, n.sql(`INSERT INTO {scheduled} (format, event_id, topic, key, value, attributes, due_at) SELECT *, now() FROM (`+large+`) large`))
	for left := int64(60); left > 0; {
		moved, err := moveDue(t.Context(), s.pool, n, 10_000)
		if err != nil || moved != min(left, 4) {
			t.Fatalf("%d of %d were moved, %v", moved, left, err)
		}
		left -= moved
	}
	var inOrder bool
	if err := s.pool.QueryRow(t.Context(), n.sql(`SELECT bool_and(event_id = id::text) FROM {outbox}`)).Scan(&inOrder); err != nil || !inOrder {
		t.Errorf("in order: %t, %v", inOrder, err)
	}
}

// TestScheduledAhead: finding due events does not read those that are scheduled for
// later.
func TestScheduledAhead(t *testing.T) {
	s := newScene(t, dsn(t))
	n, _ := s.table.names()
	mustExec(t, s.pool, n.sql(`INSERT INTO {scheduled} (format, event_id, topic, value, attributes, due_at) SELECT 1, i::text, 't', '', '', now() + (i - 1) * interval '1 hour' FROM generate_series(1, 20000) i`))
	mustExec(t, s.pool, `ANALYZE `+n.scheduled)
	found, err := s.pool.Query(t.Context(), `EXPLAIN ANALYZE `+n.sql(move), 500, maxBatchBytes)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(found, pgx.RowTo[string])
	plan := strings.Join(lines, "\n")
	if err != nil || !strings.Contains(plan, "Index Cond: (due_at <=") || strings.Contains(plan, "Rows Removed by Filter") || strings.Contains(plan, "Seq Scan on outbox_scheduled") {
		t.Errorf("%s, %v", plan, err)
	}
	var left, moved int
	if err := s.pool.QueryRow(t.Context(), n.sql(`SELECT (SELECT count(*) FROM {scheduled}), (SELECT count(*) FROM {outbox})`)).Scan(&left, &moved); err != nil || left != 19_999 || moved != 1 {
		t.Errorf("%d are scheduled and %d moved, %v", left, moved, err)
	}
}
