package avro_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/eventbus-go/eventbus/schema/avro"
	"github.com/eventbus-go/eventbus/schema/registry"
)

// TestDataSchemaOfAnotherAddress: Avro data of another schema is never silently read
// with the reader's own.
func TestDataSchemaOfAnotherAddress(t *testing.T) {
	t.Parallel()
	type writer struct {
		A string `avro:"a"`
		B string `avro:"b"`
	}
	type reader struct {
		B string `avro:"b"`
		A string `avro:"a"`
	}
	const written = `{"type":"record","name":"R","fields":[{"name":"a","type":"string"},{"name":"b","type":"string"}]}`
	const wanted = `{"type":"record","name":"R","fields":[{"name":"b","type":"string"},{"name":"a","type":"string"}]}`
	fake, r := fakeRegistry(t)
	e, err := encode(t, avro.Codec[writer](r, registry.None, written, registry.Register()), writer{"a", "b"})
	if err != nil {
		t.Fatal(err)
	}
	offline, err := registry.New(registry.Config{Offline: fstest.MapFS{"s/1.json": {Data: fmt.Appendf(nil, `{"subject":"s","version":1,"id":1,"schemaType":"AVRO","schema":%q}`, written)}}})
	if err != nil {
		t.Fatal(err)
	}
	other, err := registry.New(registry.Config{URLs: []string{strings.Replace(fake.URL(), "127.0.0.1", "localhost", 1)}})
	if err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]*registry.Registry{"the same address": r, "a directory alone": offline, "another address": other} {
		var got reader
		err := avro.Codec[reader](r, registry.None, wanted).Decode(t.Context(), e, &got)
		if name == "another address" {
			if err == nil || !strings.Contains(err.Error(), "add that address") {
				t.Errorf("%s: %+v, %v", name, got, err)
			}
		} else if err != nil || got != (reader{"b", "a"}) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

// TestNoneToHeader: after a topic changes from None to Header, readers do not take a
// value that begins with a zero byte for a prefixed one.
func TestNoneToHeader(t *testing.T) {
	t.Parallel()
	type note struct {
		Text *string `avro:"text"`
		Key  string  `avro:"key"`
	}
	const schema = `{"type":"record","name":"Note","fields":[{"name":"text","type":["null","string"]},{"name":"key","type":"string"}]}`
	_, r := fakeRegistry(t)
	header := avro.Codec[note](r, registry.Header, schema, registry.Register())
	for _, framing := range []registry.Framing{registry.None, registry.Prefix} {
		e, err := encode(t, avro.Codec[note](r, framing, schema, registry.Register()), note{Key: "key-1"})
		if err != nil {
			t.Fatal(err)
		}
		if e.Data[0] != 0 {
			t.Fatalf("% x", e.Data)
		}
		var got note
		if err := header.Decode(t.Context(), e, &got); err != nil || got.Key != "key-1" {
			t.Errorf("%s: %+v, %v", framing, got, err)
		}
	}
}
