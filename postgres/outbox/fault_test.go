package outbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/kafkatest"
	"github.com/eventbus-go/eventbus/postgres/internal/pgtest"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// scene is an outbox on a real database and an in-process Kafka broker.
type scene struct {
	pool      *pgxpool.Pool
	table     Table
	cluster   *kafkatest.Cluster
	bus       *eventbus.Bus
	publisher *Publisher[change]
	versions  map[string]int64
}

func newScene(t *testing.T, address string) *scene { return newSceneOn(t, address, Table{}) }

func newSceneOn(t *testing.T, address string, table Table) *scene {
	t.Helper()
	s := &scene{pool: openPool(t, address, 20), cluster: kafkatest.NewBroker(t), versions: make(map[string]int64)}
	s.table = newTableOf(t, s.pool, table)
	s.bus = s.cluster.Bus(t)
	if err := s.bus.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	base := eventbus.NewPublisher(s.bus, changeTopic)
	if err := base.Publish(t.Context(), change{Key: "topic", Version: 1}); err != nil { // creates the topic
		t.Fatal(err)
	}
	s.publisher = For(base).In(s.table)
	return s
}

// write commits n events over 7 keys.
func (s *scene) write(t *testing.T, n int) {
	t.Helper()
	for range n {
		key := fmt.Sprint("k", len(s.versions)%7)
		if len(s.versions) >= 7 {
			key = fmt.Sprint("k", s.total()%7)
		}
		s.versions[key]++
		inTx(t, s.pool, func(tx pgx.Tx) {
			if err := s.publisher.Publish(context.Background(), Pgx(tx), change{Key: key, Version: s.versions[key]}); err != nil {
				t.Error(err)
			}
		})
	}
}

func (s *scene) total() (n int64) {
	for _, v := range s.versions {
		n += v
	}
	return n
}

// check waits until everything is published, and checks the order. It returns how many
// events were repeated.
func (s *scene) check(t *testing.T) (repeated int) {
	t.Helper()
	var versions map[string][]int64
	eventually(t, "everything is published", func() bool {
		versions, repeated = published(t, s.cluster)
		n := 0
		for key, list := range versions {
			if s.versions[key] > 0 {
				n += len(list)
			}
		}
		return int64(n) == s.total()
	})
	if keys := inverted(versions); len(keys) > 0 {
		t.Errorf("inverted: %v", keys)
	}
	return repeated
}

// TestTwoRelays: one of two relays leads; when it stops, the other goes on at once.
func TestTwoRelays(t *testing.T) {
	s := newScene(t, dsn(t))
	one, stop := runRelay(t, s.bus, s.pool, Config{Table: s.table})
	eventually(t, "the first leads", func() bool { return one.leads() })
	two, _ := runRelay(t, s.bus, s.pool, Config{Table: s.table})
	s.write(t, 100)
	s.check(t)
	if two.leads() {
		t.Error("both lead")
	}
	stop()
	s.write(t, 100)
	if repeated := s.check(t); repeated > 0 {
		t.Errorf("%d events repeated by a clean hand-over", repeated)
	}
	if !two.leads() || two.Health(t.Context()) != nil {
		t.Errorf("the second does not lead, or is not well: %v", two.Health(t.Context()))
	}
}

func (r *Relay) leads() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state.leading
}

