package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/catalog"
	"github.com/eventbus-go/eventbus/format"
	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/kafkatest"
	"github.com/eventbus-go/eventbus/transport"
)

func TestPublishAndTail(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bench) {
		kafkatest.Publish(t, b.Cluster, customers, customerCreated{"c-1", "Ann"}, customerCreated{"c-2", "Bob"})
		b.run(t, "publish", b.topic, "--type", "CustomerMoved", "--source", "urn:ops", "--key", "c-1", "--data", `{"to":"Åland"}`,
			"--extension", "tenant=t1", "--subject", "s").ok(b.topic+"/", "id=")
		file := filepath.Join(t.TempDir(), "data")
		if err := os.WriteFile(file, []byte("plain text"), 0o600); err != nil {
			t.Fatal(err)
		}
		b.run(t, "publish", b.topic, "--type", "Note", "--source", "urn:ops", "--data", "@"+file, "--content-type", "text/plain", "--structured").ok()
		b.feed(t, `{"a":1}`, "publish", b.topic, "--type", "Note", "--source", "urn:ops", "--data", "-", "--id", "n-2").ok("id=n-2")
		b.run(t, "publish", b.topic, "--tombstone", "--key", "c-2").ok()
		b.run(t, "publish", b.topic, "--type", "X", "--source", "urn:ops", "--data", "1", "--dry-run").ok("X")
		b.run(t, "publish", b.topic, "--type", "X", "--source", "urn:ops", "--data", "{").fails(exitFailed, "not JSON")
		b.run(t, "publish", b.topic, "--type", "X", "--source", "urn:ops", "--data", "1", "--extension", "Bad_Name=1").fails(exitFailed, "not a CloudEvent", "Bad_Name")
		b.Produce(t, transport.Record{Topic: b.topic, Partition: 0, Value: []byte("no event")})

		b.run(t, "tail", b.topic).ok("customerCreated", `{"customerId":"c-1","name":"Ann"}`, "CustomerMoved", "key=c-1", "plain text", "deleted", "not a CloudEvent").lacks("  X")
		b.run(t, "tail", b.topic, "--whole", "--type", "CustomerMoved").ok("tenant: t1", "subject: s", "source: urn:ops").lacks("Ann")
		b.run(t, "tail", b.topic, "--key", "c-2").ok("Bob", "deleted").lacks("Ann")
		b.run(t, "tail", b.topic, "--from", "latest").ok().lacks("Ann")
		b.run(t, "tail", b.topic, "--from", "9999").ok().lacks("Ann")
		b.run(t, "tail", b.topic, "--partition", "7").fails(exitMisuse, "3 partitions, numbered from 0")
		b.run(t, "tail", b.topic+"x").fails(exitFailed, "does not exist")

		lines := strings.Split(strings.TrimSpace(b.run(t, "tail", b.topic, "-o", "json", "--from", "1h").ok().out), "\n")
		if len(lines) != 7 {
			t.Fatalf("%d lines, want 7:\n%s", len(lines), strings.Join(lines, "\n"))
		}
		problems := 0
		for _, text := range lines {
			var l line
			if err := json.Unmarshal([]byte(text), &l); err != nil {
				t.Fatalf("%v in %s", err, text)
			}
			var event struct{ SpecVersion, ID, Source, Type string }
			switch {
			case l.Problem != "":
				problems++
			case !l.Tombstone && (json.Unmarshal(l.Event, &event) != nil || event.SpecVersion != "1.0" || event.ID == "" || event.Source == "" || event.Type == ""):
				t.Errorf("not a CloudEvent: %s", text)
			}
		}
		if problems != 1 {
			t.Errorf("%d records are no events, want 1", problems)
		}
	})
}

// TestFollow reads what is published while it runs, until Ctrl-C.
func TestFollow(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bench) {
		kafkatest.Publish(t, b.Cluster, customers, customerCreated{"c-1", "Ann"})
		ctx, interrupt := context.WithTimeout(t.Context(), time.Minute)
		defer interrupt()
		out, write := io.Pipe()
		var complaints bytes.Buffer
		code := make(chan int, 1)
		go func() {
			code <- run(ctx, []string{"--brokers", strings.Join(b.Brokers(), ","), "tail", b.topic, "-f", "-o", "json"}, strings.NewReader(""), write, &complaints)
			_ = write.Close()
		}()
		lines := json.NewDecoder(out)
		for i, name := range []string{"Ann", "Bob"} {
			var l line
			if err := lines.Decode(&l); err != nil || !strings.Contains(string(l.Event), name) {
				t.Fatalf("event %d: %s, %v, want %s\n%s", i, l.Event, err, name, complaints.String())
			}
			if i == 0 {
				kafkatest.Publish(t, b.Cluster, customers, customerCreated{"c-2", "Bob"})
			}
		}
		interrupt()
		_, _ = io.Copy(io.Discard, out)
		if c := <-code; c != exitOK || complaints.Len() > 0 {
			t.Errorf("exit code %d: %s", c, complaints.String())
		}
	})
}

// signedUp has personal fields.
type signedUp struct {
	ID    string            `json:"id"`
	Email string            `json:"email" data:"personal"`
	Notes map[string]string `json:"notes" data:"personal"`
}

