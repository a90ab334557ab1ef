package eventbus

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/eventbus-go/eventbus/internal/declare"
	"github.com/eventbus-go/eventbus/internal/errtree"
	"github.com/eventbus-go/eventbus/internal/letter"
)

// Subscription binds a handler to a topic. On, OnBatch, OnDelete and OnAny create one. It
// does nothing until it is passed to Bus.Add, and belongs to one bus.
type Subscription struct{ s *subscription }

// subscription is a Subscription without the type parameter: the files after this one know
// envelopes and handlers only.
type subscription struct {
	decl    *declare.Topic
	kind    kind
	options []SubscribeOption
	handle  Handler // decodes, then calls the typed handler
	err     error   // why it can't be added
	// resolve finds the topic on the bus by the handler's type; nil if it is known.
	resolve func(typeTable) error
	// any is set if it handles everything that no other of its topic and group handles.
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
// A nil error means that the event was handled. Any other error is retried by the
// subscription's policy, while the key's later events wait; Permanent dead-letters the
// event at once, RetryAfter chooses the wait. A panic counts as an error. An event whose
// attempts are used up goes to the dead-letter topic.
func On[T any](topic *Topic[T], handler func(context.Context, T) error, options ...SubscribeOption) Subscription {
	return newSubscription(topic, handler == nil, single, options, func(ctx context.Context, d *Delivery) error {
		event, err := topic.decode(ctx, d.Events[0])
		if err != nil {
			return undecodable(err)
		}
		return settled(ctx, handler(ctx, event))
	})
}

// OnBatch subscribes a handler to the events of a topic, up to BatchSize events of one
// partition at a time, in log order per key. All keys in the batch wait for it.
//
// A nil error means that all events were handled. A *BatchError marks the failed ones by
// index, and StoppedAt says at which one the handler stopped. Any other error means that
// all failed: they are then handled one by one, so that one poisonous event does not spoil
// the rest.
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

// inPart calls take for each of the n events of a batch, and handle for those that were
// taken; the others fail alone. handle's errors of single events refer to indexes in the
// taken part, which is what its context shows.
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

// spread copies the errors that err has for single events of a part of a batch into failed,
// at the events' indexes in the whole batch, and reports whether it did. Any other error
// concerns the whole part: even if it is final, it isn't final for the rest of the batch.
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

// settled waits for what the typed handler published asynchronously, before any middleware
// sees the handler return: a middleware that commits a transaction must not commit one
// whose events were refused.
func settled(ctx context.Context, err error) error {
	if s := scopeFrom(ctx); s != nil {
		return s.settle(err)
	}
	return err
}

// OnDelete subscribes a handler to the tombstones of a topic: records with a key and no
// value. Tombstones belong to the Kafka topic, so there is one OnDelete for all the types on
// it. Together with On it keeps the key's order.
func OnDelete[T any](topic *Topic[T], handler func(ctx context.Context, key string) error, options ...SubscribeOption) Subscription {
	return newSubscription(topic, handler == nil, tombstones, options, func(ctx context.Context, d *Delivery) error {
		return settled(ctx, handler(ctx, string(d.Events[0].Key)))
	})
}

// OnAny subscribes a handler to all events on a topic, of any type, undecoded: for audits,
// bridges and projections. topic may be any declaration of the Kafka topic.
//
// Within its group it gets what no other subscription of the topic takes: every type
// without an On or OnBatch, and tombstones unless there is an OnDelete. To see every event,
// give it a [Group] of its own. No type is then unknown to the group, so DeadLetterUnknown
// and FailUnknown have no effect. A record that is not an event still goes to the
// dead-letter topic.
//
// The envelope is valid until the handler returns; [Envelope.Clone] what must live longer.
// [Topic.Decode] decodes the data of known types.
func OnAny(topic AnyTopic, handler func(context.Context, *Envelope) error, options ...SubscribeOption) Subscription {
	return newAny(topic, handler == nil, single, options, func(ctx context.Context, d *Delivery) error {
		return settled(ctx, handler(ctx, d.Events[0]))
	})
}

// OnAnyBatch is OnAny for up to BatchSize events at a time, as with OnBatch.
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

// Subscribe adds On(topic, handler, options...) to the bus.
func Subscribe[T any](bus *Bus, topic *Topic[T], handler func(context.Context, T) error, options ...SubscribeOption) error {
	if bus == nil {
		return &Error{Op: "subscribe", Err: errors.New("the bus is nil")}
	}
	return bus.Add(On(topic, handler, options...))
}

// Upcast turns a handler of new events into a handler of old ones: On(v1, Upcast(convert,
// handleV2)). An event that can't be converted is dead-lettered.
func Upcast[Old, New any](convert func(Old) (New, error), handler func(context.Context, New) error) func(context.Context, Old) error {
	if convert == nil || handler == nil {
		return nil // which On refuses
	}
	return func(ctx context.Context, old Old) error {
		event, err := convert(old)
		if err != nil {
			return Permanent(fmt.Errorf("upcast: %w", err))
		}
		return handler(ctx, event)
	}
}

// UpcastBatch is Upcast for OnBatch. Events that can't be converted are dead-lettered alone;
// the handler gets the others.
func UpcastBatch[Old, New any](convert func(Old) (New, error), handler func(context.Context, []New) error) func(context.Context, []Old) error {
	if convert == nil || handler == nil {
		return nil // which OnBatch refuses
	}
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

// newSubscriptionOf returns the subscription of a declaration, nil if the topic was nil.
func newSubscriptionOf(d *declare.Topic, of string, handlerless bool, k kind, options []SubscribeOption, handle Handler) Subscription {
	s := &subscription{decl: d, kind: k, options: options, handle: func(ctx context.Context, d *Delivery) error {
		s := scopeFrom(ctx)
		if s != nil && s.delivery != d { // a middleware has replaced the delivery
			defer s.passOn(d)()
		}
		err := handle(ctx, d)
		if err != nil && k == batched && s != nil && !slices.EqualFunc(d.Events, s.delivery.all, sameEvent) && errtree.Contains[*BatchError](err) {
			err = errors.Join(err, errOtherEvents)
		}
		return err
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

// sameEvent reports whether an envelope that a middleware has passed on is the bus's, or a copy
// of it.
func sameEvent(passed, own *Envelope) bool {
	return passed == own || passed != nil && passed.Topic == own.Topic && passed.Partition == own.Partition && passed.Offset == own.Offset &&
		passed.Source == own.Source && passed.ID == own.ID
}

// errOtherEvents joins an error that marks events by their indexes in what a middleware has
// passed on: in the batch they are those of other events.
var errOtherEvents = errors.New("the whole batch fails: a middleware has passed on other events than it got, or in another order, so the indexes of a BatchError are not those of the batch")

// undecodable marks an error that no retry can change, unless the codec has marked it
// Unavailable.
func undecodable(err error) error {
	if isUnavailable(err) {
		return err
	}
	return &undecodableError{err, letter.ReasonUndecodable}
}

// Handle makes one attempt, as the bus would: it decodes the events, runs the subscription's
// own middleware, and catches panics. It is for tests and tools. A subscription of single
// events takes one envelope.
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
	if err = errors.Join(append(settings.faults, err)...); err != nil {
		return &Error{Op: "handle", Topic: events[0].Topic, Err: err}
	}
	d := &Delivery{Topic: events[0].Topic, Group: settings.group, Attempt: 1, Events: events, all: slices.Clone(events), batch: s.s.kind == batched, derive: settings.derive}
	return call(newScope(ctx, d, nil), handler)
}

// call calls a handler once, then waits for the events that it published asynchronously. If
// one of them fails, so does the attempt: acknowledging the handled event would lose the
// other.
func call(s *scope, h Handler) (err error) {
	defer rescue(&err, "handler")
	return s.settle(h(s, s.delivery))
}

// String returns the subscription's topic and type.
func (s Subscription) String() string {
	if s.s == nil || s.s.decl == nil {
		return "no subscription"
	}
	return s.s.name()
}

// name returns the subscription's name in logs, metrics and an operator's orders. It must
// not change across restarts.
func (s *subscription) name() string {
	switch {
	case s.any:
		return s.decl.Suffix + " any"
	case s.kind == tombstones:
		return s.decl.Suffix + " tombstones"
	}
	return s.decl.Suffix + " " + s.decl.Typ
}

// sharedSettings are the settings that a topic has once per group, whichever subscription
// sets them: its subscriptions read one log in one order.
type sharedSettings struct {
	order   agreed[Order]
	start   agreed[StartPosition]
	unknown agreed[UnknownType]
	beyond  agreed[OutOfRange]
	dead    agreed[string] // DeadLetterTopic, before marks are replaced
	retry   agreed[string] // RetryTopic, likewise
}

// agreed is a setting that all subscriptions of one topic and group must agree on.
type agreed[V comparable] struct {
	value V
	// by names the subscription that set it, empty if none did.
	by string
}

// set records the value that a subscription sets; nil means not set. The error names both
// subscriptions that differ.
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
