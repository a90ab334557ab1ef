package momentum_test

import (
	"context"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/examples/migration/momentum"
	"github.com/eventbus-go/eventbus/kafkatest"
	"github.com/eventbus-go/eventbus/transport"
)

var ada = momentum.CustomerCreated{
	CustomerID: "123e4567-e89b-12d3-a456-426614174000", Name: "Ada", Email: "ada@example.com",
	CreatedAt: time.Date(2024, 1, 15, 10, 30, 0, 0, time.UTC),
}

// vector is ada as Momentum's mapper of CloudEvents writes her: ce_id, ce_type,
// ce_source, ce_time, ce_specversion and content-type beside ce_datacontenttype, the
// partition key as key, and System.Text.Json's camelCase.
var vector = transport.Record{
	Key:   []byte(ada.CustomerID),
	Value: []byte(`{"customerId":"123e4567-e89b-12d3-a456-426614174000","name":"Ada","email":"ada@example.com","createdAt":"2024-01-15T10:30:00Z"}`),
	Headers: []transport.Header{
		{Key: "ce_specversion", Value: []byte("1.0")},
		{Key: "ce_id", Value: []byte("550e8400-e29b-41d4-a716-446655440000")},
		{Key: "ce_type", Value: []byte("MyService.Contracts.IntegrationEvents.CustomerCreated")},
		{Key: "ce_source", Value: []byte("/sales/sales-api")},
		{Key: "ce_time", Value: []byte("2024-01-15T10:30:00.0000000+00:00")},
		{Key: "ce_datacontenttype", Value: []byte("application/json")},
		{Key: "content-type", Value: []byte("application/json")},
	},
	Partition: -1,
}

// TestBesideMomentum reads the vector, and writes what its readers look at.
func TestBesideMomentum(t *testing.T) {
	c := kafkatest.NewMemory(t)
	topic := momentum.CustomerCreatedTopic
	seen := make(chan *eventbus.Envelope, 1)
	welcome := func(ctx context.Context, _ momentum.CustomerCreated) error {
		e, _ := eventbus.EnvelopeFrom(ctx)
		select {
		case seen <- e.Clone():
		default:
		}
		return nil
	}
	bus := c.Start(t, eventbus.On(topic, welcome))
	r := vector
	r.Topic = topic.In(c.Environment())
	c.Produce(t, r)
	c.Settle(t)
	kafkatest.Handled(t, c, topic, ada)
	e := <-seen
	if e.ID != "550e8400-e29b-41d4-a716-446655440000" || e.Source != "/sales/sales-api" || !e.Time.Equal(ada.CreatedAt) {
		t.Errorf("the envelope is %v of %v", e, e.Time)
	}

	if err := eventbus.NewPublisher(bus, topic).Publish(t.Context(), ada); err != nil {
		t.Fatal(err)
	}
	records := c.Memory().Records(r.Topic)
	if len(records) != 2 {
		t.Fatalf("%d records, want 2", len(records))
	}
	ours := records[1] // of one key, so in one partition and in order
	if string(ours.Value) != string(vector.Value) || string(ours.Key) != string(vector.Key) || ours.Partition != records[0].Partition {
		t.Errorf("ours is %s with key %s in partition %d", ours.Value, ours.Key, ours.Partition)
	}
	for _, name := range []string{"ce_specversion", "ce_type", "content-type"} {
		want, _ := vector.Header(name)
		if got, ok := ours.Header(name); !ok || string(got) != string(want) {
			t.Errorf("ours has the header %s %q, want %q", name, got, want)
		}
	}
}

// TestNames compares the topic's names with those of the original.
func TestNames(t *testing.T) {
	for env, want := range map[string]string{
		"Development": "dev.sales.public.customers.v1", "Production": "prod.sales.public.customers.v1", "Test": "test.sales.public.customers.v1",
	} {
		if got := momentum.CustomerCreatedTopic.In(env); got != want {
			t.Errorf("in %s it is %s, want %s", env, got, want)
		}
	}
	if got := momentum.PlacedTopic.In("Production"); got != "shop-orders" {
		t.Errorf("the plain topic is %s", got)
	}
}

// TestServe runs the guide's service.
func TestServe(t *testing.T) {
	c := kafkatest.NewMemory(t)
	bus := c.Bus(t, func(config *eventbus.Config) {
		ours := momentum.Config()
		config.Service, config.Source = ours.Service, ours.Source
	})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	welcomed := make(chan string, 1)
	go func() {
		done <- momentum.Serve(ctx, bus, func(_ context.Context, e momentum.CustomerCreated) error {
			welcomed <- e.Name
			return nil
		})
	}()
	kafkatest.Publish(t, c, momentum.CustomerCreatedTopic, ada)
	if name := <-welcomed; name != "Ada" {
		t.Errorf("welcomed %s", name)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
