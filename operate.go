package eventbus

import (
	"fmt"
	"log/slog"
	"slices"

	"github.com/eventbus-go/eventbus/internal/engine"
	"github.com/eventbus-go/eventbus/internal/telemetry"
	"github.com/eventbus-go/eventbus/transport"
)

// Operator looks into a running bus and gives it orders: what a console, an admin
// endpoint or a tool does, and a service's handlers do not. It is safe for
// concurrent use, and as cheap to make as to keep.
type Operator struct{ bus *Bus }

// Operator returns the operator's view of the bus.
func (b *Bus) Operator() Operator { return Operator{b} }

// ErrNotFound: a call of an operator, as Pause or Skip, names a group, a
// subscription, a partition or a key that this bus does not have at the moment.
var ErrNotFound = engine.ErrNotFound

// Pause stops handing events to a subscription of a consumer group, by the name
// that Inspect shows; what runs may finish. Its events wait, in order, and with
// them the commits behind them, which Health shows and does not call a fault.
// When as many wait as Bounds allow, the partition is not fetched any more, and
// other subscriptions of the topic wait too. Pausing again is no error.
//
// It acts on this member alone: other members of the group go on, also with
// partitions that this one loses. It holds over rebalances, ends with Resume or
// with the program, and may be called before Start.
func (o Operator) Pause(group, subscription string) error {
	b := o.bus
	return b.hold("pause", group, subscription, true)
}

// Resume ends what Pause began. Resuming a running subscription is no error.
func (o Operator) Resume(group, subscription string) error {
	b := o.bus
	return b.hold("resume", group, subscription, false)
}

func (b *Bus) hold(op, group, subscription string, held bool) error {
	sub, err := b.subscription(group, subscription)
	if err != nil {
		return &Error{Op: op, Err: err}
	}
	if sub.Held() != held {
		sub.Hold(held)
		b.config.Logger.Warn("an operator said to "+op, telemetry.LogGroup, group, "subscription", subscription)
	}
	return nil
}

func (b *Bus) subscription(group, name string) (*engine.Subscription, error) {
	g, err := b.group(group)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	i := slices.IndexFunc(g.subs, func(s *engine.Subscription) bool { return s.Name == name })
	if i < 0 {
		return nil, fmt.Errorf("%w: group %q has no subscription %q", ErrNotFound, group, name)
	}
	return g.subs[i], nil
}

func (b *Bus) group(name string) (*group, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	g := b.groups[name]
	switch {
	case b.state.Load() > stateStarted:
		return nil, ErrClosed
	case g == nil:
		return nil, fmt.Errorf("%w: no subscription of this bus is in group %q", ErrNotFound, name)
	}
	return g, nil
}

// Unpark ends the wait of a key at once: its first event is tried again now, with
// the attempts that it has left, or its dead letter is written again. The error
// says why a key can't go on, such as an open circuit breaker. Keys wait only on
// the member that has their partition.
func (o Operator) Unpark(group, topic string, partition int32, key []byte) error {
	b := o.bus
	id := transport.Partition{Topic: topic, Partition: partition}
	g, err := b.running(group)
	if err == nil {
		err = g.engine.Load().Unpark(id, key)
	}
	if err != nil {
		return &Error{Op: "unpark", Err: err}
	}
	g.signals.Log.Warn("an operator ended a key's wait", telemetry.LogTopic, topic, telemetry.LogPartition, partition)
	return nil
}

// Skip ends, unhandled and for good, the event at an offset that holds its key up
// for ever: one whose dead letter can't be written, or of a type that only
// another member may know. The error says why anything else can't be skipped. It
// is counted and logged.
func (o Operator) Skip(group, topic string, partition int32, offset int64) error {
	b := o.bus
	id := transport.Partition{Topic: topic, Partition: partition}
	g, err := b.running(group)
	var skipped *engine.Failure
	if err == nil {
		skipped, err = g.engine.Load().Skip(id, offset)
	}
	if err != nil {
		return &Error{Op: "skip", Err: err}
	}
	g.signals.LogFailure(slog.LevelWarn, slog.Attr{}, "skipped by an operator", skipped, slog.String(telemetry.LogReason, skipped.Reason))
	return nil
}

// running is a group whose engine is there.
func (b *Bus) running(name string) (*group, error) {
	g, err := b.group(name)
	if err == nil && g.engine.Load() == nil {
		err = fmt.Errorf("group %q has not been started yet", name)
	}
	return g, err
}
