package doctor

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/kafkatest"
	"github.com/eventbus-go/eventbus/secret"
	"github.com/eventbus-go/eventbus/transport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// finds requires a verdict of a check, with a text in its finding.
func finds(t *testing.T, found Findings, check, verdict, says string) {
	t.Helper()
	for _, f := range found {
		if f.Check == check && f.Verdict == verdict && strings.Contains(f.Finding, says) {
			return
		}
	}
	t.Errorf("no finding %s of %s says %q: %+v", verdict, check, says, found)
}

// TestClocks: only a record from the future shows that a clock differs.
func TestClocks(t *testing.T) {
	broker := kafkatest.NewBroker(t)
	cluster := kafka.New(kafka.Config{Brokers: broker.Brokers()})
	defer cluster.Close(context.Background())
	if err := cluster.Admin().CreateTopics(t.Context(), transport.TopicSpec{Name: "t", Partitions: 2}); err != nil {
		t.Fatal(err)
	}
	now := time.Now().Truncate(time.Millisecond) // the precision of records
	examine := func(topics ...string) (found Findings) {
		var infos []transport.TopicInfo
		if len(topics) > 0 {
			var err error
			if infos, err = cluster.Admin().Topics(t.Context(), topics...); err != nil {
				t.Fatal(err)
			}
		}
		Clocks(t.Context(), &found, cluster, infos, func() time.Time { return now })
		return found
	}
	finds(t, examine(), "clocks", Unknown, "no topic was examined")
	finds(t, examine("t"), "clocks", Unknown, "hold no record")
	broker.Produce(t, transport.Record{Topic: "t", Value: []byte("x"), Time: now.Add(-time.Hour)})
	finds(t, examine("t"), "clocks", Unknown, "no record is ahead")
	broker.Produce(t, transport.Record{Topic: "t", Partition: 1, Value: []byte("x"), Time: now.Add(time.Minute)})
	finds(t, examine("t"), "clocks", Warning, "t/1@0 is 1m0s ahead")
}

// TestCluster: a cluster of one broker works, but has too few replicas.
func TestCluster(t *testing.T) {
	broker := kafkatest.NewBroker(t)
	cluster := kafka.New(kafka.Config{Brokers: broker.Brokers()})
	defer cluster.Close(context.Background())
	var found Findings
	Brokers(t.Context(), &found, cluster)
	finds(t, found, "cluster", Warning, "1 broker")
	if err := cluster.Admin().CreateTopics(t.Context(), transport.TopicSpec{Name: "t", Partitions: 2, Replication: 1}); err != nil {
		t.Fatal(err)
	}
	infos, err := cluster.Admin().Topics(t.Context(), "t")
	if err != nil {
		t.Fatal(err)
	}
	found = nil
	Replicas(t.Context(), &found, cluster, infos, []string{"t"})
	finds(t, found, "t", Warning, "single replica")
}

// TestFolded: warnings that say the same are one line, which counts all and names a few. What
// fails has a line of its own.
func TestFolded(t *testing.T) {
	var found Findings
	for _, topic := range []string{"a", "b", "c", "d", "e", "f"} {
		found.Add(topic, Warning, "use replication 3", "has a single replica")
		found.Add(topic, Bad, "set cleanup.policy=delete", "is compacted")
		found.Add(topic, Fine, "", "is as it is declared")
	}
	found.Add("g", Warning, "use replication 3", "has a single replica")
	found.Add("h", Warning, "set min.insync.replicas=2", "acknowledges")
	found.Add("i", Warning, "set min.insync.replicas=2", "acknowledges")
	found.Add("j", Warning, "see why", "has a single replica")
	whole := slices.Clone(found)
	var warnings []string
	rest := 0
	for _, f := range found.Folded() {
		if f.Verdict != Warning {
			rest++
			continue
		}
		warnings = append(warnings, f.Check+" "+f.Finding+": "+f.Remedy)
	}
	if want := []string{
		"a has a single replica (the same for 6 others: b, c, d, …): use replication 3",
		"h acknowledges (the same for 1 other: i): set min.insync.replicas=2",
		"j has a single replica: see why",
	}; !slices.Equal(warnings, want) || rest != 12 {
		t.Errorf("%q and %d others, want %q and 12", warnings, rest, want)
	}
	if !slices.Equal(found, whole) {
		t.Error("the findings themselves have changed")
	}
}

