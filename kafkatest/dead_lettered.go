package kafkatest

import (
	"strconv"
	"strings"
	"testing"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/transport"
)

// DeadLetter is an event, or a record that is none, in a dead-letter topic.
type DeadLetter[T any] struct {
	// Event is the event. Err says why it can't be read, and Event is zero
	// then; the bytes are in Record.
	Event T
	Err   error
	// Reason is why it is here: malformed, undecodable, unknown-type,
	// permanent, exhausted. Error is the text of the last attempt's error.
	Reason string
	Error  string
	// Attempts is how often it was tried, by Group.
	Attempts int
	Group    string
	// Origin is where it was read.
	Origin transport.Position
	// Record is the dead letter as it stands in its topic.
	Record transport.Record
}

// Headers of dead letters.
const (
	headerReason    = "eventbus-dlq-reason"
	headerError     = "eventbus-dlq-error"
	headerAttempts  = "eventbus-dlq-attempts"
	headerGroup     = "eventbus-dlq-group"
	headerTopic     = "eventbus-dlq-topic"
	headerPartition = "eventbus-dlq-partition"
	headerOffset    = "eventbus-dlq-offset"
)

// DeadLettered returns the dead letters of a topic, of all groups: those of its
// type of event, and the records that are no event at all. It does not wait: call
// Settle before.
//
// With events to compare with it fails the test unless exactly these can be read
// from the dead letters: those of one key in this order, keys in any.
func DeadLettered[T any](t testing.TB, c *Cluster, topic *eventbus.Topic[T], want ...T) []DeadLetter[T] {
	t.Helper()
	records := c.records(t, func(name string) bool {
		// {topic}.{group}.dlq, where a group's name may have dots.
		source, ok := strings.CutSuffix(name, ".dlq")
		for ok && !names(source, topic) {
			dot := strings.LastIndexByte(source, '.')
			ok = dot > 0
			source = source[:max(dot, 0)]
		}
		return ok
	})
	var letters []DeadLetter[T]
	var got []T
	for i := range records {
		letter, ours := readLetter(topic, &records[i])
		if !ours {
			continue
		}
		letters = append(letters, letter)
		if letter.Err == nil {
			got = append(got, letter.Event)
		}
	}
	if len(want) > 0 {
		compare(t, "dead-lettered", topic, got, want)
	}
	return letters
}

// readLetter reads a dead letter; ours is false if it is of another type.
func readLetter[T any](topic *eventbus.Topic[T], r *transport.Record) (l DeadLetter[T], ours bool) {
	text := func(key string) string { v, _ := r.Header(key); return string(v) }
	number := func(key string) int64 { n, _ := strconv.ParseInt(text(key), 10, 64); return n }
	l = DeadLetter[T]{
		Reason: text(headerReason), Error: text(headerError), Group: text(headerGroup), Attempts: int(number(headerAttempts)),
		Origin: transport.Position{
			Partition: transport.Partition{Topic: text(headerTopic), Partition: int32(number(headerPartition))}, //nolint:gosec // the bus wrote it
			Offset:    number(headerOffset),
		},
		Record: *r,
	}
	e := new(eventbus.Envelope)
	if l.Err = readEnvelope(r, e); l.Err != nil {
		return l, true
	}
	if e.Type != topic.Type() && !e.Tombstone {
		return l, false
	}
	l.Event, l.Err = topic.Decode(e)
	return l, true
}
