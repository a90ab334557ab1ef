package eventbus

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"github.com/eventbus-go/eventbus/internal/declare"
	"github.com/eventbus-go/eventbus/internal/letter"
)

// Subscription binds a handler to a topic. Here T ends: past this file the bus
// knows envelopes and handlers only. It is made by On, OnBatch, OnDelete and OnAny, does
// nothing until it is given to Bus.Add, and belongs to one bus.
type Subscription struct{ s *subscription }

type subscription struct {
	decl    *declare.Topic
	kind    kind
	options []SubscribeOption
	handle  Handler // decodes, and calls the typed handler
	err     error   // why it can't be added
	// resolve finds the topic by the handler's type, on the bus; nil where it is known.
	resolve func(typeTable) error
	// any says that it handles all that no other of its topic and group does.
	any bool
}

// kind is the kind of events that a subscription handles.
type kind int8

const (
	single kind = iota
	batched
	tombstones
)

// On subscribes a handler to the events of a topic, one at a time per key.
//
// A nil error means handled. Any other is retried by the subscription's policy,
// while the later events of the key wait; Permanent dead-letters at once,
// RetryAfter chooses the wait. A panic is an error. An event whose attempts are
// used up goes to the dead-letter topic.
func On[T any](topic *Topic[T], handler func(context.Context, T) error, options ...SubscribeOption) Subscription {
	return newSubscription(topic, handler == nil, single, options, func(ctx context.Context, d *Delivery) error {
		event, err := topic.decode(ctx, d.Events[0])
		if err != nil {
			return undecodable(err)
		}
		return settled(ctx, handler(ctx, event))
	})
}

// OnBatch subscribes a handler to the events of a topic, up to BatchSize of one
// partition at a time, in log order per key. All their keys wait for it.
//
// A nil error means that all are handled. A *BatchError marks the failed ones by
// index, and StoppedAt says that the handler stopped at one. Any other error means
// that all failed: they are handled one by one from then on, so that one poisonous
// event does not spoil the rest.
func OnBatch[T any](topic *Topic[T], handler func(context.Context, []T) error, options ...SubscribeOption) Subscription {
	return newSubscription(topic, handler == nil, batched, options, func(ctx context.Context, d *Delivery) error {
		events := make([]T, 0, len(d.Events))
		return inPart(ctx, len(d.Events), func(i int) error {
			event, err := topic.decode(ctx, d.Events[i])
			if err != nil {
				return undecodable(err)
			}
			events = append(events, event)
			return nil
		}, func() error { return settled(ctx, handler(ctx, events)) })
	})
}

// inPart takes the n events of a batch, and handles those that can be taken: the
// others fail alone. What the handler says of single events is said by their indexes
// in the part, which is what its context shows.
func inPart(ctx context.Context, n int, take func(i int) error, handle func() error) error {
	at := make([]int, 0, n) // indexes in the batch
	failed := make(map[int]error)
	for i := range n {
		if err := take(i); err != nil {
			failed[i] = err
			continue
		}
		at = append(at, i)
	}
	if len(at) > 0 {
		if s := scopeFrom(ctx); s != nil && len(failed) > 0 {
			defer s.passOn(s.part(at))()
		}
		if err := handle(); err != nil && (len(failed) == 0 || !spread(err, at, failed)) {
			return err
		}
	}
	switch {
	case len(failed) == 0:
		return nil
	case n == 1:
		return failed[0]
	}
	return &BatchError{Errors: failed}
}

// spread copies what err says of single events of a part of a batch into failed,
// at the events' indexes in the whole batch, and reports whether it did. Any other
// error concerns the whole part: what is final for it is not so for the others.
func spread(err error, at []int, failed map[int]error) bool {
	before := len(failed)
	for i, e := range eachOf(err, len(at)) {
		failed[at[i]] = e
	}
	if len(failed) > before {
		return true
	}
	switch outerMark(err).(type) { //nolint:errorlint // the mark itself
	case *permanentError, *discardError:
		for _, in := range at {
			failed[in] = err
		}
		return true
	}
	return false
}

