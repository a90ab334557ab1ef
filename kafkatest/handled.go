package kafkatest

import (
	"context"
	"testing"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/internal/errtree"
)

// handling is one event that a subscription handled. The envelope is a clone.
type handling struct {
	group    string
	envelope *eventbus.Envelope
}

// record is the outermost middleware of every bus. It notes which events were handled,
// and how handlers misused what they got.
func (c *Cluster) record(next eventbus.Handler) eventbus.Handler {
	return func(ctx context.Context, d *eventbus.Delivery) error {
		err := c.injected(d)
		// A fault takes the handler's place.
		if err == nil {
			err = c.lending(ctx, d, next)
		}
		// In a batch, a BatchError marks the events that failed. An error that marks
		// none, or of a single event, fails them all.
		failed, _ := errtree.Alone[*eventbus.BatchError](err)
		if err == nil || len(d.Events) > 1 && marksAny(failed, len(d.Events)) {
			c.note(d, failed)
		}
		c.signal()
		return err
	}
}

// marksAny reports whether an error marks an event of a batch of n.
func marksAny(failed *eventbus.BatchError, n int) bool {
	for i := range n {
		if failed.Of(i) != nil {
			return true
		}
	}
	return false
}

// lending calls the handler with envelopes that expire when it returns.
func (c *Cluster) lending(ctx context.Context, d *eventbus.Delivery, next eventbus.Handler) error {
	// returned stays false if the handler panics or ends its goroutine.
	returned := false
	takeBack := c.lendEnvelopes(d)
	defer func() {
		takeBack()
		if !returned {
			c.noteExit(d)
		}
	}()
	err := next(ctx, d)
	returned = true
	return err
}

// injected returns the error that FailHandlers causes for an attempt, or nil.
func (c *Cluster) injected(d *eventbus.Delivery) error {
	faults := c.inForce(&c.handlerFaults)
	for _, e := range d.Events {
		if err := faults.meets(sourceOf(e), e); err != nil {
			return err
		}
	}
	return nil
}

// sourceOf returns the topic that an event was first published on, even if it came
// back through a retry topic.
func sourceOf(e *eventbus.Envelope) string {
	if e.Redeliveries > 0 {
		return e.Origin.Topic
	}
	return e.Topic
}

// note keeps the events that an attempt handled: those that failed does not mark.
func (c *Cluster) note(d *eventbus.Delivery, failed *eventbus.BatchError) {
	var done []handling
	for i, e := range d.Events {
		// A nil BatchError marks no event.
		if failed.Of(i) == nil {
			done = append(done, handling{d.Group, e.Clone()})
		}
	}
	c.mu.Lock()
	c.handled = append(c.handled, done...)
	c.mu.Unlock()
}

// Handled returns the events of a topic for which a handler returned nil, in the order
// of these returns. An event that two groups handled, or that was handled again,
// appears twice. Events of another version count as that version's, even if Upcast
// converts them. Handled does not wait: call Settle first.
//
// With events to compare with, it fails the test unless exactly these were handled.
// The order counts within a key, not between keys.
func Handled[T any](t testing.TB, c *Cluster, topic *eventbus.Topic[T], want ...T) []T {
	t.Helper()
	c.mu.Lock()
	var envelopes []*eventbus.Envelope
	for _, h := range c.handled {
		if h.envelope.Type == topic.Type() && !h.envelope.Tombstone && names(sourceOf(h.envelope), topic) {
			envelopes = append(envelopes, h.envelope)
		}
	}
	c.mu.Unlock()
	got := decodeAll(t, topic, envelopes)
	if len(want) > 0 {
		compare(t, "handled", topic, got, want)
	}
	return got
}

// decodeAll decodes events. One that can't be decoded fails the test and is left
// out.
func decodeAll[T any](t testing.TB, topic *eventbus.Topic[T], envelopes []*eventbus.Envelope) []T {
	t.Helper()
	events := make([]T, 0, len(envelopes))
	for _, e := range envelopes {
		event, err := topic.Decode(e)
		if err != nil {
			t.Errorf("kafkatest: %v: %v", e, err)
			continue
		}
		events = append(events, event)
	}
	return events
}
