package eventbus_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/kafkatest"
	"github.com/eventbus-go/eventbus/transport/memory"
)

type (
	parcelSent struct {
		ID string `json:"id" eventbus:"key"`
	}
	parcelLost struct {
		ID string `json:"id" eventbus:"key"`
	}
)

var (
	parcelSentTopic = eventbus.NewTopic(eventbus.TopicConfig[parcelSent]{Domain: "mail", Name: "parcel", Plural: true})
	parcelLostTopic = eventbus.NewTopic(eventbus.TopicConfig[*parcelLost]{Domain: "mail", Name: "parcel", Plural: true})
	parcelTopics    = []eventbus.AnyTopic{parcelSentTopic, parcelLostTopic}
)

// TestByType: an event goes to the topic of its Go type, even if it is published by
// a pointer or as an interface, and reaches the handler of that type.
func TestByType(t *testing.T) {
	c := kafkatest.NewMemory(t)
	bus := c.Bus(t, func(c *eventbus.Config) { c.Topics = parcelTopics })
	var sent, lost []string
	if err := bus.Add(
		eventbus.Handle(func(_ context.Context, e parcelSent) error { sent = append(sent, e.ID); return nil }),
		eventbus.Handle(func(_ context.Context, e *parcelLost) error { lost = append(lost, e.ID); return nil }),
	); err != nil {
		t.Fatal(err)
	}
	if err := bus.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, event := range []any{parcelSent{"1"}, &parcelSent{"1"}, &parcelLost{"1"}} {
		if err := eventbus.Publish(t.Context(), bus, event, eventbus.WithSubject("s")); err != nil {
			t.Fatal(err)
		}
	}
	c.Settle(t)
	if len(sent) != 2 || len(lost) != 1 {
		t.Errorf("%d were sent, %d lost", len(sent), len(lost))
	}
	kafkatest.Published(t, c, parcelSentTopic, parcelSent{"1"}, parcelSent{"1"})
}

// TestByTypeRefuses: a type without exactly one topic is an error that names the
// type and the topics, at the start if it is known then.
func TestByTypeRefuses(t *testing.T) {
	again := eventbus.NewTopic(eventbus.TopicConfig[parcelSent]{Domain: "mail", Name: "letter", Type: "LetterSent"})
	_, err := eventbus.New(memory.New(), eventbus.Config{Service: "post", Environment: "Test", Topics: append(parcelTopics[:2:2], again, nil)})
	for _, want := range []string{"eventbus_test.parcelSent is in Topics twice", "mail.public.parcels.v1 parcelSent", "mail.public.letter.v1 LetterSent", "topic 4 of Topics is nil"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("two topics of one type: want %q in %v", want, err)
		}
	}
	bus := kafkatest.NewMemory(t).Bus(t, func(c *eventbus.Config) { c.Topics = append(parcelTopics, parcelSentTopic) })
	var stray struct{ ID string }
	for want, err := range map[string]error{
		"no topic of Config.Topics declares struct": eventbus.Publish(t.Context(), bus, stray),
		"the event is nil":                          eventbus.Publish(t.Context(), bus, nil),
		"the bus is nil":                            eventbus.Publish(t.Context(), nil, stray),
		"it has *eventbus_test.parcelLost":          eventbus.Publish(t.Context(), bus, parcelLost{}),
		"a handler: no topic of Config.Topics declares eventbus_test.parcelLost": bus.Add(eventbus.Handle(func(context.Context, parcelLost) error { return nil })),
		"use On":                eventbus.Handle(func(context.Context, parcelSent) error { return nil }).Handle(t.Context(), new(eventbus.Envelope)),
		"nil pointer":           eventbus.Publish(t.Context(), bus, (*parcelLost)(nil)),
		"no handler: it is nil": bus.Add(eventbus.Handle[parcelSent](nil)),
	} {
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "eventbus: ") {
			t.Errorf("want %q in %v", want, err)
		}
	}
	without := kafkatest.NewMemory(t).Bus(t)
	if err := eventbus.Publish(t.Context(), without, parcelSent{"1"}); err == nil || !strings.Contains(err.Error(), "set Config.Topics") {
		t.Errorf("without topics: %v", err)
	}
	if err := eventbus.Publish(t.Context(), bus, &parcelSent{"1"}, eventbus.WithID("")); errors.Is(err, eventbus.ErrClosed) || err == nil {
		t.Errorf("a wrong option: %v", err)
	}
}