// settled waits for what the typed handler published without waiting, before any
// middleware sees the handler's end: a middleware that commits a transaction must
// not commit one whose events were refused.
func settled(ctx context.Context, err error) error {
	if s := scopeFrom(ctx); s != nil {
		return s.settle(err)
	}
	return err
}

// OnDelete subscribes a handler to the tombstones of a topic: records with a key
// and no value. They belong to the topic's name, so there is one OnDelete for all
// the types on it. It keeps the key's order together with On.
func OnDelete[T any](topic *Topic[T], handler func(ctx context.Context, key string) error, options ...SubscribeOption) Subscription {
	return newSubscription(topic, handler == nil, tombstones, options, func(ctx context.Context, d *Delivery) error {
		return settled(ctx, handler(ctx, string(d.Events[0].Key)))
	})
}

// OnAny subscribes a handler to all events on a topic, of whatever type, as they are:
// for audits, bridges and projections. The topic may be any declaration of its name.
//
// Within its group it gets what no other subscription of the topic takes: every type
// without an On or OnBatch, and tombstones unless there is an OnDelete. To see all of
// them, give it a [Group] of its own. So no type is unknown to the group, whatever
// DeadLetterUnknown or FailUnknown say. A record that is no event goes to the
// dead-letter topic as ever.
//
// The envelope is valid until the handler returns; [Envelope.Clone] what is kept.
// [Topic.Decode] reads the data of types that are known.
func OnAny(topic AnyTopic, handler func(context.Context, *Envelope) error, options ...SubscribeOption) Subscription {
	return newAny(topic, handler == nil, single, options, func(ctx context.Context, d *Delivery) error {
		return settled(ctx, handler(ctx, d.Events[0]))
	})
}

// OnAnyBatch is OnAny for up to BatchSize events at a time, as OnBatch has them.
func OnAnyBatch(topic AnyTopic, handler func(context.Context, []*Envelope) error, options ...SubscribeOption) Subscription {
	return newAny(topic, handler == nil, batched, options, func(ctx context.Context, d *Delivery) error {
		return settled(ctx, handler(ctx, d.Events))
	})
}

func newAny(topic AnyTopic, handlerless bool, k kind, options []SubscribeOption, handle Handler) Subscription {
	var d *declare.Topic
	if topic != nil {
		d = topic.Declaration()
	}
	s := newSubscriptionOf(d, "any event", handlerless, k, options, handle)
	s.s.any = true
	return s
}

// Subscribe is bus.Add of On.
func Subscribe[T any](bus *Bus, topic *Topic[T], handler func(context.Context, T) error, options ...SubscribeOption) error {
	if bus == nil {
		return &Error{Op: "subscribe", Err: errors.New("the bus is nil")}
	}
	return bus.Add(On(topic, handler, options...))
}

// Upcast makes a handler of new events one of old events: On(v1, Upcast(convert,
// handleV2)). An event that can't be converted is dead-lettered.
func Upcast[Old, New any](convert func(Old) (New, error), handler func(context.Context, New) error) func(context.Context, Old) error {
	return func(ctx context.Context, old Old) error {
		event, err := convert(old)
		if err != nil {
			return Permanent(fmt.Errorf("upcast: %w", err))
		}
		return handler(ctx, event)
	}
}

// UpcastBatch is Upcast for OnBatch. Events that can't be converted are dead-lettered
// alone; the handler gets the others.
func UpcastBatch[Old, New any](convert func(Old) (New, error), handler func(context.Context, []New) error) func(context.Context, []Old) error {
	return func(ctx context.Context, old []Old) error {
		events := make([]New, 0, len(old))
		return inPart(ctx, len(old), func(i int) error {
			event, err := convert(old[i])
			if err != nil {
				return Permanent(fmt.Errorf("upcast: %w", err))
			}
			events = append(events, event)
			return nil
		}, func() error { return handler(ctx, events) })
	}
}

func newSubscription[T any](topic *Topic[T], handlerless bool, k kind, options []SubscribeOption, handle Handler) Subscription {
	return newSubscriptionOf(topic.Declaration(), reflect.TypeFor[T]().String(), handlerless, k, options, handle)
}

