package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/kafkatest"
	"github.com/eventbus-go/eventbus/resilience"
	"github.com/eventbus-go/eventbus/schema/avro"
	"github.com/eventbus-go/eventbus/schema/registry"
	"github.com/eventbus-go/eventbus/transport"
)

type movedAvro struct {
	CustomerID string `avro:"customerId"`
	To         string `avro:"to"`
}

const movedSchema = `{"type":"record","name":"CustomerMoved","namespace":"sales","fields":[{"name":"customerId","type":"string"},{"name":"to","type":"string"}]}`

// TestTailReadsBySchema: Avro data is shown as JSON, by tail and dlq show, whether or not
// its producer uses CloudEvents.
func TestTailReadsBySchema(t *testing.T) {
	fake := srfake.New()
	t.Cleanup(fake.Close)
	r, err := registry.New(registry.Config{URLs: []string{fake.URL()}})
	if err != nil {
		t.Fatal(err)
	}
	moved := eventbus.NewTopic(eventbus.TopicConfig[movedAvro]{
		Domain: "sales", Name: "move", Plural: true, Type: "CustomerMoved", Partitions: 1, Key: func(m movedAvro) string { return m.CustomerID },
		Codec: avro.Codec[movedAvro](r, registry.Header, movedSchema, registry.Register()),
	})
	b := &bench{Cluster: kafkatest.NewBroker(t)}
	topic := moved.In(b.Environment())
	b.Start(t, eventbus.On(moved, func(context.Context, movedAvro) error { return errors.New("no van") }, eventbus.Group("mailer"), eventbus.Retry(resilience.Retry{Attempts: 1})))
	kafkatest.Publish(t, b.Cluster, moved, movedAvro{"c-1", hostile})
	foreign := append(registry.AppendPrefix(nil, 1, nil), "\x06c-2\x08Bonn"...)
	b.Produce(t, transport.Record{Topic: topic, Partition: 0, Value: foreign}, // as a Confluent client writes it
		transport.Record{Topic: topic, Partition: 0, Value: registry.AppendPrefix(nil, 1, nil)}, // cut off
		transport.Record{Topic: topic, Partition: 0, Value: registry.AppendPrefix(nil, 99, nil)})
	b.Settle(t)

	at := []string{"--registry", fake.URL()}
	shown := b.run(t, append([]string{"tail", topic}, at...)...).ok(`"customerId":"c-1"`, `"to":"Bonn"`, "data of schema id 1: ", `"\x00\x00\x00\x00\x01"`)
	inert(t, "tail", shown.out)
	b.run(t, append([]string{"tail", topic, "--whole"}, at...)...).ok("schema: 1 AVRO sales.CustomerMoved", `"to": "Bonn"`)
	shown = b.run(t, append([]string{"tail", topic, "--output", "json"}, at...)...).ok()
	inert(t, "tail, JSON", shown.out)
	lines := strings.Split(strings.TrimSpace(shown.out), "\n")
	var first line
	var data movedAvro
	if err := json.Unmarshal([]byte(lines[0]), &first); err != nil || !strings.HasSuffix(first.Schema, " AVRO sales.CustomerMoved") || json.Unmarshal(first.Data, &data) != nil || data.To != hostile || first.Event == nil {
		t.Errorf("%s", lines[0])
	}
	dead := topic + ".mailer.dlq"
	inert(t, "dlq show", b.run(t, append([]string{"dlq", "show", dead, "--key", "c-1"}, at...)...).ok(`"customerId": "c-1"`, "no van", " AVRO sales.CustomerMoved").out)

	// Without a registry nothing is requested, and data stays bytes.
	b.run(t, "tail", topic).ok("CustomerMoved").lacks(`"Bonn"`, "schema")
	t.Setenv("EVENTBUS_REGISTRY_URLS", fake.URL())
	b.run(t, "tail", topic).ok("Bonn")
	t.Setenv("EVENTBUS_REGISTRY_URLS", "")
	file := filepath.Join(t.TempDir(), "settings.json")
	if err := os.WriteFile(file, []byte(`{"SchemaRegistry": {"Urls": "`+fake.URL()+`"}, "EventBus": {"Environment": "Test"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	b.run(t, "tail", topic, "--config", file).ok("Bonn")
	t.Setenv("EVENTBUS_REGISTRY_PASWORD", "hunter2")
	b.run(t, "tail", topic).fails(exitFailed, "EVENTBUS_REGISTRY_PASWORD is not a variable").lacks("hunter2")
}

// leftAvro has fields that are personal by the Go type, and by the schema alone.
type leftAvro struct {
	ID    string `avro:"id"`
	Email string `avro:"email" data:"personal"`
	Phone string `avro:"phone"`
}

const leftSchema = `{"type":"record","name":"CustomerLeft","namespace":"sales","fields":[{"name":"id","type":"string"},{"name":"email","type":"string"},
	{"name":"phone","type":"string","confluent:tags":["PII"]}]}`

// TestMaskedBySchema: in Avro data, a catalogue masks exactly the fields that the Go type or
// the schema marks as personal. A record that is not an event is masked by its schema.
func TestMaskedBySchema(t *testing.T) {
	fake := srfake.New()
	t.Cleanup(fake.Close)
	r, err := registry.New(registry.Config{URLs: []string{fake.URL()}})
	if err != nil {
		t.Fatal(err)
	}
	left := eventbus.NewTopic(eventbus.TopicConfig[leftAvro]{
		Domain: "sales", Name: "leaver", Plural: true, Type: "CustomerLeft", Partitions: 1,
		Codec: avro.Codec[leftAvro](r, registry.Header, leftSchema, registry.Register()),
	})
	b := &bench{Cluster: kafkatest.NewBroker(t)}
	topic := left.In(b.Environment())
	b.Start(t, eventbus.On(left, func(context.Context, leftAvro) error { return errors.New("no") }, eventbus.Group("mailer"), eventbus.Retry(resilience.Retry{Attempts: 1})))
	chosen := &bench{Cluster: b.Cluster}
	chosen.Start(t, eventbus.On(left, func(context.Context, leftAvro) error { return errors.New("no") }, eventbus.Group("printer"), eventbus.DeadLetterTopic("{env}.failures"), eventbus.Retry(resilience.Retry{Attempts: 1})))
	segment, _, _ := strings.Cut(topic, ".")
	kafkatest.Publish(t, b.Cluster, left, leftAvro{"u-1", "secret-1", "secret-2"})
	headers := []transport.Header{{Key: "ce_specversion", Value: []byte("1.0")}, {Key: "ce_id", Value: []byte("2")}, {Key: "ce_source", Value: []byte("/s")}, {Key: "ce_type", Value: []byte("Other")}}
	value := func(data string) []byte { return append(registry.AppendPrefix(nil, 1, nil), data...) }
	b.Produce(t,
		transport.Record{Topic: topic, Value: value("\x06u-2\x04u2\x10secret-3")},                    // as a Confluent client writes it
		transport.Record{Topic: topic, Value: value("\x06u-3\x04u3\x10secret-4"), Headers: headers},  // the catalogue does not have the type
		transport.Record{Topic: topic, Value: value("\xffsecret-5"), Headers: headers},               // cut off
		transport.Record{Topic: topic, Value: registry.AppendPrefix(nil, 99, nil), Headers: headers}) // the registry does not have the schema
	b.Settle(t)
	file := writeCatalog(t, left)
	at := []string{"--registry", fake.URL(), "--catalog", file}
	for _, output := range []string{"table", "json"} {
		b.run(t, append([]string{"tail", topic, "-o", output}, at...)...).
			ok(`"id":"u-1"`, `"email":"•••"`, `"id":"u-2"`, `"email":"u2"`, `"id":"u-3"`, "can't be read by its schema, id 1").lacks("secret", "c2VjcmV0")
		// A chosen name of a topic of letters does not show the topic that they come from.
		for _, dead := range []string{topic + ".mailer.dlq", segment + ".failures"} {
			b.run(t, append([]string{"dlq", "show", dead, "-o", output}, at...)...).ok("u-1", "•••").lacks("secret", "c2VjcmV0")
		}
		// Without its registry nothing is known about the data.
		b.run(t, "tail", topic, "-o", output, "--catalog", file).ok("no JSON Schema of the type").lacks("u-1", "secret", "c2VjcmV0")
	}
}

// TestTailWithoutItsRegistry: if the registry is down, the tool still shows the events. It
// asks only once, and prints no secret and nothing from the answers that controls a
// terminal.
func TestTailWithoutItsRegistry(t *testing.T) {
	calls := 0
	down := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls++
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write([]byte(`{"error_code":1,"message":` + strings.ReplaceAll(strings.ReplaceAll(`"`+hostile+`"`, "\x1b", `\u001b`), "\r\n", `\r\n`) + `}`))
	}))
	t.Cleanup(down.Close)
	b := &bench{Cluster: kafkatest.NewBroker(t)}
	b.topic = customers.In(b.Environment())
	kafkatest.Publish(t, b.Cluster, customers, customerCreated{"c-1", "Ann"})
	for id := range 20 {
		b.Produce(t, transport.Record{Topic: b.topic, Partition: 0, Value: registry.AppendPrefix(nil, id+1, nil)})
	}
	t.Setenv("EVENTBUS_REGISTRY_USERNAME", "me")
	t.Setenv("EVENTBUS_REGISTRY_PASSWORD", "hunter2")
	for _, output := range []string{"table", "json"} {
		calls = 0
		shown := b.run(t, "tail", b.topic, "--last", "50", "--registry", down.URL, "--output", output).ok("Ann", "503").lacks("hunter2")
		inert(t, "tail", shown.out+shown.err)
		if calls > 5 {
			t.Errorf("a registry that is down is asked %d times", calls)
		}
	}
}

func TestSchemasCommands(t *testing.T) {
	fake := srfake.New()
	t.Cleanup(fake.Close)
	run := func(args ...string) *ran { return start(t, "", append([]string{"schemas"}, args...)...) }
	run("list").fails(exitMisuse, "no schema registry is configured: give --registry")
	run("list", "--registry", "registry:8081").fails(exitMisuse, "is not an http or https URL")
	at := []string{"--registry", fake.URL()}
	run(append(at, "list")...).ok()

	const subject = "dev.sales.public.moves.v1-sales.CustomerMoved"
	wider := strings.Replace(movedSchema, `]}`, `,{"name":"why","type":"string","default":""}]}`, 1)
	fake.SeedSchema(subject, 1, 1, sr.Schema{Schema: movedSchema})
	fake.SeedSchema(subject, 2, 2, sr.Schema{Schema: wider})
	fake.SeedSchema("money.proto", 1, 3, sr.Schema{Schema: `syntax = "proto3"; message Money { int64 cents = 1; }`, Type: sr.TypeProtobuf})
	run(append(at, "list")...).ok(subject, "money.proto", "PROTOBUF", "AVRO")
	var lines []schemaLine
	run(append(at, "list", "--output", "json")...).ok().json(&lines)
	if len(lines) != 2 || lines[0] != (schemaLine{subject, 2, 2, registry.Avro}) {
		t.Errorf("%+v", lines)
	}

	// The pulled copy serves in place of the registry.
	dir := filepath.Join(t.TempDir(), "schemas")
	if r := run(append(at, "pull", dir)...).ok(); !strings.Contains(r.err, "3 schemas written") {
		t.Errorf("it says %q", r.err)
	}
	run("pull").fails(exitMisuse, "accepts 1 arg")
	t.Setenv("EVENTBUS_REGISTRY_OFFLINE", dir)
	run("list").ok(subject, "money.proto")
	t.Setenv("EVENTBUS_REGISTRY_OFFLINE", "")

	file := func(schema string) string {
		name := filepath.Join(t.TempDir(), "schema.avsc")
		if err := os.WriteFile(name, []byte(schema), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	run(append(at, "check", subject, file(wider))...).ok("is compatible with")
	run(append(at, "check", "new", file(wider))...).ok("is compatible with new, which has no schema yet")
	fake.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, "/compatibility/") {
			return false
		}
		_, _ = w.Write([]byte(`{"is_compatible":false,"messages":["READER_FIELD_MISSING_DEFAULT_VALUE: mail"]}`))
		return true
	})
	run(append(at, "check", subject, file(wider))...).fails(exitFailed, "calls the schema incompatible", "READER_FIELD_MISSING_DEFAULT_VALUE: mail", "schema.avsc")
	run(append(at, "check", subject, filepath.Join(dir, "none"))...).fails(exitFailed, "no such file")
	run(append(at, "check", subject, file("{"), "--type", "XML")...).fails(exitMisuse, "AVRO or PROTOBUF or JSON")
}
