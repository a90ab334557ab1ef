package avro_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/schema/avro"
	"github.com/eventbus-go/eventbus/schema/registry"
	"github.com/eventbus-go/eventbus/transport/memory"
)

// A missing schema is an error of the bus's start, not of the first event.
func TestMissingSchemasAreErrorsOfTheStart(t *testing.T) {
	t.Parallel()
	fake, r := fakeRegistry(t)
	start := func(options ...registry.Option) error {
		bus, err := eventbus.New(memory.New(), eventbus.Config{Service: "svc", Environment: "Development"})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = bus.Close(context.Background()) }()
		eventbus.NewPublisher(bus, topic[created](avro.Codec[created](r, registry.Header, schema, options...)))
		return bus.Start(t.Context())
	}
	if err := start(); err == nil || !strings.Contains(err.Error(), "dev.sales.public.customers.v1-sales.CustomerCreated") || !strings.Contains(err.Error(), "register it there") {
		t.Errorf("a schema that is not registered: %v", err)
	}
	if err := start(registry.UseID(4711)); err == nil || !strings.Contains(err.Error(), "4711") {
		t.Errorf("an id that is not there: %v", err)
	}
	if err := start(registry.Register()); err != nil || !fake.SubjectExists("dev.sales.public.customers.v1-sales.CustomerCreated") {
		t.Errorf("registered by the start: %v", err)
	}
	if err := start(); err != nil {
		t.Errorf("a schema that is there: %v", err)
	}
}

// With Header framing, a subject that others write too causes a warning, since their
// readers may not know the header.
func TestForeignWritersAreWarnedAbout(t *testing.T) {
	t.Parallel()
	for framing, want := range map[registry.Framing]bool{registry.Header: true, registry.Prefix: false} {
		fake := srfake.New()
		t.Cleanup(fake.Close)
		var log bytes.Buffer
		r, err := registry.New(registry.Config{URLs: []string{fake.URL()}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		const subject = "dev.sales.public.customers.v1-sales.C"
		fake.SeedSchema(subject, 1, 41, sr.Schema{Schema: schema1})
		c := avro.Codec[v1](r, framing, schema1)
		if _, err := encode(t, c, v1{}); err != nil || log.Len() > 0 {
			t.Errorf("%s, alone: %v, %s", framing, err, &log)
		}
		fake.SeedSchema(subject, 2, 42, sr.Schema{Schema: strings.Replace(schema2, `"mail"`, `"name"`, 1)})
		if _, err := encode(t, avro.Codec[v1](r, framing, schema1), v1{}); err != nil || strings.Contains(log.String(), registry.HeaderName) != want || want && !strings.Contains(log.String(), subject) {
			t.Errorf("%s, beside a foreign writer: %v, %s", framing, err, &log)
		}
	}
}
