package eventbus

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"

	"github.com/eventbus-go/eventbus/internal/declare"
	"github.com/eventbus-go/eventbus/internal/engine"
	"github.com/eventbus-go/eventbus/internal/telemetry"
	"github.com/eventbus-go/eventbus/transport"
)

// Operator inspects a running bus and gives it orders, for consoles, admin endpoints and
// tools. Handlers need none of it, so it is separate from Bus. It is safe for concurrent use
// and free to create.
type Operator struct {
	bus      *Bus
	who, why string
}

// Operator returns the operator's view of the bus.
func (b *Bus) Operator() Operator { return Operator{bus: b} }

// Because returns an Operator whose orders are logged with who gave them and why. Empty texts
// are omitted.
func (o Operator) Because(who, why string) Operator {
	o.who, o.why = who, why
	return o
}

// log logs an order that was carried out. Orders are rare and matter later, and most services
// log from Warn up, so that is the level.
func (o Operator) log(logger *slog.Logger, text string, fields ...slog.Attr) {
	logger.LogAttrs(context.Background(), slog.LevelWarn, text, append(fields, o.said()...)...)
}

// said returns who gave the order and why, as log fields.
func (o Operator) said() (fields []slog.Attr) {
	if o.who != "" {
		fields = append(fields, slog.String("who", o.who))
	}
	if o.why != "" {
		fields = append(fields, slog.String("why", o.why))
	}
	return fields
}

// Source is a declared topic in a bus's environment, for packages such as view that read it
// outside any group. It is safe for concurrent use.
type Source struct {
	// Topic is the topic's full name.
	Topic string
	// Transport reads the topic. The bus owns and closes it.
	Transport transport.Transport

	bus  *Bus
	spec transport.TopicSpec
}

// Source returns the source of a declared topic. Its error is that of an invalid declaration.
func (o Operator) Source(topic *declare.Topic) (Source, error) {
	b := o.bus
	b.mu.Lock()
	defer b.mu.Unlock()
	name, err := b.acceptable(topic)
	return Source{Topic: name, Transport: b.transport, bus: b, spec: topic.Spec(name)}, err
}

// Provision creates the topic if it is missing and Config.AutoProvision allows that. Otherwise
// a missing topic is an ErrTopicMissing that says what to do.
func (s Source) Provision(ctx context.Context) error { return s.bus.provision(ctx, s.spec) }

// ErrNotFound is the error of an order, such as Pause or Skip, that names a group, a
// subscription, a partition or a key that this bus does not have at the moment.
var ErrNotFound = engine.ErrNotFound

// Pause stops passing events to a subscription of a consumer group. Inspect shows the
// subscription's name. Running attempts may finish. The subscription's events wait, in
// order, and the commits behind them wait too; Health shows this and does not treat it as a
// fault. Once the waiting events reach Bounds, the partition is no longer fetched, and other
// subscriptions of the topic wait as well. Pausing twice is not an error.
//
// Pause affects this member alone. Other members of the group continue, also with partitions
// that this one loses. It lasts across rebalances, until Resume or the end of the program,
// and may be called before Start.
func (o Operator) Pause(group, subscription string) error {
	return o.hold("pause", group, subscription, true)
}

// Resume undoes Pause. Resuming a subscription that is not paused is not an error.
func (o Operator) Resume(group, subscription string) error {
	return o.hold("resume", group, subscription, false)
}

// hold pauses or resumes a subscription. It logs only a change, so that an order repeated by a
// script does not fill the log.
func (o Operator) hold(op, group, subscription string, held bool) error {
	sub, err := o.bus.subscription(group, subscription)
	if err != nil {
		return &Error{Op: op, Err: err}
	}
	if sub.Held() != held {
		sub.Hold(held)
		o.log(o.bus.config.Logger, "an operator said to "+op, slog.String(telemetry.LogGroup, group), slog.String("subscription", subscription))
	}
	return nil
}

