//go:build integration

package interop

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/kafka"
)

// codecs are all there are, by their number in a batch's attributes
// (https://kafka.apache.org/documentation/#recordbatch).
var codecs = []struct {
	name  string
	franz kgo.CompressionCodec
}{
	{"none", kgo.NoCompression()},
	{"gzip", kgo.GzipCompression()},
	{"snappy", kgo.SnappyCompression()},
	{"lz4", kgo.Lz4Compression()},
	{"zstd", kgo.ZstdCompression()},
}

// TestCompression checks batches of many records, with every codec. kcat and Java
// read our batches as franz-go does, and handlers get the same from our batches,
// franz-go's and kcat's.
func TestCompression(t *testing.T) {
	letters := manyLetters()
	for number, codec := range codecs {
		t.Run(codec.name, func(t *testing.T) {
			t.Run("written by us", func(t *testing.T) {
				c, handled := letterbox(t, kafka.Config{Compression: codec.name})
				publishLetters(t, c, letters)
				log := checkLog(t, c, number, letters)
				checkHandled(t, c, handled, log)
				t.Run("kcat reads", func(t *testing.T) {
					needKcat(t)
					compareLogs(t, kcatRead(t, c), log)
				})
				t.Run("Java reads", func(t *testing.T) {
					needJava(t)
					compareLogs(t, javaRead(t, c, len(letters)), log)
				})
			})
			t.Run("written by franz-go", func(t *testing.T) {
				c, handled := letterbox(t, kafka.Config{})
				var records []record
				for _, l := range letters {
					records = append(records, l.binary(t))
				}
				franzWrite(t, c, codec.franz, records)
				checkHandled(t, c, handled, checkLog(t, c, number, letters))
			})
			t.Run("written by kcat", func(t *testing.T) {
				needKcat(t)
				if number > 0 && !strings.Contains(run(t, "", "kcat", "-V"), codec.name) {
					unavailable(t, "this kcat is built without %s", codec.name)
				}
				c, handled := letterbox(t, kafka.Config{})
				kcatWriteLetters(t, c, codec.name, letters)
				checkHandled(t, c, handled, checkLog(t, c, number, letters))
			})
		})
	}
}

// letter is an event with its id. Letters of one key are written in the order
// of their ids.
type letter struct {
	id    string
	event CustomerCreated
}

// manyLetters returns letters of about a thousand bytes each, made of words, so that even
// a single one becomes smaller by every codec: a batch that does not is sent as it is.
func manyLetters() []letter {
	words := strings.Fields("partition offset watermark generation Zoë 日本 coordinator compression envelope checksum")
	random := rand.New(rand.NewPCG(1, 2))
	letters := make([]letter, 2000)
	for i := range letters {
		name := words[i%len(words)]
		for len(name) < 900 {
			name += fmt.Sprintf(" %s-%d", words[random.IntN(len(words))], random.IntN(1000))
		}
		letters[i] = letter{
			id:    fmt.Sprintf("letter-%04d", i),
			event: CustomerCreated{CustomerID: fmt.Sprintf("c-%d", random.IntN(100)), Name: name},
		}
	}
	return letters
}

// binary returns the letter as a record in binary mode.
func (l letter) binary(t *testing.T) record {
	t.Helper()
	return record{key: l.event.CustomerID, value: encoded(t, l.event), headers: [][2]string{
		{"content-type", "application/json"},
		{"ce_specversion", "1.0"}, {"ce_id", l.id}, {"ce_source", "urn:elsewhere"}, {"ce_type", "CustomerCreated"},
	}}
}

// kcatWriteLetters writes letters in structured mode, since kcat gives all
// records the same headers.
func kcatWriteLetters(t *testing.T, c *cluster, codec string, letters []letter) {
	t.Helper()
	var lines strings.Builder
	for _, l := range letters {
		fmt.Fprintf(&lines, "%s\t%s\n", l.event.CustomerID, encoded(t, map[string]any{
			"specversion": "1.0", "id": l.id, "source": "urn:elsewhere", "type": "CustomerCreated", "data": l.event,
		}))
	}
	// The linger is for batches of many records.
	run(t, lines.String(), "kcat", "-P", "-b", c.brokers, "-t", c.topic, "-K", "\t", "-z", codec, "-X", "linger.ms=200",
		"-H", "content-type=application/cloudevents+json; charset=UTF-8")
}

// publishLetters publishes without waiting for one before the next.
func publishLetters(t *testing.T, c *cluster, letters []letter) {
	t.Helper()
	ctx := deadline(t)
	publisher := eventbus.NewPublisher(c.bus, customers)
	receipts := make([]eventbus.Receipt, len(letters))
	for i, l := range letters {
		receipts[i] = publisher.PublishAsync(ctx, l.event, eventbus.WithID(l.id))
	}
	for _, r := range receipts {
		if _, err := r.Wait(ctx); err != nil {
			t.Fatal(err)
		}
	}
}

// delivery is a letter and its position in the log.
type delivery struct {
	letter
	key       string
	partition int32
	offset    int64
}

