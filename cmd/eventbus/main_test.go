package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/kafkatest"
)

func TestMain(m *testing.M) {
	for _, variable := range []string{connectionVariable, environmentVariable, tokenVariable, databaseVariable} {
		_ = os.Unsetenv(variable)
	}
	goleak.VerifyTestMain(m)
}

type customerCreated struct {
	CustomerID string `json:"customerId"`
	Name       string `json:"name"`
}

var customers = eventbus.NewTopic(eventbus.TopicConfig[customerCreated]{
	Domain: "sales", Name: "customer", Plural: true, Partitions: 3, Owner: "crm",
	Key: func(e customerCreated) string { return e.CustomerID },
})

// bench is a cluster, on which the tool is run.
type bench struct {
	*kafkatest.Cluster
	topic string // the full name of customers
}

// everywhere runs a test on the in-process broker, and on the brokers that
// EVENTBUS_TEST_BROKERS names.
func everywhere(t *testing.T, body func(*testing.T, *bench)) {
	t.Helper()
	on := func(open func(testing.TB) *kafkatest.Cluster) func(*testing.T) {
		return func(t *testing.T) {
			cluster := open(t)
			body(t, &bench{cluster, customers.In(cluster.Environment())})
		}
	}
	t.Run("Broker", on(kafkatest.NewBroker))
	t.Run("Kafka", on(func(t testing.TB) *kafkatest.Cluster { return kafkatest.Open(t) }))
}

// ran is a finished run of the tool.
type ran struct {
	t        *testing.T
	args     []string
	code     int
	out, err string
}

// run runs the tool on the cluster, without a terminal.
func (b *bench) run(t *testing.T, args ...string) *ran {
	t.Helper()
	return b.feed(t, "", args...)
}

// feed is like run, with text on standard input.
func (b *bench) feed(t *testing.T, stdin string, args ...string) *ran {
	t.Helper()
	return start(t, stdin, append([]string{"--brokers", strings.Join(b.Brokers(), ","), "--environment", b.Environment()}, args...)...)
}

func start(t *testing.T, stdin string, args ...string) *ran {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var out, complaints bytes.Buffer
	r := &ran{t: t, args: args, code: run(ctx, args, strings.NewReader(stdin), &out, &complaints)}
	r.out, r.err = out.String(), complaints.String()
	return r
}

// ok requires success, and these texts in the output.
func (r *ran) ok(texts ...string) *ran {
	r.t.Helper()
	return r.ended(exitOK, r.out, texts)
}

// fails requires an exit code, and these texts on standard error.
func (r *ran) fails(code int, texts ...string) *ran {
	r.t.Helper()
	return r.ended(code, r.err, texts)
}

func (r *ran) ended(code int, where string, texts []string) *ran {
	r.t.Helper()
	if r.code != code {
		r.t.Fatalf("eventbus %s: exit code %d, want %d\n%s%s", strings.Join(r.args, " "), r.code, code, r.out, r.err)
	}
	for _, text := range texts {
		if !strings.Contains(where, text) {
			r.t.Errorf("eventbus %s: %q is missing in\n%s%s", strings.Join(r.args, " "), text, r.out, r.err)
		}
	}
	return r
}

// lacks requires that none of these texts is in the output.
func (r *ran) lacks(texts ...string) *ran {
	r.t.Helper()
	for _, text := range texts {
		if strings.Contains(r.out+r.err, text) {
			r.t.Errorf("eventbus %s: %q is in\n%s%s", strings.Join(r.args, " "), text, r.out, r.err)
		}
	}
	return r
}

// json decodes the output.
func (r *ran) json(into any) {
	r.t.Helper()
	if err := json.Unmarshal([]byte(r.out), into); err != nil {
		r.t.Fatalf("eventbus %s: %v in\n%s", strings.Join(r.args, " "), err, r.out)
	}
}

func TestMisuse(t *testing.T) {
	for _, test := range []struct {
		says string
		args []string
	}{
		{"no brokers", []string{"topics", "list"}},
		{`did you mean topics`, []string{"topcs"}},
		{"is not a command", []string{"groups", "destroy"}},
		{"write table or json", []string{"--output", "xml", "topics", "list"}},
		{"accepts 1 arg", []string{"tail"}},
		{"unknown flag", []string{"tail", "x", "--nonsense"}},
		{"required flag(s) \"catalog\"", []string{"topics", "diff"}},
		{"--from yesterday", []string{"tail", "x", "--from", "yesterday"}},
		{"--topic and --to", []string{"groups", "reset", "g"}},
		{"--type is missing", []string{"publish", "x", "--source", "urn:x", "--data", "1"}},
		{"--source is missing", []string{"publish", "x", "--type", "X", "--data", "1"}},
		{"--tombstone needs --key", []string{"publish", "x", "--tombstone"}},
		{"--state lost", []string{"dlq", "show", "x.dlq", "--state", "lost"}},
		{"TOPIC/PARTITION@OFFSET", []string{"dlq", "show", "x.dlq/1"}},
		{"--member-ca: open", []string{"console", "--member", "https://a", "--member-ca", "no-such-file"}},
		{"--member-ca: main_test.go holds no certificate", []string{"console", "--member", "https://a", "--member-ca", "main_test.go"}},
		{"leave --group out", []string{"dlq", "skip", "x.dlq/1@2", "--group", "g"}},
		{"name it with --group", []string{"dlq", "skip", "x.dlq/1@2", "--admin", "http://127.0.0.1:1"}},
	} {
		want := exitMisuse
		if test.says == "no brokers" {
			want = exitFailed // the environment might have named them
		}
		start(t, "", test.args...).fails(want, test.says)
	}
}

func TestCounted(t *testing.T) {
	for n, want := range []string{"0 events", "1 event", "2 events"} {
		if got := counted(n, "event"); got != want {
			t.Errorf("%d are %q, want %q", n, got, want)
		}
	}
}

func TestUnreachable(t *testing.T) {
	for _, args := range [][]string{{"topics", "list"}, {"tail", "x"}, {"dlq", "list"}} {
		start(t, "", append(args, "--brokers", "127.0.0.1:1")...).fails(exitFailed, "127.0.0.1:1", "refused")
	}
	start(t, "", "doctor", "--brokers", "127.0.0.1:1").fails(exitFailed).ended(exitFailed, start(t, "", "doctor", "--brokers", "127.0.0.1:1").out, []string{"fail", "127.0.0.1:1"})
}

func TestHelpAndCompletion(t *testing.T) {
	start(t, "").ok("topics", "tail", "publish", "groups", "dlq", "doctor")
	start(t, "", "completion", "bash").ok("eventbus")
	b := &bench{Cluster: kafkatest.NewBroker(t)}
	b.run(t, "publish", "none", "--type", "X", "--source", "urn:x", "--data", "1").fails(exitFailed, "does not exist")
	kafkatest.Publish(t, b.Cluster, customers, customerCreated{"c-1", "A"})
	b.run(t, "__complete", "tail", "test.sa").ok(customers.In(b.Environment()))
}
