package outbox

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/kafkatest"
	"github.com/eventbus-go/eventbus/postgres/inbox"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// siege lets 100 writers write to an outbox, with rollbacks, savepoints, pauses and
// two-phase commits, while a test injects faults into relays, brokers or the server.
// It then counts lost, inverted and repeated events by the aggregates' versions, each
// of which is written together with its event or not at all.
type siege struct {
	scene
	address string
	writers *writers
	over    chan struct{}
	stop    context.CancelFunc
}

// newSiege returns a siege of the server at address, with the brokers of the
// environment or else one inside the process.
func newSiege(t *testing.T, address string) *siege {
	t.Helper()
	if testing.Short() {
		t.Skip("it takes some seconds")
	}
	s := &siege{address: address, over: make(chan struct{})}
	s.pool = openPool(t, address, 110)
	s.table = newTable(t, s.pool)
	if os.Getenv(kafkatest.BrokersVariable) != "" {
		s.cluster = kafkatest.Open(t)
	} else {
		s.cluster = kafkatest.NewBroker(t)
	}
	s.bus = s.cluster.Bus(t)
	base := eventbus.NewPublisher(s.bus, changeTopic)
	if err := base.Publish(t.Context(), change{Key: "topic", Version: 1}); err != nil { // makes the topic
		t.Fatal(err)
	}
	s.publisher = For(base).In(s.table)
	s.writers = &writers{pool: s.pool, table: s.table, publisher: s.publisher, count: 100, events: 1 << 40, keys: 500, pauses: true, patient: true}
	return s
}

// process returns a relay process of this outbox.
func (s *siege) process(unfenced bool) relayProcess {
	return relayProcess{Database: s.address, Environment: s.cluster.Environment(), Brokers: s.cluster.Brokers(), Schema: s.table.Schema, Unfenced: unfenced}
}

// begin starts the writers, which write until end.
func (s *siege) begin(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	s.stop = cancel
	t.Cleanup(func() { cancel(); <-s.over })
	go func() { defer close(s.over); s.writers.run(ctx) }()
}

// more waits until n more events are published.
func (s *siege) more(t *testing.T, n int64) {
	t.Helper()
	var from int64 = -1
	eventually(t, fmt.Sprint(n, " more events are published"), func() bool {
		_, published := leader(t, s.pool, s.table)
		if from < 0 {
			from = published
		}
		return published >= from+n
	})
}

// end stops the writers, waits until everything that they committed is published, and
// judges the result. It then handles all events through an inbox, which must let each
// through once.
func (s *siege) end(t *testing.T) outcome {
	t.Helper()
	s.stop()
	select {
	case <-s.over:
	case <-time.After(time.Minute):
		t.Fatal("the writers don't end")
	}
	truth := s.truth(t)
	eventually(t, "nothing is pending", func() bool {
		status, err := ReadStatus(context.Background(), s.pool, s.table)
		return err == nil && status.Own("default").Pending == 0 && status.Own("default").Parked == 0
	})
	found := judge(truth, kafkatest.Published(t, s.cluster, changeTopic))
	t.Logf("%v", found)
	if found.lost > 0 || found.inverted > 0 || found.committed == 0 {
		t.Errorf("%v", found)
	}
	s.once(t, truth)
	return found
}

// resolvePrepared commits prepared transactions whose writers lost the connection,
// like a transaction manager.
func resolvePrepared(t testing.TB, pool *pgxpool.Pool) {
	t.Helper()
	rows, err := pool.Query(context.Background(), `SELECT gid FROM pg_prepared_xacts WHERE database = current_database()`)
	if err != nil {
		t.Fatal(err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		mustExec(t, pool, `COMMIT PREPARED '`+name+`'`)
	}
}

// truth returns the version of each aggregate, once no transaction is left that may
// change one: the server may still be committing a writer's last transaction.
func (s *siege) truth(t testing.TB) map[string]int64 {
	t.Helper()
	eventually(t, "every writer's transaction is over", func() bool {
		resolvePrepared(t, s.pool)
		_, err := s.pool.Exec(context.Background(), `SET LOCAL lock_timeout = '1s'; LOCK TABLE `+s.table.Schema+`.aggregate IN SHARE MODE`, pgx.QueryExecModeSimpleProtocol)
		return err == nil
	})
	truth := make(map[string]int64)
	rows, err := s.pool.Query(context.Background(), `SELECT key, version FROM `+s.table.Schema+`.aggregate`)
	if err != nil {
		t.Fatal(err)
	}
	var key string
	var version int64
	if _, err := pgx.ForEachRow(rows, []any{&key, &version}, func() error { truth[key] = version; return nil }); err != nil {
		t.Fatal(err)
	}
	return truth
}

// judge compares events, which are in log order, with truth.
func judge(truth map[string]int64, events []change) (found outcome) {
	highest := make(map[string]int64)
	seen := make(map[change]bool)
	for _, c := range events {
		if truth[c.Key] == 0 {
			continue
		}
		found.read++
		switch {
		case seen[c]:
			found.repeated++
			continue
		case c.Version > truth[c.Key]:
			found.inverted++ // from a transaction that did not commit
		case c.Version < highest[c.Key]:
			found.inverted++
		}
		seen[c] = true
		highest[c.Key] = max(highest[c.Key], c.Version)
	}
	for key, last := range truth {
		found.committed += int(last)
		for v := int64(1); v <= last; v++ {
			if !seen[change{Key: key, Version: v}] {
				found.lost++
			}
		}
	}
	return found
}

// once handles all events in Kafka through an inbox, at least one of which per key is
// sent twice, and checks that each ran once, in the order of its key.
func (s *siege) once(t *testing.T, truth map[string]int64) {
	t.Helper()
	for key, version := range truth {
		kafkatest.Publish(t, s.cluster, changeTopic, change{Key: key, Version: version + 1})
		kafkatest.Duplicate(t, s.cluster, changeTopic, change{Key: key, Version: version + 1})
		truth[key]++
		break
	}
	at := inbox.Table{Schema: s.table.Schema}
	if err := inbox.Migrate(t.Context(), s.pool, at); err != nil {
		t.Fatal(err)
	}
	in, err := inbox.New(s.pool, inbox.Config{Table: at})
	if err != nil {
		t.Fatal(err)
	}
	bus := s.cluster.Bus(t)
	if err := bus.Use(eventbus.Idempotent(in)); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	handled := make(map[string][]int64)
	total := 0
	err = bus.Add(eventbus.OnBatch(changeTopic, func(_ context.Context, events []change) error {
		mu.Lock()
		defer mu.Unlock()
		for _, c := range events {
			if truth[c.Key] > 0 {
				handled[c.Key] = append(handled[c.Key], c.Version)
				total++
			}
		}
		return nil
	}, eventbus.BatchSize(500), eventbus.StartAt(eventbus.Earliest())))
	if err == nil {
		err = bus.Start(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	s.cluster.Settle(t)
	mu.Lock()
	defer mu.Unlock()
	want := 0
	for _, version := range truth {
		want += int(version)
	}
	if keys := inverted(handled); len(keys) > 0 || total != want {
		t.Errorf("the inbox let %d of %d through; out of order or more than once: %.300s", total, want, fmt.Sprint(keys))
	}
}
