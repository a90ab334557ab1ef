package avro_test

import (
	"strings"
	"testing"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/catalog"
	"github.com/eventbus-go/eventbus/schema/avro"
	"github.com/eventbus-go/eventbus/schema/registry"
)

type contact struct {
	Phone *string `avro:"phone" data:"personal"`
}

type place struct {
	Street string `avro:"street" data:"personal"`
	City   string `avro:"city"`
}

type patient struct {
	contact
	ID     string           `avro:"id"`
	Name   string           `data:"personal"`
	Home   *place           `avro:"home"`
	Others []place          `avro:"others"`
	ByKind map[string]place `avro:"byKind"`
	Next   *patient         `avro:"next"`
	Hidden string           `avro:"-" data:"personal"`
}

const patientSchema = `{"type":"record","name":"Patient","namespace":"care","fields":[
	{"name":"phone","type":["null","string"],"default":null},{"name":"id","type":"string"},{"name":"Name","type":"string"},
	{"name":"home","type":["null","care.Place"],"default":null},{"name":"others","type":{"type":"array","items":"Place"}},
	{"name":"byKind","type":{"type":"map","values":"Place"}},{"name":"next","type":["null","Patient"],"default":null}]}`

const placeSchema = `{"type":"record","name":"Place","namespace":"care","fields":[{"name":"street","type":"string"},{"name":"city","type":"string"}]}`

// TestPersonal: the catalogue has marks on the personal fields of the Go type, and the
// registry has the schema as it was written.
func TestPersonal(t *testing.T) {
	t.Parallel()
	_, r := fakeRegistry(t)
	codec := avro.Codec[patient](r, registry.Header, patientSchema, registry.Register(), registry.Refer("care.Place", "care.Place", placeSchema))
	d, err := catalog.Of(topic[patient](codec))
	if err != nil {
		t.Fatal(err)
	}
	described := string(d.Topics[0].Events[0].Schema)
	for _, field := range []string{
		`{"default":null,"name":"phone","type":["null","string"],"x-eventbus-personal":true}`, `{"name":"Name","type":"string","x-eventbus-personal":true}`,
		`{"name":"street","type":"string","x-eventbus-personal":true}`,
	} {
		if !strings.Contains(described, field) {
			t.Errorf("%s is not marked in %s", field, described)
		}
	}
	if n := strings.Count(described, "x-eventbus-personal"); n != 3 {
		t.Errorf("%d fields are marked in %s, want 3", n, described)
	}
	if _, err := encode(t, codec, patient{ID: "p-1"}); err != nil {
		t.Fatal(err)
	}
	if s, err := r.Latest(t.Context(), "dev.sales.public.customers.v1-care.Patient"); err != nil || s.Text != patientSchema {
		t.Errorf("the registry has %+v: %v", s, err)
	}
	// A schema made from the type has the marks, and a schema without personal fields
	// is unchanged.
	if made := avro.SchemaFor[place](); strings.Count(made, `"x-eventbus-personal":true`) != 1 {
		t.Errorf("SchemaFor returns %s", made)
	}
	plain := avro.Codec[created](r, registry.Header, schema).(eventbus.SchemaCodec)
	if plain.SchemaText() != schema {
		t.Errorf("the catalogue has %s", plain.SchemaText())
	}
	// Events that name no schema are read with the reader's own, so the catalogue has
	// to say so.
	for _, bare := range []eventbus.Codec{avro.Codec[created](nil, registry.None, schema), avro.Codec[created](r, registry.None, schema)} {
		if text := bare.(eventbus.SchemaCodec).SchemaText(); text != `{"x-eventbus-unnamed":true,`+strings.TrimPrefix(strings.TrimSpace(schema), "{") {
			t.Errorf("the catalogue has %s", text)
		}
	}
	if named := avro.Codec[created](r, registry.None, schema, registry.UseLatest()).(eventbus.SchemaCodec); named.SchemaText() != schema {
		t.Errorf("the catalogue has %s", named.SchemaText())
	}
}

// endless is a type of pointers that end nowhere.
type endless *endless

// TestEndlessType: the search for personal fields ends even if a type doesn't.
func TestEndlessType(t *testing.T) {
	t.Parallel()
	type odd struct {
		ID  string  `avro:"id" data:"personal"`
		Odd endless `avro:"odd"`
	}
	codec := avro.Codec[odd](nil, registry.None, `{"type":"record","name":"Odd","fields":[{"name":"id","type":"string"},{"name":"odd","type":["null",{"type":"map","values":"string"}]}]}`)
	if text := codec.(eventbus.SchemaCodec).SchemaText(); strings.Count(text, "x-eventbus-personal") != 1 {
		t.Error(text)
	}
}
