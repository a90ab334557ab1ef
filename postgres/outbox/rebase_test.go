package outbox

import (
	"fmt"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/postgres/internal/pgtest"
	"github.com/eventbus-go/eventbus/transport"
	"github.com/jackc/pgx/v5"
)

// restored changes the outbox as if it was restored from a dump of a cluster that was
// a million transactions ahead.
const restored = `UPDATE {outbox} SET xid = ((xid::text::bigint + 1000000)::text)::xid8;
	UPDATE {relay} SET system_identifier = 1, from_snapshot =
		((pg_snapshot_xmin(from_snapshot)::text::bigint + 1000000)::text || ':' || (pg_snapshot_xmax(from_snapshot)::text::bigint + 1000000)::text || ':')::pg_snapshot`

// halfSent returns an outbox from which a relay, now stopped, has sent 30 events, and in which
// 20 wait.
func halfSent(t *testing.T, address string, table Table) *scene {
	t.Helper()
	s := newSceneOn(t, address, table)
	_, stop := runRelay(t, s.bus, s.pool, Config{Table: s.table})
	s.write(t, 30)
	s.check(t)
	stop()
	s.write(t, 20)
	return s
}

// TestRestoredDump: the stored transaction ids are in the new cluster's future.
func TestRestoredDump(t *testing.T) {
	s := halfSent(t, dsn(t), Table{})
	n, _ := s.table.names()
	mustExec(t, s.pool, n.sql(restored))
	runRelay(t, s.bus, s.pool, Config{Table: s.table})
	s.write(t, 20)
	if repeated := s.check(t); repeated > 0 {
		t.Errorf("%d events repeated", repeated)
	}
}

// TestRestoredFromAKilledRelay: a transaction that the last relay before the dump left open does
// not hold up readers of committed records.
func TestRestoredFromAKilledRelay(t *testing.T) {
	s := halfSent(t, dsn(t), Table{})
	n, _ := s.table.names()
	mustExec(t, s.pool, n.sql(restored))
	var database string
	if err := s.pool.QueryRow(t.Context(), `SELECT current_database()`).Scan(&database); err != nil {
		t.Fatal(err)
	}
	brokers := kafka.New(kafka.Config{Brokers: s.cluster.Brokers()})
	defer func() { _ = brokers.Close(t.Context()) }()
	killed, err := kafka.NewTransactor(t.Context(), brokers, fmt.Sprintf("eventbus-outbox.1.%s.%s.default", database, n.bare), kafka.TransactorConfig{Timeout: 10 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	for p := range int32(6) {
		if err := killed.Produce(t.Context(), transport.Record{Topic: changeTopic.In(s.cluster.Environment()), Partition: p, Value: []byte("half a batch")}); err != nil {
			t.Fatal(err)
		}
	}
	runRelay(t, s.bus, s.pool, Config{Table: s.table})
	s.write(t, 20)
	if repeated := s.check(t); repeated > 0 {
		t.Errorf("%d events repeated", repeated)
	}
}

// TestRestoredBehindItsClock: events written after a restore are sent, even if the
// clock makes them older than the cursor, or if a savepoint gives their tuple another
// transaction id.
func TestRestoredBehindItsClock(t *testing.T) {
	s := halfSent(t, dsn(t), Table{})
	n, _ := s.table.names()
	mustExec(t, s.pool, n.sql(restored+`; UPDATE {relay} SET moved_at = now() + interval '1 hour'`))
	s.write(t, 10)
	for range 10 {
		s.versions["k0"]++
		inTx(t, s.pool, func(tx pgx.Tx) {
			mustExec(t, s.pool, `SELECT pg_current_xact_id()`) // uses up an id in between
			if err := pgx.BeginFunc(t.Context(), tx, func(within pgx.Tx) error {
				return s.publisher.Publish(t.Context(), Pgx(within), change{Key: "k0", Version: s.versions["k0"]})
			}); err != nil {
				t.Error(err)
			}
		})
	}
	runRelay(t, s.bus, s.pool, Config{Table: s.table})
	if repeated := s.check(t); repeated > 0 {
		t.Errorf("%d events repeated", repeated)
	}
}

// TestUpgrade: the same with pg_upgrade itself.
func TestUpgrade(t *testing.T) {
	server := pgtest.Start(t)
	for _, partitioned := range []bool{false, true} {
		s := halfSent(t, server.URL, Table{Partitioned: partitioned})
		server.Upgrade(t)
		eventually(t, "the pool connects again", func() bool { return s.pool.Ping(t.Context()) == nil })
		s.write(t, 10)
		runRelay(t, s.bus, s.pool, Config{Table: s.table})
		if repeated := s.check(t); repeated > 0 {
			t.Errorf("partitioned: %t: %d events repeated", partitioned, repeated)
		}
	}
}

// TestUpgradedServer: pg_upgrade keeps tuples and transaction ids, in a cluster with a
// new system identifier and catalogue. Events that were sent are not sent again.
func TestUpgradedServer(t *testing.T) {
	for _, partitioned := range []bool{false, true} {
		s := halfSent(t, dsn(t), Table{Partitioned: partitioned})
		n, _ := s.table.names()
		mustExec(t, s.pool, n.sql(`SET LOCAL allow_system_table_mods = on; UPDATE pg_attribute SET attname = attname WHERE attrelid = '{outbox}'::regclass; UPDATE {relay} SET system_identifier = 1`))
		s.write(t, 10)
		runRelay(t, s.bus, s.pool, Config{Table: s.table})
		if repeated := s.check(t); repeated > 0 {
			t.Errorf("partitioned: %t: %d events repeated", partitioned, repeated)
		}
	}
}