// subscription returns a subscription by its name.
func (b *Bus) subscription(group, name string) (*engine.Subscription, error) {
	g, err := b.group(group)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	i := slices.IndexFunc(g.subs, func(s *engine.Subscription) bool { return s.Name == name })
	if i < 0 {
		names := make([]string, len(g.subs))
		for i, s := range g.subs {
			names[i] = s.Name
		}
		slices.Sort(names)
		return nil, fmt.Errorf("%w: group %q has no subscription %q, it has %q", ErrNotFound, group, name, names)
	}
	return g.subs[i], nil
}

// group returns a group by its name.
func (b *Bus) group(name string) (*group, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	g := b.groups[name]
	switch {
	case b.state.Load() > stateStarted:
		return nil, ErrClosed
	case g == nil:
		return nil, fmt.Errorf("%w: no subscription of this bus is in group %q, its groups are %q", ErrNotFound, name, slices.Sorted(maps.Keys(b.groups)))
	}
	return g, nil
}

// Unpark ends the wait of a parked key: its first event is tried again at once, with the
// attempts it has left, or its dead letter is written again. The error says why a key can't
// continue, such as an open circuit breaker. A key waits only on the member that owns its
// partition. If several events with the key wait there, as events without a key may, it is one
// of them; UnparkAt chooses.
func (o Operator) Unpark(group, topic string, partition int32, key []byte) error {
	return o.unpark(group, transport.Partition{Topic: topic, Partition: partition}, func(e *engine.Engine, id transport.Partition) error { return e.Unpark(id, key) })
}

// UnparkAt is like Unpark, for the key whose first waiting event is at an offset. Inspect shows
// the offset.
func (o Operator) UnparkAt(group, topic string, partition int32, offset int64) error {
	return o.unpark(group, transport.Partition{Topic: topic, Partition: partition}, func(e *engine.Engine, id transport.Partition) error { return e.UnparkAt(id, offset) })
}

func (o Operator) unpark(group string, id transport.Partition, do func(*engine.Engine, transport.Partition) error) error {
	g, err := o.bus.running(group)
	if err == nil {
		err = do(g.engine.Load(), id)
	}
	if err != nil {
		return &Error{Op: "unpark", Err: err}
	}
	o.log(g.signals.Log, "an operator ended a key's wait", slog.String(telemetry.LogTopic, id.Topic), slog.Int(telemetry.LogPartition, int(id.Partition)))
	return nil
}

// Skip gives up the event at an offset, without handling it and without a dead letter, if the
// event would hold up its key indefinitely: its dead letter can't be written, or its type may
// be one that only another member knows. At an offset that can't be read, and so holds up its
// partition, Skip passes everything unreadable there and writes a note to the dead-letter
// topic. For any other event the error says why it can't be skipped. A skip is counted and
// logged.
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
	// slog writes a group without a name as its fields.
	fields := slog.GroupValue(append(o.said(), slog.String(telemetry.LogReason, skipped.Reason))...)
	g.signals.LogFailure(slog.LevelWarn, slog.Attr{}, "skipped by an operator", skipped, slog.Attr{Value: fields})
	return nil
}

// ForgetType applies the policy for unknown types to the events of a type that this member
// holds for another one, listed by Inspect as Held, now and from now on. Once a member that
// handles the type joins, its events are held for that member again. The order is for this
// member alone; other members need their own. It is logged, and the events are counted.
func (o Operator) ForgetType(group, topic, typ string) error {
	g, err := o.bus.running(group)
	if err == nil {
		err = g.engine.Load().ForgetType(topic, typ)
	}
	if err != nil {
		return &Error{Op: "forget type", Err: err}
	}
	o.log(g.signals.Log, "an operator gave a type up that no handler here knows", slog.String(telemetry.LogTopic, topic), slog.String("type", typ))
	return nil
}

// running returns a group whose engine has been started.
func (b *Bus) running(name string) (*group, error) {
	g, err := b.group(name)
	if err == nil && g.engine.Load() == nil {
		err = fmt.Errorf("group %q has not been started yet", name)
	}
	return g, err
}
