package eventbus

import (
	"context"
	"errors"
	"fmt"

	"github.com/eventbus-go/eventbus/internal/declare"
)

// Subscription binds a handler to a topic. Here T ends: past this file the bus
// knows envelopes and handlers only. It is made by On, OnBatch and OnDelete, does
// nothing until it is given to Bus.Add, and belongs to one bus.
type Subscription struct{ s *subscription }

type subscription struct {
	decl    *declare.Topic
	kind    kind
	options []SubscribeOption
	handle  Handler // decodes, and calls the typed handler
}

// kind of events that a subscription handles.
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
	return newSubscription(topic.Declaration(), single, options, func(ctx context.Context, d *Delivery) error {
		event, err := topic.decode(ctx, d.Events[0])
		if err != nil {
			return undecodable(err)
		}
		return handler(ctx, event)
	})
}

// OnBatch subscribes a handler to the events of a topic, up to BatchSize of one
// partition at a time, in log order per key. All their keys wait for it.
//
// A nil error means that all are handled. A *BatchError marks the failed ones by
// index; any other error means all failed, and they are handled one by one from
// then on, so that one poisonous event does not spoil the rest.
func OnBatch[T any](topic *Topic[T], handler func(context.Context, []T) error, options ...SubscribeOption) Subscription {
	return newSubscription(topic.Declaration(), batched, options, func(ctx context.Context, d *Delivery) error {
		events := make([]T, 0, len(d.Events))
		at := make([]int, 0, len(d.Events)) // index in d.Events
		failed := make(map[int]error)
		for i, e := range d.Events {
			event, err := topic.decode(ctx, e)
			if err != nil {
				failed[i] = undecodable(err)
				continue
			}
			events, at = append(events, event), append(at, i)
		}
		if len(events) > 0 {
			if err := spread(handler(ctx, events), at, failed); err != nil {
				return err
			}
		}
		switch {
		case len(failed) == 0:
			return nil
		case len(d.Events) == 1:
			return failed[0]
		}
		return &BatchError{Errors: failed}
	})
}

// OnDelete subscribes a handler to the tombstones of a topic: records with a key
// and no value. They belong to the topic's name, so there is one OnDelete for all
// the types on it. It keeps the key's order together with On.
func OnDelete[T any](topic *Topic[T], handler func(ctx context.Context, key string) error, options ...SubscribeOption) Subscription {
	return newSubscription(topic.Declaration(), tombstones, options, func(ctx context.Context, d *Delivery) error {
		return handler(ctx, string(d.Events[0].Key))
	})
}

// Subscribe is bus.Add of On.
func Subscribe[T any](bus *Bus, topic *Topic[T], handler func(context.Context, T) error, options ...SubscribeOption) error {
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

func newSubscription(decl *declare.Topic, k kind, options []SubscribeOption, handle Handler) Subscription {
	return Subscription{&subscription{decl: decl, kind: k, options: options, handle: handle}}
}

// undecodable marks what no attempt can mend; what a codec calls unavailable may
// pass.
func undecodable(err error) error {
	if isUnavailable(err) {
		return err
	}
	return &undecodableError{err}
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
	settings := newSubscribeSettings(s.s.options...)
	d := &Delivery{Topic: events[0].Topic, Group: settings.group, Attempt: 1, Events: events}
	return attempt(newScope(ctx, d), chain(s.s.handle, settings.middleware...))
}

// attempt runs a handler once. What it published without waiting is a part of it.
func attempt(s *scope, h Handler) (err error) {
	defer rescue(&err)
	if err := h(s, s.delivery); err != nil {
		return err
	}
	return s.settle()
}

// String names the subscription: what it handles.
func (s Subscription) String() string {
	if s.s == nil {
		return "no subscription"
	}
	return s.s.name()
}

func (s *subscription) name() string {
	if s.kind == tombstones {
		return s.decl.Suffix + " tombstones"
	}
	return s.decl.Suffix + " " + s.decl.Typ
}
