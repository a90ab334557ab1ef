package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// intrusion is a kind of record that our publishers never write, and that a broker accepts
// from any client with the right to write.
type intrusion struct {
	name string
	fate fate
	// edit changes a good event of a key into the record.
	edit func(r *kgo.Record, random *rand.Rand)
}

// intrusions returns every kind. They share the keys of good events, so that they are before,
// between and behind those in the same lanes.
func intrusions() []intrusion {
	attribute := func(name, value string) func(*kgo.Record, *rand.Rand) {
		return func(r *kgo.Record, _ *rand.Rand) { set(r, name, value) }
	}
	return []intrusion{
		{"bytes without headers", deadLettered, func(r *kgo.Record, random *rand.Rand) {
			r.Headers, r.Value = nil, noise(random, 300)
		}},
		{"no key, value and headers", deadLettered, func(r *kgo.Record, _ *rand.Rand) { r.Key, r.Value, r.Headers = nil, []byte{}, nil }},
		{"data that is not JSON", deadLettered, func(r *kgo.Record, random *rand.Rand) { r.Value = noise(random, 100) }},
		{"data of another type", deadLettered, func(r *kgo.Record, _ *rand.Rand) { r.Value = []byte(`{"key":"text","seq":-1}`) }},
		{"null data", deadLettered, func(r *kgo.Record, _ *rand.Rand) { r.Value = []byte("null") }},
		{"another version of CloudEvents", deadLettered, attribute("ce_specversion", "9.9")},
		{"no id", deadLettered, attribute("ce_id", "")},
		{"a time that is none", deadLettered, attribute("ce_time", "the day before yesterday")},
		{"an id that is not UTF-8", deadLettered, attribute("ce_id", "\xff\xfe\x00")},
		{"an attribute twice", deadLettered, func(r *kgo.Record, _ *rand.Rand) {
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: "ce_id", Value: []byte("another")})
		}},
		{"half a million headers", deadLettered, func(r *kgo.Record, _ *rand.Rand) {
			// About two bytes each, so the record stays below what brokers accept by default.
			for range 490_000 {
				r.Headers = append(r.Headers, kgo.RecordHeader{})
			}
		}},
		{"structured mode, cut short", deadLettered, func(r *kgo.Record, _ *rand.Rand) {
			r.Headers = []kgo.RecordHeader{{Key: "content-type", Value: []byte("application/cloudevents+json")}}
			r.Value = []byte(`{"specversion":"1.0","id":`)
		}},
		{"a type that nobody handles", passedOver, attribute("ce_type", "Nobody")},
		{"a type for a terminal", passedOver, attribute("ce_type", "\x1b[2J<script>alert(1)</script>")},
		{"a type of 50,000 letters", passedOver, attribute("ce_type", strings.Repeat("t", 50_000))},
		{"a different type each time", passedOver, func(r *kgo.Record, random *rand.Rand) {
			set(r, "ce_type", strconv.FormatUint(random.Uint64(), 36))
		}},
		{"a tombstone", passedOver, func(r *kgo.Record, _ *rand.Rand) { r.Value = nil }},
	}
}

// set replaces the value of a header.
// A header that the record does not have is not added.
func set(r *kgo.Record, name, value string) {
	for i := range r.Headers {
		if r.Headers[i].Key == name {
			r.Headers[i].Value = []byte(value)
		}
	}
}

// noise returns n random bytes.
func noise(random *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	return b
}

// intrude writes hostile records among the good ones, kind after kind, by another client, and
// records in the ledger where each is and its expected outcome.
func intrude(t *task, l *ledger) error {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(t.Brokers...), kgo.DefaultProduceTopic(t.Topic.topic()),
		// Don't compress: brokers bound the compressed size, which should be the real one.
		kgo.ProducerBatchCompression(kgo.NoCompression()),
	)
	if err != nil {
		return err
	}
	defer client.Close()
	random := rand.New(rand.NewPCG(t.Shift.Seed, uint64(t.Shift.Index))) //nolint:gosec // not for secrets
	kinds := intrusions()
	ticker := time.NewTicker(time.Second * time.Duration(t.Load.Intruded) / time.Duration(t.Load.Rate))
	defer ticker.Stop()
	for i := range t.Shift.Events {
		<-ticker.C
		kind := kinds[i%len(kinds)]
		// Use a key of the load, so that the records are in the lanes of its keys.
		key := uint32(random.IntN(t.Load.Keys)) //nolint:gosec // small
		r := goodRecord(key, i)
		kind.edit(r, random)
		ctx, cancel := context.WithTimeout(context.Background(), closePatience)
		// One at a time: the ledger needs the position, which only the acknowledgement has.
		got, err := client.ProduceSync(ctx, r).First()
		cancel()
		if err != nil {
			return fmt.Errorf("%s: %w", kind.name, err)
		}
		l.add(entry{deed: intruded, partition: got.Partition, offset: got.Offset, key: uint32(i % len(kinds)), seq: uint32(kind.fate)}) //nolint:gosec // small
	}
	return nil
}

// goodRecord returns an event as one of our publishers writes it. Its number does not occur
// in the load: no handler may get it unnoticed.
func goodRecord(key uint32, i int) *kgo.Record {
	headers := [][2]string{
		{"ce_specversion", "1.0"}, {"ce_id", "intruder-" + strconv.Itoa(i)}, {"ce_source", "urn:intruder"}, {"ce_type", "numbered"},
		{"ce_time", "2026-01-01T00:00:00Z"}, {"content-type", "application/json"},
	}
	r := &kgo.Record{Key: []byte(keyText(key)), Value: fmt.Appendf(nil, `{"key":%d,"seq":%d}`, key, uint32(1)<<31)}
	for _, h := range headers {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: h[0], Value: []byte(h[1])})
	}
	return r
}
