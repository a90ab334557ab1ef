package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/eventbus-go/eventbus/catalog"
	"github.com/eventbus-go/eventbus/transport"
)

// catalogFile writes the catalogue of customers.
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