// writeCatalog writes a document to a file and returns its name.
func writeCatalog(t *testing.T, topics ...eventbus.AnyTopic) string {
	t.Helper()
	d, err := catalog.Of(topics...)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := d.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "catalog.json")
	if err := os.WriteFile(name, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// createTopics creates topics of three partitions.
func createTopics(t *testing.T, b *bench, names ...string) {
	t.Helper()
	cluster := kafka.New(kafka.Config{Brokers: b.Brokers()})
	defer cluster.Close(context.Background())
	for _, name := range names {
		if err := cluster.Admin().CreateTopics(t.Context(), transport.TopicSpec{Name: name, Partitions: 3}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestMasked: with a catalogue neither tail nor dlq show prints personal fields, in either
// output format.
func TestMasked(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bench) {
		file := writeCatalog(t, eventbus.NewTopic(eventbus.TopicConfig[signedUp]{Domain: "sales", Name: "customer", Plural: true}))
		dead := b.topic + ".mailer.dlq"
		createTopics(t, b, b.topic, dead)
		headers := func(typ string) []transport.Header {
			return []transport.Header{
				{Key: "ce_specversion", Value: []byte("1.0")}, {Key: "ce_id", Value: []byte("1")}, {Key: "ce_source", Value: []byte("/s")},
				{Key: "ce_type", Value: []byte(typ)}, {Key: "user", Value: []byte("secret-header")},
				{Key: "eventbus-dlq-topic", Value: []byte(b.topic)}, {Key: "eventbus-dlq-reason", Value: []byte("exhausted")},
			}
		}
		for _, topic := range []string{b.topic, dead} {
			b.Produce(t,
				transport.Record{Topic: topic, Value: []byte(`{"id":"u-1","email":"secret-1","notes":{"a":"secret-2"},"new":"secret-3"}`), Headers: headers("signedUp")},
				transport.Record{Topic: topic, Value: []byte(`{"id":"secret-4"}`), Headers: headers("Unknown")},
				transport.Record{Topic: topic, Value: []byte("secret-5"), Headers: headers("signedUp")},
				transport.Record{Topic: topic, Value: []byte("secret-6"), Headers: []transport.Header{{Key: "x", Value: []byte("secret-7")}}})
		}
		for _, args := range [][]string{
			{"tail", b.topic, "--from", "earliest", "--whole"}, {"tail", b.topic, "--from", "earliest", "-o", "json"},
			{"dlq", "show", dead}, {"dlq", "show", dead, "-o", "json"},
		} {
			b.run(t, args...).ok("secret-1")
			b.run(t, append(args, "--catalog", file)...).ok("u-1", "•••", "no JSON Schema of the type", "the data is not JSON", "it is not an event").lacks("secret", "c2VjcmV0")
		}
	})
}

// TestPublishToDeclared: the topic's declaration determines the partition of a key.
func TestPublishToDeclared(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bench) {
		declared := func(p eventbus.Partitioner) string {
			return writeCatalog(t, eventbus.NewTopic(eventbus.TopicConfig[signedUp]{Domain: "sales", Name: "customer", Plural: true, Partitioner: p}))
		}
		const n = 3
		createTopics(t, b, b.topic)
		publish := func(more ...string) *ran {
			return b.run(t, append([]string{"publish", b.topic, "--type", "signedUp", "--source", "urn:ops", "--data", "{}", "-o", "json"}, more...)...)
		}
		for _, p := range []eventbus.Partitioner{eventbus.FNV1a(), eventbus.CRC32(), eventbus.Murmur2()} {
			file := declared(p)
			for _, key := range []string{"a", "b", "c", "c-17"} {
				var at place
				publish("--key", key, "--catalog", file).ok().json(&at)
				if want := p.Of([]byte(key), n); at.Partition != want {
					t.Errorf("%s: %s is in partition %d, want %d", p, key, at.Partition, want)
				}
			}
		}
		custom := declared(eventbus.PartitionBy("ours", func([]byte, int32) int32 { return 0 }))
		publish("--key", "a", "--catalog", custom).fails(exitFailed, `the partitioner "ours"`, "--partition")
		var at place
		publish("--key", "a", "--catalog", custom, "--partition", "2").ok().json(&at)
		if at.Partition != 2 {
			t.Errorf("it is in partition %d", at.Partition)
		}
		publish("--partition", "3").fails(exitMisuse, "has 3 partitions")
		if r := publish("--key", "a").ok(); !strings.Contains(r.err, "needs --catalog") {
			t.Errorf("nothing says that the partitioner is unknown: %s", r.err)
		}
		plain := writeCatalog(t, eventbus.NewTopic(eventbus.TopicConfig[signedUp]{Domain: "sales", Name: "customer", Plural: true, Format: format.Plain(format.PlainConfig{})}))
		publish("--catalog", plain).fails(exitFailed, "format plain")
		b.run(t, "publish", b.topic, "--tombstone", "--key", "a", "--catalog", plain).ok()
		publish("--catalog", writeCatalog(t, eventbus.NewTopic(eventbus.TopicConfig[signedUp]{Domain: "sales", Name: "other"}))).fails(exitFailed, "declares no topic")
	})
}
