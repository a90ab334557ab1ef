package kafkatest

import (
	"slices"

	"github.com/eventbus-go/eventbus"
)

// fault refuses some of the events on some topics.
type fault struct {
	// concerns reports whether the fault applies to a topic, by its full name.
	concerns func(topic string) bool
	// refuse returns the error for an event, or nil to let it pass.
	refuse func(*eventbus.Envelope) error
}

// faults are the faults of one kind that are in force, oldest first: those of publishing,
// in front of the producer, or those of handlers, in front of the handler.
type faults []*fault

// begin puts a fault into force until stop is called. stop may be called more than
// once.
func (c *Cluster) begin(kind *faults, f *fault) (stop func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	// A new slice: the old one may be in use without the lock.
	*kind = append(slices.Clone(*kind), f)
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		*kind = slices.DeleteFunc(slices.Clone(*kind), func(o *fault) bool { return o == f })
	}
}

// inForce returns the faults of a kind. The caller calls them without the lock, since
// they run code of the test, which may begin or stop faults.
func (c *Cluster) inForce(kind *faults) faults {
	c.mu.Lock()
	defer c.mu.Unlock()
	return *kind
}

// meets returns the error of the first fault that refuses an event on the topic of that
// name, or nil.
func (fs faults) meets(name string, e *eventbus.Envelope) error {
	for _, f := range fs {
		if f.concerns(name) {
			if err := f.refuse(e); err != nil {
				return err
			}
		}
	}
	return nil
}

// FailPublishes makes publishing fail for the events of a topic for which fail returns
// an error: they are not written, and their publisher gets that error. fail is called
// from several goroutines at once, until stop is called. The publishing circuit breaker
// does not count these failures; it does count those that Disconnect causes.
func FailPublishes[T any](c *Cluster, topic *eventbus.Topic[T], fail func(T) error) (stop func()) {
	return c.begin(&c.publishFaults, &fault{
		concerns: func(name string) bool { return names(name, topic) },
		refuse:   refusal(topic, fail),
	})
}

// FailDeadLetters makes writing dead letters fail for the events of a topic for which
// fail returns an error: the keys of these events wait. fail is called from several
// goroutines at once, until stop is called.
func FailDeadLetters[T any](c *Cluster, topic *eventbus.Topic[T], fail func(T) error) (stop func()) {
	return c.begin(&c.publishFaults, &fault{
		concerns: func(name string) bool { return lettersOf(name, topic) },
		refuse:   refusal(topic, fail),
	})
}

// FailHandlers makes attempts fail, in every group, for the events of a topic for
// which fail returns an error: the handler does not run, and the error decides what
// happens next, like one of the handler. fail is called at each attempt, from
// several goroutines at once, until stop is called. In a batch, one failing event fails
// the whole batch.
// FailHandlers applies to the buses that Handled includes.
func FailHandlers[T any](c *Cluster, topic *eventbus.Topic[T], fail func(T) error) (stop func()) {
	return c.begin(&c.handlerFaults, &fault{
		concerns: func(name string) bool { return names(name, topic) },
		refuse:   refusal(topic, fail),
	})
}

// refusal returns a function that calls fail for the events of the topic's type.
// Events that can't be decoded pass: there is no value to call it with.
func refusal[T any](topic *eventbus.Topic[T], fail func(T) error) func(*eventbus.Envelope) error {
	return func(e *eventbus.Envelope) error {
		if e.Tombstone || e.Type != topic.Type() {
			return nil
		}
		if event, err := topic.Decode(e); err == nil {
			return fail(event)
		}
		return nil
	}
}
