//go:build integration

package interop

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/schema/avro"
	"github.com/eventbus-go/eventbus/schema/internal/testdata/orders"
	"github.com/eventbus-go/eventbus/schema/jsonschema"
	"github.com/eventbus-go/eventbus/schema/protobuf"
	"github.com/eventbus-go/eventbus/schema/registry"
)

func address(t *testing.T) string {
	t.Helper()
	url := os.Getenv("EVENTBUS_TEST_REGISTRY")
	if url == "" {
		t.Skip("EVENTBUS_TEST_REGISTRY names no registry: run make test-registry")
	}
	return url
}

func open(t *testing.T) *registry.Registry {
	t.Helper()
	r, err := registry.New(registry.Config{URLs: []string{address(t)}})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// topicName returns a new name in each run, since the registry keeps subjects.
func topicName(t *testing.T) string {
	return fmt.Sprintf("dev.interop.public.%s.v%d", strings.ToLower(strings.ReplaceAll(t.Name(), "/", "-")), time.Now().UnixNano())
}

func encode(t *testing.T, c eventbus.Codec, topic string, v any) *eventbus.Envelope {
	t.Helper()
	e := &eventbus.Envelope{Topic: topic}
	data, err := c.Encode(t.Context(), nil, e, v)
	if err != nil {
		t.Fatal(err)
	}
	e.Data = data
	return e
}

// task is one call of a Confluent serializer.
type task struct {
	Format  string   `json:"format"`
	Op      string   `json:"op"`
	Topic   string   `json:"topic"`
	Schema  string   `json:"schema,omitempty"`
	Message string   `json:"message,omitempty"`
	Files   []string `json:"files,omitempty"`
	Value   any      `json:"value,omitempty"`
	Data    string   `json:"data,omitempty"`
	Header  *string  `json:"header,omitempty"` // in header framing, "" to encode
}

func confluent(t *testing.T, url string, tasks ...task) (answers []json.RawMessage) {
	t.Helper()
	in, err := json.Marshal(tasks)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "../../scripts/python.sh", "testdata/confluent.py", url)
	cmd.Stdin = bytes.NewReader(in)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, &stderr)
	}
	if err := json.Unmarshal(out, &answers); err != nil || len(answers) != len(tasks) {
		t.Fatalf("%v: %s", err, out)
	}
	return answers
}

// exchange lets both sides encode a value, checks that the bytes are equal, and lets
// each decode the other's. It returns what Confluent's side decoded.
func exchange(t *testing.T, c eventbus.Codec, k task, v, into any) json.RawMessage {
	t.Helper()
	e := encode(t, c, k.Topic, v)
	out, back := k, k
	out.Op, back.Op, back.Value, back.Data = "encode", "decode", nil, hex.EncodeToString(e.Data)
	answers := confluent(t, address(t), out, back)
	var theirs string
	if err := json.Unmarshal(answers[0], &theirs); err != nil {
		t.Fatal(err)
	}
	if k.Format != "json" && theirs != back.Data { // white space of JSON differs
		t.Errorf("ours   %s\ntheirs %s", back.Data, theirs)
	}
	data, _ := hex.DecodeString(theirs)
	if err := c.Decode(t.Context(), &eventbus.Envelope{Topic: k.Topic, Data: data}, into); err != nil {
		t.Errorf("reading theirs: %v", err)
	}
	return answers[1]
}

type customer struct {
	ID    string  `avro:"id" json:"id"`
	Count int64   `avro:"count" json:"count"`
	Note  *string `avro:"note" json:"note,omitempty"`
}

const customerAvro = `{"type":"record","name":"Customer","namespace":"sales","fields":[{"name":"id","type":"string"},{"name":"count","type":"long"},{"name":"note","type":["null","string"],"default":null}]}`

func TestAvro(t *testing.T) {
	note := "n"
	v, got := customer{"c-1", 300, &note}, customer{}
	c := avro.Codec[customer](open(t), registry.Prefix, customerAvro, registry.Register())
	read := exchange(t, c, task{Format: "avro", Topic: topicName(t), Schema: customerAvro, Value: map[string]any{"id": "c-1", "count": 300, "note": "n"}}, &v, &got)
	if got.ID != v.ID || got.Count != 300 || *got.Note != "n" || !strings.Contains(string(read), `"c-1"`) {
		t.Errorf("%+v, %s", got, read)
	}
}

func TestJSONSchema(t *testing.T) {
	const schema = `{"$schema":"http://json-schema.org/draft-07/schema#","title":"Customer","type":"object","properties":{"id":{"type":"string"},"count":{"type":"integer"}},"required":["id"]}`
	v, got := customer{ID: "c-1", Count: 300}, customer{}
	c := jsonschema.Codec[customer](open(t), registry.Prefix, schema, registry.Register(), registry.Validate())
	read := exchange(t, c, task{Format: "json", Topic: topicName(t), Schema: schema, Value: map[string]any{"id": "c-1", "count": 300}}, &v, &got)
	if got != v || !strings.Contains(string(read), `"c-1"`) {
		t.Errorf("%+v, %s", got, read)
	}
}

