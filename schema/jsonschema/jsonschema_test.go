package jsonschema_test

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/sr/srfake"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/schema/jsonschema"
	"github.com/eventbus-go/eventbus/schema/registry"
)

type paid struct {
	ID     string         `json:"id"`
	Cents  int            `json:"cents"`
	Labels map[string]int `json:"labels,omitempty"`
}

const schema = `{"$schema":"http://json-schema.org/draft-07/schema#","title":"Paid","type":"object","required":["id","cents"],
	"properties":{"id":{"type":"string","minLength":1},"cents":{"type":"integer","minimum":0},"labels":{"additionalProperties":{"type":"integer","maximum":9}}}}`

func fakeRegistry(t *testing.T) *registry.Registry {
	t.Helper()
	fake := srfake.New()
	t.Cleanup(fake.Close)
	r, err := registry.New(registry.Config{URLs: []string{fake.URL()}})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func encode(t *testing.T, c eventbus.Codec, v *paid) (*eventbus.Envelope, error) {
	t.Helper()
	e := &eventbus.Envelope{Topic: "dev.shop.public.payments.v1"}
	data, err := c.Encode(t.Context(), nil, e, v)
	e.Data = data
	return e, err
}

func TestFramings(t *testing.T) {
	t.Parallel()
	r := fakeRegistry(t)
	for _, writer := range []registry.Framing{registry.Header, registry.Prefix, registry.None} {
		e, err := encode(t, jsonschema.Codec[paid](r, writer, schema, registry.Register()), &paid{ID: "p", Cents: 7})
		if err != nil {
			t.Fatal(err)
		}
		if prefix, data := writer == registry.Prefix, `{"id":"p","cents":7}`; prefix && string(e.Data) != "\x00\x00\x00\x00\x01"+data || !prefix && string(e.Data) != data {
			t.Errorf("%s: %q", writer, e.Data)
		}
		for _, reader := range []registry.Framing{registry.Header, registry.Prefix, registry.None} {
			var got paid
			if err := jsonschema.Codec[paid](r, reader, schema).Decode(t.Context(), e, &got); err != nil || got.Cents != 7 {
				t.Errorf("%s reads %s: %+v, %v", reader, writer, got, err)
			}
		}
	}
	if _, err := r.Latest(t.Context(), "dev.shop.public.payments.v1-Paid"); err != nil {
		t.Error(err)
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	c := jsonschema.Codec[paid](nil, registry.None, schema, registry.Validate())
	if _, err := encode(t, c, &paid{ID: "p", Cents: 7, Labels: map[string]int{"a": 9}}); err != nil {
		t.Error(err)
	}
	for want, v := range map[string]paid{
		"#/properties/cents: minimum":                       {ID: "p", Cents: -4711},
		"#/properties/id: minLength":                        {},
		"#/properties/labels/additionalProperties: maximum": {ID: "p", Labels: map[string]int{"secret": 4711}},
	} {
		if _, err := encode(t, c, &v); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "4711") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%+v: %v, want %q", v, err, want)
		}
	}
	if _, err := encode(t, jsonschema.Codec[paid](nil, registry.None, schema), &paid{Cents: -1}); err != nil {
		t.Errorf("checked without being asked: %v", err)
	}
}

func TestReferences(t *testing.T) {
	t.Parallel()
	r := fakeRegistry(t)
	const whole = `{"title":"Paid","properties":{"cents":{"$ref":"cents.json"}}}`
	cents := registry.Refer("cents.json", "shop.cents", `{"type":"integer","minimum":0}`)
	c := jsonschema.Codec[paid](r, registry.Header, whole, registry.Register(), registry.Validate(), cents)
	if _, err := encode(t, c, &paid{}); err != nil {
		t.Fatal(err)
	}
	latest := jsonschema.Codec[paid](r, registry.Header, whole, registry.UseLatest(), registry.Validate(), cents)
	for _, c := range []eventbus.Codec{c, latest} {
		if _, err := encode(t, c, &paid{Cents: -1}); err == nil || !strings.Contains(err.Error(), "minimum") {
			t.Errorf("a referenced schema: %v", err)
		}
	}
	defer func() {
		if p, _ := recover().(string); !strings.Contains(p, "registry.Refer") {
			t.Errorf("a reference to nowhere: %s", p)
		}
	}()
	jsonschema.Codec[paid](r, registry.Header, `{"title":"x","$ref":"file:///etc/passwd"}`)
}
