package kafkatest

import (
	"strings"
	"testing"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/internal/letter"
	"github.com/eventbus-go/eventbus/internal/naming"
	"github.com/eventbus-go/eventbus/internal/wire"
	"github.com/eventbus-go/eventbus/transport"
)

// DeadLetter is a record in a dead-letter topic, and the event in it if there is one.
type DeadLetter[T any] struct {
	// Event is the event. If it can't be read, Err says why, Event is zero, and
	// the bytes are in Record.
	Event T
	Err   error
	// Reason is why it was dead-lettered: malformed, undecodable, unknown-type,
	// permanent or exhausted. Error is the text of the last attempt's error.
	Reason string
	Error  string
	// Attempts is how often Group tried it.
	Attempts int
	Group    string
	// Origin is where it was read.
	Origin transport.Position
	// Record is the dead letter as stored in its topic.
	Record transport.Record

	read transport.Position // first
}

// DeadLettered returns the dead letters of a topic, from all groups: the events of
// its type, and the records that are not events at all. It does not wait: call
// Settle first.
//
// With events to compare with, it fails the test unless exactly these can be read
// from the dead letters. The order counts within a key, not between keys.
func DeadLettered[T any](t testing.TB, c *Cluster, topic *eventbus.Topic[T], want ...T) []DeadLetter[T] {
	t.Helper()
	chosen := c.chosenLetters()
	records := c.records(t, func(name string) bool { return chosen[name] || lettersOf(name, topic) })
	var letters []DeadLetter[T]
	var got []T
	for i := range records {
		l, ours := readLetter(topic, &records[i])
		if !ours || chosen[l.Record.Topic] && !lettersOf(l.Record.Topic, topic) && !names(l.read.Topic, topic) {
			continue
		}
		letters = append(letters, l)
		if l.Err == nil {
			got = append(got, l.Event)
		}
	}
	if len(want) > 0 {
		compare(t, "dead-lettered", topic, got, want)
	}
	return letters
}

// chosenLetters returns the dead-letter topics whose names the test's buses chose.
func (c *Cluster) chosenLetters() map[string]bool {
	chosen := make(map[string]bool)
	for _, uses := range c.declarations() {
		env, _ := naming.Environment(uses.Environment) // the bus has checked it
		for _, use := range uses.Topics {
			for _, l := range use.Letters {
				chosen[naming.ChosenLetters(env, use.Topic.In(env), l.Group, l.DeadLetterTopic, l.RetryTopic).Dead] = true
			}
		}
	}
	return chosen
}

// lettersOf reports whether full is the default name of the topic's dead-letter topic,
// for any group: {topic}.{group}.dlq, where a group's name may have dots.
func lettersOf[T any](full string, topic *eventbus.Topic[T]) bool {
	source, ok := strings.CutSuffix(full, naming.DeadSuffix)
	for ok && !names(source, topic) {
		dot := strings.LastIndexByte(source, '.')
		ok = dot > 0
		source = source[:max(dot, 0)]
	}
	return ok
}

// readLetter reads a dead letter; ours is false if it is of another type.
func readLetter[T any](topic *eventbus.Topic[T], r *transport.Record) (l DeadLetter[T], ours bool) {
	parsed, _ := letter.Read(r) // what can't be read stays zero
	// Even an unreadable letter is returned, so that the test sees it.
	l = DeadLetter[T]{
		Reason: parsed.Reason, Error: parsed.Error, Attempts: parsed.Attempts, Group: parsed.Group,
		Origin: transport.Position{Partition: parsed.Source, Offset: parsed.SourceOffset},
		Record: *r,
		read:   parsed.Origin,
	}
	e := new(eventbus.Envelope)
	if l.Err = parsed.Event(topic.Declaration().Form, (*wire.Event)(e)); l.Err != nil {
		return l, true
	}
	if e.Type != topic.Type() && !e.Tombstone {
		return l, false
	}
	l.Event, l.Err = topic.Decode(e)
	return l, true
}