func TestProtobuf(t *testing.T) {
	file := func(f protoreflect.FileDescriptor) string {
		raw, err := proto.Marshal(protodesc.ToFileDescriptorProto(f))
		if err != nil {
			t.Fatal(err)
		}
		return base64.StdEncoding.EncodeToString(raw)
	}
	files := []string{file(orders.File_money_proto), file(orders.File_orders_proto)}
	r := open(t)
	placed := &orders.OrderPlaced{
		OrderId: "o-1", Total: &orders.Money{Currency: "EUR", Cents: 995}, PlacedAt: timestamppb.New(time.Unix(1700000000, 0)),
		Lines: []*orders.OrderPlaced_Line{{Sku: "a", Count: 2}}, Labels: map[string]string{"x": "1"},
	}
	cancelled := &orders.Order_Cancelled{OrderId: "o-1", Reason: "late"}
	for _, c := range []struct {
		codec   eventbus.Codec
		v, into proto.Message
	}{
		{protobuf.Codec[*orders.OrderPlaced](r, registry.Prefix, registry.Register()), placed, new(orders.OrderPlaced)},
		{protobuf.Codec[*orders.Order_Cancelled](r, registry.Prefix, registry.Register()), cancelled, new(orders.Order_Cancelled)},
	} {
		name := string(c.v.ProtoReflect().Descriptor().FullName())
		var value map[string]any
		if err := json.Unmarshal([]byte(protojson.Format(c.v)), &value); err != nil {
			t.Fatal(err)
		}
		read := exchange(t, c.codec, task{Format: "protobuf", Topic: topicName(t), Message: name, Files: files, Value: value}, c.v, c.into)
		if !proto.Equal(c.v, c.into) || !strings.Contains(string(read), `"o-1"`) {
			t.Errorf("%s: %v, %s", name, c.into, read)
		}
	}
}

func TestIncompatibleSchemas(t *testing.T) {
	r, topic := open(t), topicName(t)
	subject := topic + "-sales.Customer"
	encode(t, avro.Codec[customer](r, registry.Header, customerAvro, registry.Register()), topic, &customer{})
	set := exec.CommandContext(t.Context(), "curl", "--silent", "--fail", "-X", "PUT", "-H", "Content-Type: application/json", "-d", `{"compatibility":"BACKWARD"}`, address(t)+"/config/"+subject)
	if out, err := set.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	type mailed struct {
		ID   string `avro:"id"`
		Mail string `avro:"mail"`
	}
	const with = `{"type":"record","name":"Customer","namespace":"sales","fields":[{"name":"id","type":"string"},{"name":"mail","type":"string"}]}`
	_, err := avro.Codec[mailed](r, registry.Header, with, registry.Register()).Encode(t.Context(), nil, &eventbus.Envelope{Topic: topic}, &mailed{})
	if !errors.Is(err, registry.ErrIncompatible) {
		t.Errorf("registered: %v", err)
	}
	if err := r.Check(t.Context(), subject, registry.Definition{Type: registry.Avro, Text: with}); !errors.Is(err, registry.ErrIncompatible) || strings.HasSuffix(err.Error(), ": ") {
		t.Errorf("checked: %v", err)
	}
}

// TestPulled: a registry writes schemas in an order of its own, and a codec that starts with
// the copy finds its schema all the same.
func TestPulled(t *testing.T) {
	r, topic := open(t), topicName(t)
	for subject, c := range map[string]func(*registry.Registry, ...registry.Option) eventbus.Codec{
		topic + "-customer": func(r *registry.Registry, o ...registry.Option) eventbus.Codec {
			return avro.Codec[customer](r, registry.Header, avro.SchemaFor[customer](), o...)
		},
		topic + "-Customer": func(r *registry.Registry, o ...registry.Option) eventbus.Codec {
			return jsonschema.Codec[customer](r, registry.Header, `{"type":"object","title":"Customer","properties":{"count":{"type":"integer"}}}`, o...)
		},
	} {
		written := encode(t, c(r, registry.Register()), topic, &customer{ID: "c-1", Count: 300})
		s, err := r.Latest(t.Context(), subject)
		if err != nil {
			t.Fatal(err)
		}
		name, content, err := registry.WriteFile(s)
		if err != nil {
			t.Fatal(err)
		}
		offline, err := registry.New(registry.Config{Offline: fstest.MapFS{name: {Data: content}}})
		if err != nil {
			t.Fatal(err)
		}
		if again := encode(t, c(offline), topic, &customer{ID: "c-1", Count: 300}); !bytes.Equal(again.Data, written.Data) {
			t.Errorf("%s: %q and %q", subject, again.Data, written.Data)
		}
	}
}

// TestWrongAddress: the root of a registry's server is none, and what it answers is not taken
// for that of one which knows no subject.
func TestWrongAddress(t *testing.T) {
	definition := registry.Definition{Type: registry.Avro, Text: `{"type":"record","name":"Nobody","fields":[]}`}
	base, found := strings.CutSuffix(address(t), "/apis/ccompat/v7")
	if !found {
		t.Skip("the registry's address has no path to leave out")
	}
	wrong, err := registry.New(registry.Config{URLs: []string{base}})
	if err != nil {
		t.Fatal(err)
	}
	if err := wrong.Check(t.Context(), "nobody", definition); err == nil || errors.Is(err, registry.ErrUnknown) {
		t.Errorf("a check at the wrong address: %v", err)
	}
	right := open(t)
	if err := right.Check(t.Context(), "nobody", definition); err != nil {
		t.Errorf("a new subject: %v", err)
	}
	if _, err := right.Schema(t.Context(), registry.ID{Number: 1 << 30}); !errors.Is(err, registry.ErrUnknown) {
		t.Errorf("an unknown id: %v", err)
	}
}