// TestSecurity: the doctor warns of what can be read on the way, and only of that.
func TestSecurity(t *testing.T) {
	away, here := []string{"kafka.example:9092"}, []string{"localhost:9092", "[::1]:9092"}
	tls := kafka.TLSFiles{CA: "ca.pem"}
	for name, c := range map[string]struct {
		config               kafka.Config
		check, verdict, says string
	}{
		"open":               {kafka.Config{Brokers: away}, "TLS", Warning, "can be read"},
		"on this machine":    {kafka.Config{Brokers: here}, "TLS", Fine, "on this machine"},
		"with TLS":           {kafka.Config{Brokers: away, TLSFiles: tls}, "TLS", Fine, "encrypted"},
		"PLAIN in the clear": {kafka.Config{Brokers: away, SASL: kafka.SASL{Mechanism: "PLAIN", Username: "u", Password: secret.Text("p-1")}}, "SASL", Warning, "password can be read"},
		"PLAIN over TLS":     {kafka.Config{Brokers: away, TLSFiles: tls, SASL: kafka.SASL{Mechanism: "PLAIN", Username: "u", Password: secret.Text("p-1")}}, "SASL", Fine, "PLAIN"},
		"SCRAM in the clear": {kafka.Config{Brokers: away, SASL: kafka.SASL{Mechanism: "SCRAM-SHA-512", Username: "u", Password: secret.Text("p-1")}}, "SASL", Fine, "SCRAM"},
		"no SASL":            {kafka.Config{Brokers: away}, "SASL", Fine, "not used"},
	} {
		t.Run(name, func(t *testing.T) {
			var found Findings
			Security(&found, &c.config)
			finds(t, found, c.check, c.verdict, c.says)
			for _, f := range found {
				if strings.Contains(f.Finding+f.Remedy, "p-1") {
					t.Errorf("the password is shown: %+v", f)
				}
			}
		})
	}
}

// TestCompactedLetters: compaction would remove dead letters before operators see them.
func TestCompactedLetters(t *testing.T) {
	for name, bad := range map[string]bool{"prod.sales.public.customers.v1": false, "prod.sales.public.customers.v1.mailer.dlq": true, "prod.sales.public.customers.v1.mailer.retry": true} {
		for _, policy := range []string{"delete", "compact", "compact,delete"} {
			var found Findings
			configured(&found, &transport.TopicInfo{Name: name, Replication: 3, Configs: map[string]string{"cleanup.policy": policy}})
			if got := len(found) == 1 && found[0].Verdict == Bad; got != (bad && policy != "delete") {
				t.Errorf("%s with %s: %+v", name, policy, found)
			}
		}
	}
}

// TestLoopback: when in doubt, an address belongs to another machine.
func TestLoopback(t *testing.T) {
	for address, here := range map[string]bool{
		"localhost:1": true, "127.0.0.9:1": true, "[::1]:1": true, "127.0.0.1": false, ":1": false, "0.0.0.0:1": false, "localhost.example:1": false,
	} {
		if got := Loopback([]string{"127.0.0.1:1", address}); got != here {
			t.Errorf("%s is on this machine: %v", address, got)
		}
	}
}

// TestCertificate: the warning comes two weeks before the end.
func TestCertificate(t *testing.T) {
	var found Findings
	certificate(&found, "near", time.Now().Add(13*24*time.Hour))
	certificate(&found, "far", time.Now().Add(15*24*time.Hour))
	finds(t, found, "near", Warning, "ends in")
	finds(t, found, "far", Fine, "good until")
}
