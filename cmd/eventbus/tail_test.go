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

// TestFollow reads what comes while it runs, until Ctrl-C.
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
