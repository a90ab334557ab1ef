package registry_test

import (
	"errors"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/twmb/franz-go/pkg/sr/srfake"

	"github.com/eventbus-go/eventbus/schema/registry"
)

// A directory that was pulled serves in place of the server.
func TestOffline(t *testing.T) {
	t.Parallel()
	fake := srfake.New()
	t.Cleanup(fake.Close)
	online, err := registry.New(registry.Config{URLs: []string{fake.URL()}})
	if err != nil {
		t.Fatal(err)
	}
	subject := "dev.sales.public.customers.v1-sales.Created"
	there, err := online.Register(t.Context(), subject, customer, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := online.Check(t.Context(), "another", customer); err != nil {
		t.Errorf("a new subject: %v", err)
	}
	name, content, err := registry.WriteFile(there)
	if err != nil {
		t.Fatal(err)
	}
	r, err := registry.New(registry.Config{Offline: fstest.MapFS{name: {Data: content}}})
	if err != nil {
		t.Fatal(err)
	}
	byID, err := r.Schema(t.Context(), registry.ID{Number: there.ID})
	latest, err2 := r.Latest(t.Context(), subject)
	found, err3 := r.Lookup(t.Context(), subject, registry.Definition{Type: registry.Avro, Text: "\n" + customer.Text}, false)
	if err := errors.Join(err, err2, err3); err != nil || byID.Text != customer.Text || latest.ID != there.ID || found.GUID != there.GUID {
		t.Errorf("%+v, %+v, %+v, %v", byID, latest, found, err)
	}
	// Registries write the keys of Avro in an order of their own.
	shuffled := registry.Definition{Type: registry.Avro, Text: strings.Replace(strings.Replace(customer.Text, `"type":"record",`, ``, 1), `]}`, `],"type":"record"}`, 1)}
	if again, err := r.Lookup(t.Context(), subject, shuffled, false); err != nil || again.ID != there.ID || shuffled.Text == customer.Text {
		t.Errorf("%s: %+v, %v", shuffled.Text, again, err)
	}
	for _, other := range []string{strings.Replace(customer.Text, `"string"`, `"bytes"`, 1), customer.Text + "{}"} {
		if _, err := r.Lookup(t.Context(), subject, registry.Definition{Type: registry.Avro, Text: other}, false); err == nil || other == customer.Text {
			t.Errorf("%s is found", other)
		}
	}
	if _, err := r.Schema(t.Context(), registry.ID{Number: 99}); err == nil || unavailable(err) {
		t.Errorf("an id that is not in the directory: %v", err)
	}
	if _, err := r.Register(t.Context(), subject, customer, false); err == nil {
		t.Error("registered offline")
	}
	if subjects, _ := r.Subjects(t.Context()); len(subjects) != 1 {
		t.Errorf("subjects %v", subjects)
	}
	for _, bad := range []string{`{}`, `[]`, ``, `{"subject":"s","version":1,"schema":"x","schemaType":"XML"}`} {
		if _, err := registry.New(registry.Config{Offline: fstest.MapFS{"s/1.json": {Data: []byte(bad)}}}); err == nil {
			t.Errorf("a directory with %q is taken", bad)
		}
	}
	evil := &registry.Schema{Definition: customer, ID: 1, Subject: "../../etc/x", Version: 1}
	if name, _, err := registry.WriteFile(evil); err != nil || strings.Contains(name, "..") && strings.HasPrefix(name, "..") || strings.Count(name, "/") != 1 {
		t.Errorf("a subject that leaves the directory is filed as %q, %v", name, err)
	}
}
