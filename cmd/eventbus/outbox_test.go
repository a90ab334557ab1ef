package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/kafkatest"
	"github.com/eventbus-go/eventbus/postgres/outbox"
)

// database returns the PostgreSQL to test with, or skips the test.
func database(t *testing.T) string {
	t.Helper()
	address := os.Getenv("EVENTBUS_TEST_POSTGRES")
	if address == "" {
		t.Skip("no PostgreSQL: set EVENTBUS_TEST_POSTGRES, or run scripts/postgres.sh run -- go test ./...")
	}
	return address
}

// TestOutboxListIsCut: an incomplete list of waiting events says so, and a complete one
// does not.
func TestOutboxListIsCut(t *testing.T) {
	for n, want := range map[int]string{listed: "", listed + 1: "more than 1000 events wait: these are the oldest\n"} {
		var out, notes strings.Builder
		a := newApp(strings.NewReader(""), &out, &notes)
		if err := a.showParked(make([]outbox.ParkedEvent, n)); err != nil {
			t.Fatal(err)
		}
		if lines := strings.Count(out.String(), "waits for the one before"); lines != listed || notes.String() != want {
			t.Errorf("%d events: %d lines, noted %q", n, lines, notes.String())
		}
	}
}

// newSchema returns the name of a schema of the test's own, which is dropped at its end, and a
// pool of its database.
func newSchema(t *testing.T, address, prefix string) (string, *pgxpool.Pool) {
	t.Helper()
	schema := fmt.Sprintf("%s%d_%d", prefix, os.Getpid(), time.Now().UnixMilli())
	pool, err := pgxpool.New(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	t.Cleanup(func() { _, _ = pool.Exec(context.Background(), `DROP SCHEMA IF EXISTS `+schema+` CASCADE`) })
	return schema, pool
}

// TestOutbox takes an outbox through its commands: it is migrated and relayed, and an event
// that Kafka refuses is listed, shown, retried and skipped.
func TestOutbox(t *testing.T) {
	address := database(t)
	cluster := kafkatest.NewBroker(t)
	b := &bench{cluster, customers.In(cluster.Environment())}
	schema, pool := newSchema(t, address, "cli")
	do := func(args ...string) *ran {
		t.Helper()
		return b.run(t, append([]string{"outbox", "--database", address, "--schema", schema}, args...)...)
	}
	do("migrate", "--dry-run").ok("CREATE TABLE", schema)
	do("status").fails(exitFailed, "migrate")
	do("migrate").ok()
	do("migrate").ok() // again does nothing
	do("status").ok("RELAY", "default", "nobody")

	bus := cluster.Bus(t)
	table := outbox.Table{Schema: schema}
	good := outbox.For(eventbus.NewPublisher(bus, customers)).In(table)
	nowhere := eventbus.NewTopic(eventbus.TopicConfig[customerCreated]{Domain: "sales", Name: "nowhere", Key: func(e customerCreated) string { return e.CustomerID }})
	refused := outbox.For(eventbus.NewPublisher(bus, nowhere)).In(table)
	kafkatest.Publish(t, cluster, customers, customerCreated{CustomerID: "0"}) // makes the topic
	err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		for n := range 3 {
			e := customerCreated{CustomerID: "c\x1b[31m", Name: fmt.Sprint("n", n)}
			if err := good.Publish(t.Context(), outbox.Pgx(tx), customerCreated{CustomerID: "1", Name: e.Name}); err != nil {
				return err
			}
			if err := refused.Publish(t.Context(), outbox.Pgx(tx), e); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := do("status").ok("nobody"); !strings.Contains(got.out, " 6 ") {
		t.Errorf("6 pending events are missing in\n%s", got.out)
	}

	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	var complaints strings.Builder
	go func() {
		ended <- run(ctx, []string{"--brokers", strings.Join(b.Brokers(), ","), "outbox", "--database", address, "--schema", schema, "relay"}, strings.NewReader(""), &complaints, &complaints)
	}()
	defer func() {
		stop()
		if code := <-ended; code != exitOK {
			t.Errorf("the relay ended with %d: %s", code, complaints.String())
		}
	}()
	until(t, "three events wait", func() bool {
		events, err := outbox.ListParked(t.Context(), pool, table, 10)
		return err == nil && len(events) == 3
	})
	var listed []outbox.ParkedEvent
	do("list", "--output", "json").ok().json(&listed)
	list := do("list").ok("nowhere", "waits for the one before")
	inert(t, "outbox list", list.out)
	if !strings.Contains(listed[0].Error, "topic") {
		t.Errorf("no cause: %+v", listed[0])
	}
	id := func(i int) string { return fmt.Sprint(listed[i].ID) }
	inert(t, "outbox show", do("show", id(0)).ok("nowhere", "n0", listed[0].EventID).out)
	do("show", "999999").fails(exitFailed, "outbox list")
	do("show", "x").fails(exitMisuse, "outbox list")
	do("skip", id(1)).fails(exitMisuse, "--yes") // nobody to ask
	do("skip", id(1), "--dry-run").ok("n1")
	do("skip", id(1), "--yes").ok()
	kafkatest.Publish(t, cluster, nowhere, customerCreated{CustomerID: "other"}) // the operator makes the topic
	do("retry", id(0), "--dry-run").ok("n0")
	do("retry", id(0)).ok()
	until(t, "the key went on", func() bool { return len(kafkatest.Published(t, cluster, nowhere)) == 3 })
	var names []string
	for _, e := range kafkatest.Published(t, cluster, nowhere) {
		names = append(names, e.Name)
	}
	if got := strings.Join(names, " "); !regexp.MustCompile(`n0.*n2`).MatchString(got) || strings.Contains(got, "n1") {
		t.Errorf("published %s, want n0 and n2 without n1", got)
	}
	until(t, "nothing waits", func() bool { return !strings.Contains(do("list").ok().out, "nowhere") })
	do("status").ok("default", fmt.Sprint("/", os.Getpid())).lacks("nobody")
}

// TestOutboxFindsAny: the list of waiting events is cut and says so, and each of them is shown
// and skipped by its id, that beyond the end of the list too.
func TestOutboxFindsAny(t *testing.T) {
	address := database(t)
	schema, pool := newSchema(t, address, "many")
	do := func(args ...string) *ran {
		t.Helper()
		return start(t, "", append([]string{"outbox", "--database", address, "--schema", schema}, args...)...)
	}
	do("migrate").ok()
	const last = listed + 1
	if _, err := pool.Exec(t.Context(), `INSERT INTO `+schema+`.outbox_parked
		(relay, id, format, event_id, topic, key, value, partitioner, attributes, created_at, parked_at, attempts, next_at, error)
		SELECT 'default', n, 1, 'e-' || n, 'nowhere', NULL, '{}', '', '{}', now(), now(), 1, 'infinity', 'no such topic' FROM generate_series(1, $1) AS n`, last); err != nil {
		t.Fatal(err)
	}
	if r := do("list").ok("nowhere", "1000"); !strings.Contains(r.err, "more than 1000 events wait: these are the oldest") {
		t.Errorf("a list that is cut says %q", r.err)
	}
	do("show", fmt.Sprint(last)).ok(fmt.Sprint("e-", last))
	do("skip", fmt.Sprint(last), "--relay", "other", "--yes").fails(exitFailed, "outbox list")
	do("skip", fmt.Sprint(last), "--yes").ok()
	do("show", fmt.Sprint(last)).fails(exitFailed, "outbox list")
	if r := do("list").ok(); r.err != "" {
		t.Errorf("a whole list says %q", r.err)
	}
}

// TestOutboxKeepsSecrets: a password is in no output, whatever is wrong, and can stay
// off the command line, where every user of the machine reads it.
func TestOutboxKeepsSecrets(t *testing.T) {
	const secret = "s3cr3t-Pa55"
	file := filepath.Join(t.TempDir(), "database")
	if err := os.WriteFile(file, []byte("postgres://u:"+secret+"@127.0.0.1:1/x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	commands := [][]string{{"status"}, {"list"}, {"show", "1"}, {"retry", "1"}, {"skip", "1", "--yes"}, {"migrate"}, {"relay", "--brokers", "127.0.0.1:1"}}
	for _, command := range commands[:6] {
		start(t, "", append([]string{"outbox", "--database", "@" + file}, command...)...).fails(exitFailed, "127.0.0.1").lacks(secret, "every user")
	}
	for _, address := range []string{
		"postgres://u:" + secret + "@127.0.0.1:1/x", "postgres://u:" + secret + "%zz@127.0.0.1/x", "postgres://u:" + secret + "@127.0.0.1:port/x",
		"postgres://u:" + secret + "@/x?sslmode=nonsense", "host=127.0.0.1 port=1 user=u password=" + secret, "host=127.0.0.1 password='" + secret + " x port=q",
		"password=" + secret + " sslmode=nonsense", secret, "postgresql://u:" + secret + "@127.0.0.1:1:2/x",
	} {
		r := start(t, "", "outbox", "--database", address, "status").lacks(secret)
		if r.code == exitOK || r.err == "" {
			t.Errorf("%s: exit code %d, %q", address, r.code, r.err)
		}
	}
	start(t, "", "outbox", "--database", "postgres://u:"+secret+"@127.0.0.1:1/x", "status").fails(exitFailed, "every user", "@FILE")
	start(t, "", "outbox", "--database", "@"+file+".missing", "status").fails(exitMisuse, "no such file")
	start(t, "", "outbox", "status").fails(exitMisuse, databaseVariable)
	t.Setenv(databaseVariable, "postgres://u:"+secret+"@127.0.0.1:1/x")
	start(t, "", "outbox", "status").fails(exitFailed, "127.0.0.1").lacks(secret, "every user")
}
