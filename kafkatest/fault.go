package kafkatest

import (
	"slices"

	"github.com/eventbus-go/eventbus"
)

// fault refuses some of the events on some topics: with an error that is not nil.
type fault struct {
	concerns func(topic string) bool
	refuse   func(*eventbus.Envelope) error
}

// faults are those of one kind that are in force. The cluster's mu guards them.
type faults []*fault

// begin puts a fault into force until stop is called, which may be more than once.
func (c *Cluster) begin(kind *faults, f *fault) (stop func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	*kind = append(slices.Clone(*kind), f)
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		*kind = slices.DeleteFunc(slices.Clone(*kind), func(o *fault) bool { return o == f })
	}
}

// inForce are faults to be asked without the lock: they call code of the test.
func (c *Cluster) inForce(kind *faults) faults {
	c.mu.Lock()
	defer c.mu.Unlock()
	return *kind
}

// meets is the first error that a fault has for an event on a topic.
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

// FailPublishes lets publishing fail, of the events of a topic for which fail
// returns an error: they are not written, and their publisher hears that error.
// fail is called from several goroutines at once. The publishing circuit breaker
// takes no notice; it does of what (*Cluster).Disconnect causes.
func FailPublishes[T any](c *Cluster, topic *eventbus.Topic[T], fail func(T) error) (stop func()) {
	return c.begin(&c.publishFaults, &fault{
		concerns: func(name string) bool { return names(name, topic) },
		refuse:   refusal(topic, fail),
	})
}

// FailDeadLetters lets the writing of dead letters fail, of the events of a topic
// for which fail returns an error: their keys wait. fail is called from several
// goroutines at once.
func FailDeadLetters[T any](c *Cluster, topic *eventbus.Topic[T], fail func(T) error) (stop func()) {
	return c.begin(&c.publishFaults, &fault{
		concerns: func(name string) bool { return lettersOf(name, topic) },
		refuse:   refusal(topic, fail),
	})
}

// FailHandlers lets attempts fail, of every group, at the events of a topic for
// which fail returns an error: the handler does not run, and the error steers what
// comes next as its own would. fail is asked at each attempt, from several
// goroutines at once; in a batch one failing event fails them all. It concerns the
// buses that Handled knows of.
func FailHandlers[T any](c *Cluster, topic *eventbus.Topic[T], fail func(T) error) (stop func()) {
	return c.begin(&c.handlerFaults, &fault{
		concerns: func(name string) bool { return names(name, topic) },
		refuse:   refusal(topic, fail),
	})
}

// refusal asks fail about the events of a topic's type.
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
