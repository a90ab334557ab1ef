package eventbus_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/resilience"
	"github.com/eventbus-go/eventbus/transport/memory"
)

// A contracts package declares events and their topics.

type CustomerCreated struct {
	CustomerID string    `json:"customerId"`
	Name       string    `json:"name"`
	CreatedAt  time.Time `json:"createdAt,omitzero"`
}

var CustomerCreatedTopic = eventbus.NewTopic(eventbus.TopicConfig[CustomerCreated]{
	Domain: "sales",
	Name:   "customer",
	Plural: true,
	Key:    func(e CustomerCreated) string { return e.CustomerID },
})

// CustomerRenamed goes to the same Kafka topic: all of a customer's life, in order.
type CustomerRenamed struct {
	CustomerID string `json:"customerId" eventbus:"key"`
	Name       string `json:"name"`
}

var CustomerRenamedTopic = eventbus.NewTopic(eventbus.TopicConfig[CustomerRenamed]{
	Domain: "sales", Name: "customer", Plural: true,
})

func exampleBus() (*eventbus.Bus, *memory.Cluster) {
	cluster := memory.New()
	bus, err := eventbus.New(cluster, eventbus.Config{
		Service: "sales-api", Environment: "Development", Source: "urn:momentum:sales-api",
		Handling: []eventbus.SubscribeOption{eventbus.Retry(resilience.Retry{Attempts: 3, Initial: time.Microsecond})},
		Logger:   slog.New(slog.DiscardHandler),
	})
	if err != nil {
		panic(err)
	}
	return bus, cluster
}

// stop ends an example's bus.
func stop(bus *eventbus.Bus) {
	if err := bus.Close(context.Background()); err != nil {
		fmt.Println(err)
	}
}

func Example() {
	ctx := context.Background()
	bus, _ := exampleBus() // eventbus.New(kafka.New(kafka.Config{Brokers: …}), …) in a service
	defer stop(bus)

	done := make(chan struct{})
	err := eventbus.Subscribe(bus, CustomerCreatedTopic, func(_ context.Context, e CustomerCreated) error {
		fmt.Println("welcome,", e.Name)
		close(done)
		return nil
	})
	if err == nil {
		err = bus.Start(ctx)
	}
	if err == nil {
		created := eventbus.NewPublisher(bus, CustomerCreatedTopic)
		err = created.Publish(ctx, CustomerCreated{CustomerID: "c-1", Name: "Ada"})
	}
	if err != nil {
		fmt.Println(err)
		return
	}
	<-done
	// Output: welcome, Ada
}

func ExampleNewTopic() {
	payments := eventbus.NewTopic(eventbus.TopicConfig[struct{ OrderID string }]{
		Domain:  "ecommerce",
		Name:    "order-payment",
		Plural:  true,
		Version: "v2",
		Type:    "PaymentProcessed",
		Key:     func(e struct{ OrderID string }) string { return e.OrderID },
	})
	fmt.Println(CustomerCreatedTopic.In("Development"))
	fmt.Println(payments.In("Production"), payments.Type())
	// Output:
	// dev.sales.public.customers.v1
	// prod.ecommerce.public.order-payments.v2 PaymentProcessed
}

func ExampleTopic_KeyOf() {
	type Line struct {
		Order string `eventbus:"key=1"`
		Item  int    `eventbus:"key=2"`
	}
	lines := eventbus.NewTopic(eventbus.TopicConfig[Line]{Domain: "sales", Name: "line"})
	fmt.Println(lines.KeyOf(Line{"a|b", 7}))
	// Output: a\|b|7 true
}

func ExampleTopic_Encode() {
	e, err := CustomerCreatedTopic.Encode(CustomerCreated{CustomerID: "c-1", Name: "Ada"}, eventbus.WithID("e-1"), eventbus.WithSubject("c-1"))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(e.Type, e.ID, e.Subject, string(e.Key))
	fmt.Println(e.DataContentType, string(e.Data))
	// Output:
	// CustomerCreated e-1 c-1 c-1
	// application/json {"customerId":"c-1","name":"Ada"}
}

func ExamplePublisher_PublishAsync() {
	ctx := context.Background()
	bus, _ := exampleBus()
	defer stop(bus)
	created := eventbus.NewPublisher(bus, CustomerCreatedTopic)

	receipt := created.PublishAsync(ctx, CustomerCreated{CustomerID: "c-1", Name: "Ada"})
	position, err := receipt.Wait(ctx)
	fmt.Println(position.Topic, position.Offset, err)
	// Output: dev.sales.public.customers.v1 0 <nil>
}

