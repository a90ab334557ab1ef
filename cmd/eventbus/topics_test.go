package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/catalog"
	"github.com/eventbus-go/eventbus/internal/doctor"
	"github.com/eventbus-go/eventbus/internal/redrive"
	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/secret"
	"github.com/eventbus-go/eventbus/transport"
)

// catalogFile writes the catalogue of customers to a file and returns its name.
func catalogFile(t *testing.T) string {
	t.Helper()
	d, err := catalog.Of(customers)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "catalog.json")
	file, err := os.Create(name) //nolint:gosec // in the test's own directory
	if err != nil {
		t.Fatal(err)
	}
	if _, err = d.WriteTo(file); err == nil {
		err = file.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// TestDoctorKeys: a key in two partitions, put there by two writers, is a warning.
func TestDoctorKeys(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bench) {
		file := catalogFile(t)
		b.run(t, "topics", "provision", "--catalog", file, "--yes").ok()
		for partition := range int32(2) {
			b.Produce(t, transport.Record{Topic: b.topic, Partition: partition, Key: []byte("c-1"), Value: []byte("{}")})
		}
		b.run(t, "doctor", "--catalog", file).ok(b.topic+" keys", "1 key in more than one partition (one at 0@0 and 1@0)", "set TopicConfig.Partitioner")
	})
}

// TestDoctorFolds: topics with the same warning have one line together, and in JSON one each.
func TestDoctorFolds(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bench) {
		file, dead, retry := catalogFile(t), b.topic+".mailer.dlq", b.topic+".mailer.retry"
		b.run(t, "topics", "provision", "--catalog", file, "--group", "mailer", "--yes").ok()
		examined := b.run(t, "doctor", "--catalog", file, "--group", "mailer")
		if n := strings.Count(examined.out, "has a single replica"); n != 1 || !strings.Contains(examined.out, "the same for ") {
			t.Errorf("%d lines: %s", n, examined.out)
		}
		var found []doctor.Finding
		if err := json.Unmarshal([]byte(b.run(t, "doctor", "--catalog", file, "--group", "mailer", "-o", "json").out), &found); err != nil {
			t.Fatal(err)
		}
		for _, topic := range []string{b.topic, dead, retry} {
			if !slices.ContainsFunc(found, func(f doctor.Finding) bool { return f.Check == topic && f.Finding == "has a single replica" }) {
				t.Errorf("%s has no finding of its own: %+v", topic, found)
			}
		}
	})
}

func TestTopics(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bench) {
		catalog := catalogFile(t)
		b.run(t, "topics", "describe", b.topic).fails(exitFailed, b.topic+" does not exist", "provision")
		b.run(t, "topics", "diff", "--catalog", catalog).fails(exitFailed).ended(exitFailed, b.run(t, "topics", "diff", "--catalog", catalog).out, []string{"missing"})
		b.run(t, "topics", "provision", "--catalog", catalog).fails(exitMisuse, "--yes")
		b.run(t, "topics", "provision", "--catalog", catalog, "--dry-run").ok(b.topic)
		b.run(t, "topics", "describe", b.topic).fails(exitFailed)
		b.run(t, "topics", "provision", "--catalog", catalog, "--yes").ok(b.topic)
		b.run(t, "topics", "diff", "--catalog", catalog).ok("same")
		b.run(t, "topics", "provision", "--catalog", catalog, "--yes").ok().lacks(b.topic)
		b.run(t, "topics", "list").ok(b.topic).lacks("__consumer_offsets")
		b.run(t, "topics", "describe", b.topic).ok("3 partitions", "cleanup.policy")
		var described []topicDescription
		b.run(t, "topics", "describe", b.topic, "-o", "json").json(&described)
		if len(described) != 1 || len(described[0].Held) != 3 || described[0].Held[0].Leader < 0 {
			t.Errorf("%+v", described)
		}
	})
}

func TestDiff(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bench) {
		err := b.Transport().Admin().CreateTopics(t.Context(), transport.TopicSpec{Name: b.topic, Partitions: 2, Replication: 1})
		if err != nil {
			t.Fatal(err)
		}
		r := b.run(t, "topics", "diff", "--catalog", catalogFile(t), "-o", "json")
		r.fails(exitFailed, "never by this tool")
		var states []topicState
		r.json(&states)
		if len(states) != 1 || states[0].State != "differs" || len(states[0].Differences) != 1 ||
			states[0].Differences[0] != (transport.Difference{What: "partitions", Declared: "3", Actual: "2"}) {
			t.Errorf("%+v", states)
		}
	})
}