// newSubscriptionOf returns the subscription of a declaration, which is nil if the
// topic is.
func newSubscriptionOf(d *declare.Topic, of string, handlerless bool, k kind, options []SubscribeOption, handle Handler) Subscription {
	s := &subscription{decl: d, kind: k, options: options, handle: func(ctx context.Context, d *Delivery) error {
		if s := scopeFrom(ctx); s != nil && s.delivery != d { // a middleware has replaced it
			defer s.passOn(d)()
		}
		return handle(ctx, d)
	}}
	if d == nil {
		s.err = errors.New("the topic is nil: a subscription of " + of + " needs a Topic that NewTopic made")
		return Subscription{s}
	}
	if handlerless {
		s.err = fmt.Errorf("the subscription of %s has no handler: it is nil", s.name())
	}
	return Subscription{s}
}

// undecodable marks an error as one that no retry can change, unless the codec
// has called it unavailable.
func undecodable(err error) error {
	if isUnavailable(err) {
		return err
	}
	return &undecodableError{err, letter.ReasonUndecodable}
}

// Handle makes one attempt, as the bus would: decoding, the subscription's own
// middleware, panics caught. For tests and tools; a subscription of single events
// takes one envelope.
func (s Subscription) Handle(ctx context.Context, events ...*Envelope) error {
	if s.s == nil || len(events) == 0 {
		return &Error{Op: "handle", Err: errors.New("no subscription or no event")}
	}
	if s.s.kind != batched && len(events) > 1 {
		return &Error{Op: "handle", Topic: events[0].Topic, Err: fmt.Errorf("%d events for a handler of single ones: use OnBatch", len(events))}
	}
	if s.s.resolve != nil {
		return &Error{Op: "handle", Err: errUnresolved}
	}
	if s.s.err != nil {
		return &Error{Op: "handle", Err: s.s.err}
	}
	settings := newSubscribeSettings(s.s.options...)
	handler, err := chain(s.s.handle, settings.middleware...)
	if err != nil {
		return &Error{Op: "handle", Topic: events[0].Topic, Err: err}
	}
	d := &Delivery{Topic: events[0].Topic, Group: settings.group, Attempt: 1, Events: events, batch: s.s.kind == batched, derive: settings.derive}
	return call(newScope(ctx, d, nil), handler)
}

// call calls a handler once, and then waits for the events that it published
// without waiting: if one of them fails, the attempt has failed too, because
// acknowledging its event would lose the other.
func call(s *scope, h Handler) (err error) {
	defer rescue(&err, "handler")
	return s.settle(h(s, s.delivery))
}

// String names the subscription: what it handles.
func (s Subscription) String() string {
	if s.s == nil || s.s.decl == nil {
		return "no subscription"
	}
	return s.s.name()
}

// name returns the subscription's name in logs, metrics and an operator's
// orders. It must stay the same over restarts.
func (s *subscription) name() string {
	switch {
	case s.any:
		return s.decl.Suffix + " any"
	case s.kind == tombstones:
		return s.decl.Suffix + " tombstones"
	}
	return s.decl.Suffix + " " + s.decl.Typ
}

// sharedSettings are the settings that one topic has in one group, whichever of
// its subscriptions set them: all of them read one log in one order.
type sharedSettings struct {
	order   agreed[Order]
	start   agreed[StartPosition]
	unknown agreed[UnknownType]
	beyond  agreed[OutOfRange]
	dead    agreed[string] // the name of DeadLetterTopic, with marks
	retry   agreed[string] // of RetryTopic
}

// agreed is a setting on which the subscriptions of one topic and group agree.
type agreed[V comparable] struct {
	value V
	// by names the subscription that set it, empty if none did.
	by string
}

// set takes over a value that a subscription sets; nil is not set. The error names
// both subscriptions that differ.
func (a *agreed[V]) set(what string, v *V, by string) error {
	switch {
	case v == nil:
		return nil
	case a.by != "" && a.value != *v:
		return fmt.Errorf("%s is %v for %s and %v for %s: it holds for topic and group together, use one value, or another Group", what, a.value, a.by, *v, by)
	}
	a.value, a.by = *v, by
	return nil
}