// letterbox returns a cluster whose bus handles letters, and a channel that gets
// them in the order in which they are handled.
func letterbox(t *testing.T, driver kafka.Config) (*cluster, <-chan delivery) {
	t.Helper()
	c := newClusterOver(t, driver, eventbus.Config{})
	handled := make(chan delivery, 10_000) // more than a test writes: no handler waits for a test that has failed
	err := eventbus.Subscribe(c.bus, customers, func(ctx context.Context, event CustomerCreated) error {
		e, _ := eventbus.EnvelopeFrom(ctx)
		select {
		case handled <- delivery{letter{e.ID, event}, string(e.Key), e.Partition, e.Offset}:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.bus.Start(deadline(t)); err != nil {
		t.Fatal(err)
	}
	return c, handled
}

// checkLog returns what franz-go reads from the topic, and checks that it has every
// letter once, in order per key, in batches of that codec.
func checkLog(t *testing.T, c *cluster, codec int, letters []letter) []record {
	t.Helper()
	log := franzRead(t, c, len(letters))
	if want := map[int]int{codec: len(letters)}; !maps.Equal(log.codecs, want) {
		t.Fatalf("so many records by the number of their codec: %v, want %v", log.codecs, want)
	}
	b := &log.batches
	t.Logf("%d records in %d batches of at most %d, %d bytes stored as %d", len(letters), b.count, b.largest, b.plain, b.packed)
	if 2*b.count > len(letters) {
		t.Errorf("%d batches for %d records: want many records to a batch", b.count, len(letters))
	}
	var read []letter
	partitions, latest := map[int32]bool{}, map[string]string{}
	for _, r := range log.records {
		d := deliveryOf(t, r)
		if d.key != d.event.CustomerID {
			t.Fatalf("%s has key %q, want %q", d.id, d.key, d.event.CustomerID)
		}
		if d.id <= latest[d.key] {
			t.Fatalf("%s follows %s in the log", d.id, latest[d.key])
		}
		latest[d.key], partitions[d.partition] = d.id, true
		read = append(read, d.letter)
	}
	slices.SortFunc(read, func(a, b letter) int { return strings.Compare(a.id, b.id) })
	if !slices.Equal(read, letters) {
		t.Fatal("franz-go does not read every letter once, as it was written")
	}
	if len(partitions) < 2 {
		t.Errorf("all letters are on one partition of %d", len(partitions))
	}
	return log.records
}

// deliveryOf returns what a handler should get for a record, in either mode.
func deliveryOf(t *testing.T, r record) delivery {
	t.Helper()
	d := delivery{key: r.key, partition: r.partition, offset: r.offset}
	document := struct {
		ID   *string
		Data *CustomerCreated
	}{&d.id, &d.event}
	var into any = &document
	for _, h := range r.headers {
		if h[0] == "ce_id" {
			d.id, into = h[1], &d.event
		}
	}
	if err := json.Unmarshal([]byte(r.value), into); err != nil {
		t.Fatalf("offset %d of partition %d holds %s: %v", r.offset, r.partition, r.value, err)
	}
	return d
}

// checkHandled waits until the handler has every record of the log, closes the
// consumer, and checks that each came once, complete, and in order per key.
func checkHandled(t *testing.T, c *cluster, handled <-chan delivery, log []record) {
	t.Helper()
	ctx := deadline(t)
	var got []delivery
	latest := map[string]int64{}
	for len(got) < len(log) {
		select {
		case d := <-handled:
			if before, ok := latest[d.key]; ok && d.offset <= before {
				t.Fatalf("the handler got offset %d of key %q after offset %d", d.offset, d.key, before)
			}
			latest[d.key] = d.offset
			got = append(got, d)
		case <-ctx.Done():
			t.Fatalf("the handler got %d letters of %d", len(got), len(log))
		}
	}
	if err := c.bus.Drain(ctx); err != nil {
		t.Fatal(err)
	}
	if len(handled) > 0 {
		t.Fatalf("the handler got more than the log has: %+v", <-handled)
	}
	slices.SortFunc(got, func(a, b delivery) int {
		if a.partition != b.partition {
			return int(a.partition - b.partition)
		}
		return int(a.offset - b.offset)
	})
	for i, r := range log {
		if want := deliveryOf(t, r); got[i] != want {
			t.Fatalf("the handler got %+v, want %+v", got[i], want)
		}
	}
}

// compareLogs checks that another client read what franz-go did: the same records,
// including headers, in the same order per partition.
func compareLogs(t *testing.T, got, want []record) {
	t.Helper()
	// Stable, since a reader's order within a partition is compared.
	slices.SortStableFunc(got, func(a, b record) int { return int(a.partition - b.partition) })
	if len(got) != len(want) {
		t.Errorf("it reads %d records, want %d", len(got), len(want))
	}
	for i := range min(len(got), len(want)) {
		g, w := got[i], want[i]
		if g.partition != w.partition || g.offset != w.offset || g.key != w.key || g.value != w.value || !slices.Equal(g.headers, w.headers) {
			t.Fatalf("it reads %v, want %v", g, w)
		}
	}
}