func TestCatalogOfService(t *testing.T) {
	catalog, err := os.ReadFile(catalogFile(t))
	if err != nil {
		t.Fatal(err)
	}
	const token = "let me in"
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Authorization") != "Bearer "+token:
			http.Error(w, `{"error":"wrong token"}`, http.StatusUnauthorized)
		case r.URL.Path != "/catalog":
			http.Error(w, `{"error":"nothing is here"}`, http.StatusNotFound)
		default:
			_, _ = w.Write(catalog)
		}
	}))
	defer service.Close()
	defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	everywhere(t, func(t *testing.T, b *bench) {
		t.Setenv(tokenVariable, "guessed")
		b.run(t, "topics", "diff", "--catalog", service.URL+"/catalog").fails(exitFailed, "refuses the token", tokenVariable).lacks("guessed")
		t.Setenv(tokenVariable, token)
		b.run(t, "topics", "diff", "--catalog", service.URL+"/else").fails(exitFailed, "nothing is here")
		b.run(t, "topics", "provision", "--catalog", service.URL+"/catalog", "--yes").ok(b.topic)
	})
}

func TestCatalogRefused(t *testing.T) {
	broken := filepath.Join(t.TempDir(), "broken.json")
	if err := os.WriteFile(broken, []byte(`{"catalogVersion":1,"topics":[{"name":`), 0o600); err != nil {
		t.Fatal(err)
	}
	everywhere(t, func(t *testing.T, b *bench) {
		b.run(t, "topics", "diff", "--catalog", broken).fails(exitFailed, broken)
		b.run(t, "topics", "diff", "--catalog", broken+".none").fails(exitFailed, "no such file")
	})
}

// TestProvisionLetters: the tool creates the topics for a group's dead letters, as the
// service itself would, and prints the rights.
func TestProvisionLetters(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bench) {
		file, dead, retry := catalogFile(t), b.topic+".mailer.dlq", b.topic+".mailer.retry"
		planned := b.run(t, "topics", "provision", "--catalog", file, "--group", "mailer", "--dry-run").
			ok(b.topic, dead, retry, "unlimited", "1114124", "Read   group  mailer", "Write  topic  "+dead, "Read   topic  "+retry)
		planned.lacks("created.")
		b.run(t, "topics", "provision", "--catalog", file, "--yes").ok()
		var plan provisionPlan
		b.run(t, "topics", "provision", "--catalog", file, "--group", "mailer", "--yes", "-o", "json").json(&plan)
		// Beside both it creates the topic of decisions, unless the cluster has it.
		ledger := plan.Create[len(plan.Create)-1]
		if ledger.Topic == redrive.Topic && (ledger.Partitions != 1 || ledger.Replication != plan.Create[0].Replication || ledger.Configs["cleanup.policy"] != "compact") {
			t.Errorf("created: %+v", ledger)
		}
		if len(plan.Create) < 2 || plan.Create[0].Topic != dead || plan.Create[0].Partitions != 3 || plan.Create[0].Configs["retention.ms"] != "-1" {
			t.Errorf("created: %+v", plan.Create)
		}
		b.run(t, "topics", "diff", "--catalog", file, "--group", "mailer").ok(dead, retry, "same").lacks("missing")
		b.run(t, "doctor", "--catalog", file, "--group", "another").fails(exitFailed).ended(exitFailed, b.run(t, "doctor", "--catalog", file, "--group", "another", "-o", "json").out,
			[]string{b.topic + ".another.dlq", "eventbus topics provision"})

		// A service that may not create topics starts on those that the tool created.
		bus := b.Bus(t, func(c *eventbus.Config) { c.AutoProvision = eventbus.ProvisionNever })
		err := bus.Add(eventbus.On(customers, func(context.Context, customerCreated) error { return nil }, eventbus.Group("mailer")))
		if err := errors.Join(err, bus.Start(t.Context())); err != nil {
			t.Fatal(err)
		}

		// The service's own catalogue names the group, so no flag is needed.
		var own bytes.Buffer
		document, err := catalog.OfBus(bus)
		if err == nil {
			_, err = document.WriteTo(&own)
		}
		if err == nil {
			err = os.WriteFile(file, own.Bytes(), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		b.run(t, "topics", "diff", "--catalog", file).ok(dead, retry)
	})
}

func TestSecurityFindings(t *testing.T) {
	for _, test := range []struct {
		sasl kafka.SASL
		tls  *tls.Config
		want string
	}{
		{kafka.SASL{}, nil, doctor.Fine},
		{kafka.SASL{Mechanism: "PLAIN", Username: "u", Password: secret.Text("p")}, nil, doctor.Warning},
		{kafka.SASL{Mechanism: "OAUTHBEARER"}, nil, doctor.Warning},
		{kafka.SASL{Mechanism: "OAUTHBEARER"}, new(tls.Config), doctor.Fine},
		{kafka.SASL{Mechanism: "SCRAM-SHA-512", Username: "u", Password: secret.Text("p")}, nil, doctor.Fine},
	} {
		var found doctor.Findings
		doctor.Security(&found, &kafka.Config{Brokers: []string{"b:9092"}, SASL: test.sasl, TLS: test.tls})
		if got := found[len(found)-1]; got.Check != "SASL" || got.Verdict != test.want {
			t.Errorf("%s, TLS %t: %+v, want %s", test.sasl, test.tls != nil, got, test.want)
		}
	}
}
