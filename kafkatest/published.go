package kafkatest

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/internal/declare"
	"github.com/eventbus-go/eventbus/internal/letter"
	"github.com/eventbus-go/eventbus/internal/wire"
	"github.com/eventbus-go/eventbus/transport"
)

// Published returns the events of a topic that are in the log, from any producer:
// in log order within a partition, and by time across partitions. It omits records
// that do not have the topic's Format. It does not wait for what is published
// without waiting: call Settle first.
//
// With events to compare with, it fails the test unless exactly these are there.
// The order counts within a key, not between keys.
func Published[T any](t testing.TB, c *Cluster, topic *eventbus.Topic[T], want ...T) []T {
	t.Helper()
	var envelopes []*eventbus.Envelope
	for _, r := range c.records(t, func(name string) bool { return names(name, topic) }) {
		if e := envelopeOf(topic.Declaration().Form, &r); e != nil && e.Type == topic.Type() && !e.Tombstone {
			envelopes = append(envelopes, e)
		}
	}
	got := decodeAll(t, topic, envelopes)
	if len(want) > 0 {
		compare(t, "published", topic, got, want)
	}
	return got
}

// envelopeOf returns a record's envelope, or nil if the record does not have the
// topic's form.
func envelopeOf(form *wire.Form, r *transport.Record) *eventbus.Envelope {
	e := new(eventbus.Envelope)
	if readEnvelope(form, r, e) != nil {
		return nil
	}
	return e
}

func readEnvelope(form *wire.Form, r *transport.Record, e *eventbus.Envelope) error {
	return letter.Decode(form, r, (*wire.Event)(e))
}

// formOf returns the form of a topic's records, as declared by a bus of the test, or
// nil.
func (c *Cluster) formOf(topic string) *wire.Form {
	for _, uses := range c.declarations() {
		for i := range uses.Topics {
			d := uses.Topics[i].Topic
			if name, err := d.Resolve(uses.Environment); err == nil && name == topic {
				return d.Form
			}
		}
	}
	return nil
}

// declarations returns what the buses of the test publish and subscribe to.
func (c *Cluster) declarations() (all []declare.Uses) {
	// The lock is not held while the buses are asked, since they have their own locks.
	c.mu.Lock()
	buses := slices.Clone(c.buses)
	c.mu.Unlock()
	for _, bus := range buses {
		all = append(all, bus.Operator().Declarations())
	}
	return all
}

// records returns the records of the topics that chosen selects by their full
// names, topic by topic. It fails the test if they can't be read.
func (c *Cluster) records(t testing.TB, chosen func(string) bool) []transport.Record {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	names, err := c.topicNames(ctx)
	if err != nil {
		t.Fatalf("kafkatest: listing topics: %v", err)
	}
	names = slices.DeleteFunc(names, func(name string) bool { return !chosen(name) })
	var all []transport.Record
	for _, name := range names {
		records, err := c.read(ctx, name)
		if err != nil {
			t.Fatalf("kafkatest: reading topic %s: %v", name, err)
		}
		all = append(all, records...)
	}
	return all
}

// topicNames returns the names of the topics in the test's environments. A real
// cluster may have other topics too.
func (c *Cluster) topicNames(ctx context.Context) ([]string, error) {
	if c.memory != nil {
		return c.memory.Topics(), nil
	}
	infos, err := c.transport.Admin().Topics(ctx)
	if err != nil {
		return nil, err
	}
	// An environment is the first segment of a topic's name.
	environments, chosen := c.links.environments(), c.chosenLetters()
	var names []string
	for _, info := range infos {
		if environment, _, _ := strings.Cut(info.Name, "."); environments[environment] || chosen[info.Name] {
			names = append(names, info.Name)
		}
	}
	return names, nil
}

// read returns all records of a topic, in the order of Published.
func (c *Cluster) read(ctx context.Context, topic string) ([]transport.Record, error) {
	if c.memory != nil {
		return c.memory.Records(topic), nil
	}
	return c.readLog(ctx, topic)
}