func ExamplePublisher_PublishBatch() {
	ctx := context.Background()
	cluster := memory.New()
	bus, err := eventbus.New(cluster, eventbus.Config{Service: "sales-api", Environment: "Test", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer stop(bus)
	topic := eventbus.NewTopic(eventbus.TopicConfig[map[string]any]{Domain: "sales", Name: "note", Type: "NoteTaken"})

	err = eventbus.NewPublisher(bus, topic).PublishBatch(ctx, []map[string]any{
		{"text": "fine"},
		{"text": func() {}},
	})
	if failed, ok := errors.AsType[*eventbus.PublishBatchError](err); ok {
		fmt.Println(len(failed.Errors), "failed, at index 1:", errors.Is(failed.Errors[1], eventbus.ErrSerialization))
	}
	// Output: 1 failed, at index 1: true
}

func ExampleOn() {
	ctx := context.Background()
	bus, _ := exampleBus()
	defer stop(bus)
	done := make(chan struct{})
	// Two types on one Kafka topic, and the deletion of a key: one customer's
	// events come in order, whatever their type.
	err := bus.Add(
		eventbus.On(CustomerCreatedTopic, func(_ context.Context, e CustomerCreated) error {
			fmt.Println("created", e.Name)
			return nil
		}),
		eventbus.On(CustomerRenamedTopic, func(_ context.Context, e CustomerRenamed) error {
			fmt.Println("renamed", e.Name)
			return nil
		}),
		eventbus.OnDelete(CustomerCreatedTopic, func(_ context.Context, key string) error {
			fmt.Println("deleted", key)
			close(done)
			return nil
		}),
	)
	if err == nil {
		err = bus.Start(ctx)
	}
	if err != nil {
		fmt.Println(err)
		return
	}
	_ = eventbus.NewPublisher(bus, CustomerCreatedTopic).Publish(ctx, CustomerCreated{CustomerID: "c-1", Name: "Ada"})
	_ = eventbus.NewPublisher(bus, CustomerRenamedTopic).Publish(ctx, CustomerRenamed{CustomerID: "c-1", Name: "Countess"})
	_ = eventbus.NewPublisher(bus, CustomerCreatedTopic).Delete(ctx, "c-1")
	<-done
	// Output:
	// created Ada
	// renamed Countess
	// deleted c-1
}

func ExampleOnBatch() {
	ctx := context.Background()
	bus, _ := exampleBus()
	defer stop(bus)
	done := make(chan struct{})
	err := bus.Add(eventbus.OnBatch(CustomerCreatedTopic, func(_ context.Context, batch []CustomerCreated) error {
		failed := make(map[int]error)
		for i, customer := range batch {
			if customer.Name == "" {
				failed[i] = eventbus.Permanent(errors.New("no name"))
			}
		}
		fmt.Println("stored", len(batch)-len(failed), "of", len(batch))
		close(done)
		if len(failed) > 0 {
			return &eventbus.BatchError{Errors: failed} // all others are handled
		}
		return nil
	}))
	created := eventbus.NewPublisher(bus, CustomerCreatedTopic)
	if err == nil {
		err = created.PublishBatch(ctx, []CustomerCreated{{CustomerID: "c-1", Name: "Ada"}, {CustomerID: "c-1"}, {CustomerID: "c-1", Name: "Countess"}})
	}
	if err == nil {
		err = bus.Start(ctx)
	}
	if err != nil {
		fmt.Println(err)
		return
	}
	<-done
	// Output: stored 2 of 3
}

func ExampleUpcast() {
	type CustomerCreatedV2 struct{ ID, FirstName string }
	welcome := func(_ context.Context, e CustomerCreatedV2) error {
		fmt.Println("welcome,", e.FirstName)
		return nil
	}
	toV2 := func(e CustomerCreated) (CustomerCreatedV2, error) {
		return CustomerCreatedV2{ID: e.CustomerID, FirstName: e.Name}, nil
	}
	subscription := eventbus.On(CustomerCreatedTopic, eventbus.Upcast(toV2, welcome))

	old, _ := CustomerCreatedTopic.Encode(CustomerCreated{CustomerID: "c-1", Name: "Ada"})
	fmt.Println(subscription.Handle(context.Background(), old))
	// Output:
	// welcome, Ada
	// <nil>
}

func ExampleSubscription_Handle() {
	// A handler is a function: a test needs neither bus nor broker.
	subscription := eventbus.On(CustomerCreatedTopic, func(_ context.Context, e CustomerCreated) error {
		if e.Name == "" {
			return eventbus.Permanent(errors.New("a customer without a name"))
		}
		return nil
	})
	nameless, _ := CustomerCreatedTopic.Encode(CustomerCreated{CustomerID: "c-1"})
	fmt.Println(subscription.Handle(context.Background(), nameless))
	// Output: a customer without a name
}

func ExamplePermanent() {
	ctx := context.Background()
	bus, cluster := exampleBus()
	err := eventbus.Subscribe(bus, CustomerCreatedTopic, func(context.Context, CustomerCreated) error {
		return eventbus.Permanent(errors.New("no such country"))
	})
	if err == nil {
		err = bus.Start(ctx)
	}
	if err == nil {
		err = eventbus.NewPublisher(bus, CustomerCreatedTopic).Publish(ctx, CustomerCreated{CustomerID: "c-1"})
	}
	if err != nil {
		fmt.Println(err)
		return
	}
	letters := CustomerCreatedTopic.In("Development") + ".sales-api-dev.dlq"
	for {
		changed := cluster.Changed()
		if len(cluster.Records(letters)) > 0 {
			break
		}
		<-changed
	}
	stop(bus)
	letter := cluster.Records(letters)[0]
	reason, _ := letter.Header("eventbus-dlq-reason")
	text, _ := letter.Header("eventbus-dlq-error")
	fmt.Printf("%s: %s: %s\n", reason, text, letter.Key)
	// Output: permanent: no such country: c-1
}

func ExampleBus_Use() {
	ctx := context.Background()
	bus, _ := exampleBus()
	defer stop(bus)
	err := bus.Use(func(next eventbus.Handler) eventbus.Handler {
		return func(ctx context.Context, d *eventbus.Delivery) error {
			fmt.Println("before", d.Events[0].Type)
			return next(ctx, d)
		}
	})
	done := make(chan struct{})
	if err == nil {
		err = eventbus.Subscribe(bus, CustomerCreatedTopic, func(context.Context, CustomerCreated) error {
			close(done)
			return nil
		})
	}
	if err == nil {
		err = bus.Start(ctx)
	}
	if err == nil {
		err = eventbus.NewPublisher(bus, CustomerCreatedTopic).Publish(ctx, CustomerCreated{CustomerID: "c-1"})
	}
	if err != nil {
		fmt.Println(err)
		return
	}
	<-done
	// Output: before CustomerCreated
}

func ExampleEnvelopeFrom() {
	ctx := context.Background()
	bus, _ := exampleBus()
	defer stop(bus)
	done := make(chan struct{})
	err := eventbus.Subscribe(bus, CustomerCreatedTopic, func(ctx context.Context, _ CustomerCreated) error {
		e, _ := eventbus.EnvelopeFrom(ctx)
		fmt.Println(e.ID, e.Source, e.Extensions["tenant"])
		close(done)
		return nil
	})
	if err == nil {
		err = bus.Start(ctx)
	}
	if err == nil {
		err = eventbus.NewPublisher(bus, CustomerCreatedTopic).PublishWith(ctx, CustomerCreated{CustomerID: "c-1"}, eventbus.WithID("e-1"), eventbus.WithExtension("tenant", "acme"))
	}
	if err != nil {
		fmt.Println(err)
		return
	}
	<-done
	// Output: e-1 urn:momentum:sales-api acme
}

// A new group starts at a moment, instead of reading years of events.
func ExampleAt() {
	ctx := context.Background()
	bus, cluster := exampleBus()
	defer stop(bus)
	created := eventbus.NewPublisher(bus, CustomerCreatedTopic)
	err := created.Publish(ctx, CustomerCreated{CustomerID: "c-1", Name: "Ada"})
	if err != nil {
		fmt.Println(err)
		return
	}
	opened := cluster.Records(CustomerCreatedTopic.In("Development"))[0].Time.Add(time.Millisecond)
	<-time.After(time.Until(opened))

	done := make(chan struct{})
	err = eventbus.Subscribe(bus, CustomerCreatedTopic, func(_ context.Context, e CustomerCreated) error {
		fmt.Println("welcome,", e.Name)
		close(done)
		return nil
	}, eventbus.StartAt(eventbus.At(opened)))
	if err == nil {
		err = created.Publish(ctx, CustomerCreated{CustomerID: "c-1", Name: "Grace"})
	}
	if err == nil {
		err = bus.Start(ctx)
	}
	if err != nil {
		fmt.Println(err)
		return
	}
	<-done
	// Output: welcome, Grace
}

// The policy applies to all of a group's subscriptions to one Kafka topic, so
// different ones are refused.
func ExampleWhenOutOfRange() {
	bus, _ := exampleBus()
	defer stop(bus)
	err := bus.Add(
		eventbus.On(CustomerCreatedTopic, func(context.Context, CustomerCreated) error { return nil }, eventbus.WhenOutOfRange(eventbus.FailOutOfRange)),
		eventbus.On(CustomerRenamedTopic, func(context.Context, CustomerRenamed) error { return nil }, eventbus.WhenOutOfRange(eventbus.ToLatest)),
	)
	_, advice, _ := strings.Cut(err.Error(), "CustomerRenamed: ")
	fmt.Println(advice)
	// Output: it holds for topic and group together, use one value, or another Group
}