// TestDeposedLeaderIsFenced: a leader whose lease expired after it had read a batch
// can neither send the batch nor write its cursor.
func TestDeposedLeaderIsFenced(t *testing.T) {
	s := newScene(t, dsn(t))
	old, err := NewRelay(s.bus, s.pool, Config{Table: s.table, Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	l, c, err := old.acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if c, err = old.open(t.Context(), &l, c); err != nil {
		t.Fatal(err)
	}
	s.write(t, 20)
	rows, after, err := old.next(t.Context(), c)
	if err != nil || len(rows) != 20 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	// The leader freezes here, and its lease expires.
	mustExec(t, s.pool, old.names.sql(`UPDATE {relay} SET expires_at = '-infinity'`))
	runRelay(t, s.bus, s.pool, Config{Table: s.table})
	s.check(t)
	s.write(t, 20)
	s.check(t)
	// It thaws, and still considers itself the leader.
	err = old.relay(t.Context(), &l, rows, after)
	if err == nil {
		t.Error("a deposed leader sent its batch")
	}
	if err := old.advance(t.Context(), &l, after, nil, 0, nil); !errors.Is(err, errNotLeading) {
		t.Errorf("a deposed leader's cursor: %v", err)
	}
	if repeated := s.check(t); repeated > 0 {
		t.Errorf("%d events of a deposed leader", repeated)
	}
}

// TestReplacedLeaderDoesNotFence: a leader that was replaced between two transactions
// fences its successor when it thaws, but sends nothing after its successor's events.
func TestReplacedLeaderDoesNotFence(t *testing.T) {
	s := newScene(t, dsn(t))
	old, l, c := s.newLeader(t, Config{})
	s.write(t, 20)
	rows, after, err := old.next(t.Context(), c)
	if err != nil || len(rows) != 20 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	old.sender.tx = nil // its transaction has failed, and the next one has not begun
	mustExec(t, s.pool, old.names.sql(`UPDATE {relay} SET expires_at = '-infinity'`))
	_, stop := runRelay(t, s.bus, s.pool, Config{Table: s.table})
	s.write(t, 20)
	s.check(t)
	if err := old.relay(t.Context(), &l, rows, after); !errors.Is(err, errNotLeading) {
		t.Errorf("a replaced leader: %v", err)
	}
	stop()
	if _, err := old.open(t.Context(), &l, c); !errors.Is(err, errNotLeading) {
		t.Errorf("a replaced leader opened its term: %v", err)
	}
	if repeated := s.check(t); repeated > 0 {
		t.Errorf("%d events of a replaced leader", repeated)
	}
}

// TestLongRebase: a rebase that takes longer than the lease and the role's statement
// timeout succeeds, and keeps the lease.
func TestLongRebase(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes some seconds")
	}
	s := newScene(t, dsn(t)+"&statement_timeout=2000")
	s.write(t, 1)
	r, err := NewRelay(s.bus, s.pool, Config{Table: s.table, Logger: quiet(), Lease: 3 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	mustExec(t, s.pool, r.names.sql(`CREATE FUNCTION {schema}.slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(4); RETURN NULL; END';
		CREATE TRIGGER slow AFTER UPDATE ON {outbox} EXECUTE FUNCTION {schema}.slow();
		UPDATE {relay} SET system_identifier = 1`))
	l, c, err := r.acquire(t.Context())
	if err == nil {
		_, err = r.rebase(t.Context(), &l, c, 2)
	}
	if err != nil || !l.covers(0) || s.left(t, r) < time.Second {
		t.Errorf("%v left, %v", s.left(t, r), err)
	}
}

// TestSlowBatchKeepsTheLead: a leader keeps the lead while a batch takes longer than
// the lease because the brokers are unreachable.
func TestSlowBatchKeepsTheLead(t *testing.T) {
	s := newScene(t, dsn(t))
	config := Config{Table: s.table, Lease: 3 * time.Second, DeliveryTimeout: time.Minute}
	one, _ := runRelay(t, s.bus, s.pool, config)
	eventually(t, "the first leads", func() bool { return one.leads() })
	two, _ := runRelay(t, s.bus, s.pool, config)
	s.write(t, 20)
	s.check(t)
	reconnect := s.cluster.Disconnect(t)
	s.write(t, 20)
	n, _ := s.table.names()
	eventually(t, "the lease is renewed in a batch, for longer than it lasts", func() (long bool) {
		err := s.pool.QueryRow(t.Context(), n.sql(`SELECT expires_at - moved_at > $1::float8 * interval '1 second' FROM {relay}`), 3*config.Lease.Seconds()).Scan(&long)
		return err == nil && long
	})
	reconnect()
	if repeated := s.check(t); repeated > 0 || !one.leads() || two.leads() {
		t.Errorf("%d events repeated; the first leads: %t, the second: %t", repeated, one.leads(), two.leads())
	}
	var epoch int
	if err := s.pool.QueryRow(t.Context(), n.sql(`SELECT epoch FROM {relay}`)).Scan(&epoch); err != nil || epoch != 1 {
		t.Errorf("term %d, %v: the lead was lost", epoch, err)
	}
}

// TestCrashBetweenSendAndCursor: events that were sent before the cursor was stored
// are sent again, in order.
func TestCrashBetweenSendAndCursor(t *testing.T) {
	s := newScene(t, dsn(t))
	for range 5 {
		r, err := NewRelay(s.bus, s.pool, Config{Table: s.table, Logger: quiet(), Batch: 7})
		if err != nil {
			t.Fatal(err)
		}
		l, c, err := r.acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if c, err = r.open(t.Context(), &l, c); err != nil {
			t.Fatal(err)
		}
		s.write(t, 20)
		rows, after, err := r.next(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.relay(t.Context(), &l, rows, after); err != nil {
			t.Fatal(err)
		}
		rows, _, err = r.next(t.Context(), after)
		if err != nil {
			t.Fatal(err)
		}
		_, envelopes, _ := r.sort(rows)
		if _, err := r.deliver(t.Context(), &l, envelopes); err != nil { // and crashes
			t.Fatal(err)
		}
		mustExec(t, s.pool, r.names.sql(`UPDATE {relay} SET expires_at = '-infinity'`))
	}
	runRelay(t, s.bus, s.pool, Config{Table: s.table})
	if repeated := s.check(t); repeated == 0 || repeated > 5*7 {
		t.Errorf("%d events repeated by 5 crashes with batches of 7", repeated)
	}
}

func TestScheduled(t *testing.T) {
	s := newScene(t, dsn(t))
	runRelay(t, s.bus, s.pool, Config{Table: s.table})
	soon := s.publisher.With(NotBefore(time.Now().Add(300 * time.Millisecond)))
	later := s.publisher.With(NotBefore(time.Now().Add(time.Hour)), KeyLock())
	inTx(t, s.pool, func(tx pgx.Tx) {
		for n := range int64(3) {
			if err := soon.Publish(t.Context(), Pgx(tx), change{Key: "due", Version: n + 1}); err != nil {
				t.Error(err)
			}
		}
		if err := later.Publish(t.Context(), Pgx(tx), change{Key: "later", Version: 1}, eventbus.WithID("e-later")); err != nil {
			t.Error(err)
		}
	})
	s.versions["due"] = 3
	s.check(t)
	status, err := ReadStatus(t.Context(), s.pool, s.table)
	if err != nil || status.Scheduled != 1 || status.Own("default").Published != 3 || status.Own("default").Holder == "" {
		t.Errorf("status %+v, %v", status, err)
	}
	for _, want := range []bool{true, false} {
		inTx(t, s.pool, func(tx pgx.Tx) {
			if got, err := Cancel(t.Context(), Pgx(tx), s.table, "e-later"); got != want || err != nil {
				t.Errorf("cancelled %t, %v, want %t", got, err, want)
			}
		})
	}
}

func TestCleanup(t *testing.T) {
	s := newScene(t, dsn(t))
	n, _ := s.table.names()
	mustExec(t, s.pool, n.sql(`INSERT INTO {relay} (name, system_identifier, from_snapshot) SELECT 'forgotten', system_identifier, from_snapshot FROM {relay}`))
	s.write(t, 50)
	r, _ := runRelay(t, s.bus, s.pool, Config{Table: s.table, Keep: time.Millisecond, CleanInterval: 10 * time.Millisecond, Lease: 13 * time.Second})
	s.check(t)
	count := func() (rows int) {
		if err := s.pool.QueryRow(t.Context(), n.sql(`SELECT count(*) FROM {outbox}`)).Scan(&rows); err != nil {
			t.Fatal(err)
		}
		return rows
	}
	if count() != 50 {
		t.Errorf("%d rows while a relay name has sent nothing, want 50", count())
	}
	eventually(t, "the forgotten name shows in health", func() bool {
		err := r.Health(t.Context())
		return err != nil && strings.Contains(err.Error(), "forgotten")
	})
	mustExec(t, s.pool, n.sql(`DELETE FROM {relay} WHERE name = 'forgotten'`))
	eventually(t, "the table is empty", func() bool { return count() == 0 })
}

// TestPgBouncer: the same through PgBouncer in transaction mode.
func TestPgBouncer(t *testing.T) {
	dsn(t)
	address := os.Getenv("EVENTBUS_TEST_PGBOUNCER")
	if address == "" {
		t.Skip("no PgBouncer: set EVENTBUS_TEST_PGBOUNCER, or run scripts/postgres.sh run where it is installed")
	}
	s := newScene(t, address+"&default_query_exec_mode=exec")
	one, stop := runRelay(t, s.bus, s.pool, Config{Table: s.table, Batch: 20})
	s.write(t, 300)
	s.check(t)
	if !one.leads() {
		t.Error("it does not lead")
	}
	runRelay(t, s.bus, s.pool, Config{Table: s.table, Batch: 20})
	stop()
	s.write(t, 100)
	if repeated := s.check(t); repeated > 0 {
		t.Errorf("%d events repeated", repeated)
	}
}

// TestServerRestarts: the server restarts, freezes and thaws while a relay works. The
// test has its own server, since other packages use the shared one at the same time.
func TestServerRestarts(t *testing.T) {
	server := pgtest.Start(t)
	s := newScene(t, server.URL)
	r, _ := runRelay(t, s.bus, s.pool, Config{Table: s.table, Batch: 10})
	for range 3 {
		s.write(t, 50)
		server.Control(t, "restart", "immediate")
		eventually(t, "the pool connects again", func() bool { return s.pool.Ping(context.Background()) == nil })
		s.write(t, 50)
		server.Control(t, "pause-backends")
		server.Control(t, "resume-backends")
	}
	repeated := s.check(t)
	t.Logf("%d of %d events repeated by 3 immediate restarts", repeated, s.total())
	eventually(t, "the relay is well", func() bool { return r.Health(context.Background()) == nil })
}
