package eventbus_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/kafkatest"
	"github.com/eventbus-go/eventbus/transport"
	"github.com/eventbus-go/eventbus/transport/memory"
)

type stored struct {
	ID string `json:"id"`
	N  int    `json:"n"`
}

var storedTopic = eventbus.NewTopic(eventbus.TopicConfig[stored]{Domain: "sales", Name: "stored", Key: func(s stored) string { return s.ID }})

// TestEnvelopeIsPublishedLater does what an outbox does: it creates the event now, and
// publishes it later, twice.
func TestEnvelopeIsPublishedLater(t *testing.T) {
	t.Parallel()
	bus := kafkatest.NewMemory(t).Bus(t)
	got := make(chan *eventbus.Envelope, 8)
	keep := func(ctx context.Context, _ stored) error {
		e, _ := eventbus.EnvelopeFrom(ctx)
		got <- e.Clone()
		return nil
	}
	deleted := func(ctx context.Context, key string) error {
		e, _ := eventbus.EnvelopeFrom(ctx)
		got <- e.Clone()
		return nil
	}
	if err := bus.Add(eventbus.On(storedTopic, keep), eventbus.OnDelete(storedTopic, deleted)); err != nil {
		t.Fatal(err)
	}
	if err := bus.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	publisher := eventbus.NewPublisher(bus, storedTopic)
	first, err := publisher.Envelope(t.Context(), stored{"a", 1}, eventbus.WithCorrelationID("c"), eventbus.WithHeader("x", "y"), eventbus.WithExtension("tenant", "eu"))
	if err != nil {
		t.Fatal(err)
	}
	second, err := publisher.DeleteEnvelope(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	if err := bus.PublishEnvelopes(t.Context(), []*eventbus.Envelope{first, second}); err != nil {
		t.Fatal(err)
	}
	if _, err := bus.PublishEnvelopeAsync(t.Context(), first).Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, want := range []*eventbus.Envelope{first, second, first} {
		e := <-got
		if e.ID != want.ID || e.Source != want.Source || !e.Time.Equal(want.Time) || string(e.Key) != "a" || e.Tombstone != want.Tombstone ||
			string(e.Data) != string(want.Data) || e.CorrelationID != want.CorrelationID || len(e.Headers) != len(want.Headers) || e.Extensions["tenant"] != want.Extensions["tenant"] {
			t.Errorf("event %d is %+v, want %+v", i, e, want)
		}
	}
}

func TestEnvelopesThatCannotBePublished(t *testing.T) {
	t.Parallel()
	bus := kafkatest.NewMemory(t).Bus(t)
	publisher := eventbus.NewPublisher(bus, storedTopic)
	good, err := publisher.Envelope(t.Context(), stored{"a", 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := bus.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	keyless := &eventbus.Envelope{ID: "1", Topic: good.Topic, Tombstone: true}
	err = bus.PublishEnvelopes(t.Context(), []*eventbus.Envelope{good, keyless})
	var failed *eventbus.PublishBatchError
	if !errors.As(err, &failed) || len(failed.Errors) != 1 || !strings.Contains(failed.Errors[1].Error(), "deletes nothing") {
		t.Errorf("a batch with a tombstone without key: %v", err)
	}
	if _, err := bus.PublishEnvelopeAsync(t.Context(), &eventbus.Envelope{ID: "2", Topic: "no topic"}).Wait(t.Context()); err == nil {
		t.Error("an invalid topic name was accepted")
	}
	if _, err := bus.NewTransactor(t.Context(), "relay"); err == nil || !strings.Contains(err.Error(), "no transactions") {
		t.Errorf("transactions in memory: %v", err)
	}
}

// TestTransactorFencesAnother publishes envelopes in transactions, and fences the Transactor
// with a second one of the same id.
func TestTransactorFencesAnother(t *testing.T) {
	t.Parallel()
	cluster := kafkatest.NewBroker(t)
	bus := cluster.Bus(t)
	publisher := eventbus.NewPublisher(bus, storedTopic)
	if err := publisher.Publish(t.Context(), stored{"a", 0}); err != nil { // makes the topic
		t.Fatal(err)
	}
	var envelopes []*eventbus.Envelope
	for n := range 100 {
		e, err := publisher.Envelope(t.Context(), stored{string(rune('a' + n%7)), n})
		if err != nil {
			t.Fatal(err)
		}
		envelopes = append(envelopes, e)
	}
	one, err := bus.NewTransactor(t.Context(), "relay")
	if err != nil {
		t.Fatal(err)
	}
	if err := one.Publish(t.Context(), envelopes[:50]); err != nil {
		t.Fatal(err)
	}
	two, err := bus.NewTransactor(t.Context(), "relay")
	if err != nil {
		t.Fatal(err)
	}
	if err := one.Publish(t.Context(), envelopes[50:]); !errors.Is(err, transport.ErrFenced) {
		t.Errorf("a fenced transactor: %v", err)
	}
	if err := two.Publish(t.Context(), envelopes[50:]); err != nil {
		t.Fatal(err)
	}
	if got := len(kafkatest.Published(t, cluster, storedTopic)); got < 101 {
		t.Errorf("%d events, want 101", got)
	}
}

// TestTransactorWithoutPartitions: a topic that is described without partitions is an error,
// and the next try finds them.
func TestTransactorWithoutPartitions(t *testing.T) {
	run(t, func(t *testing.T, memory *memory.Cluster) {
		var partitions int32
		bus, topic := newBus(t, emptyCluster{memory, &partitions}, config()), orders(t)
		defer closeBus(t, bus)
		e, err := eventbus.NewPublisher(bus, topic).Envelope(t.Context(), order{"k", 1})
		must(t, err)
		x, err := bus.NewTransactor(t.Context(), "relay")
		must(t, err)
		if err := x.Publish(t.Context(), []*eventbus.Envelope{e}); err == nil || !strings.Contains(err.Error(), "no partitions") {
			t.Errorf("%v, want an error that says so", err)
		}
		partitions = 3
		must(t, x.Publish(t.Context(), []*eventbus.Envelope{e}))
	})
}

// emptyCluster describes every topic with the given number of partitions, and has
// transactions.
type emptyCluster struct {
	transport.Transport
	partitions *int32
}

func (c emptyCluster) Admin() transport.Admin { return emptyAdmin{c.Transport.Admin(), c.partitions} }

func (emptyCluster) Transactor(context.Context, string, transport.ProducerConfig) (transport.Transactor, error) {
	return deafTransactor{}, nil
}

type emptyAdmin struct {
	transport.Admin
	partitions *int32
}

func (a emptyAdmin) Topics(_ context.Context, names ...string) (infos []transport.TopicInfo, err error) {
	for _, name := range names {
		infos = append(infos, transport.TopicInfo{Name: name, Partitions: *a.partitions})
	}
	return infos, nil
}

// deafTransactor accepts and drops everything.
type deafTransactor struct{}

func (deafTransactor) Produce(context.Context, ...transport.Record) error { return nil }

func (deafTransactor) Commit(context.Context) error { return nil }

func (deafTransactor) Abort(context.Context) error { return nil }

// TestDeliveryTimeout: the bus says how long what its producer has accepted may still be
// written, also where the configuration leaves it to the default.
func TestDeliveryTimeout(t *testing.T) {
	t.Parallel()
	for _, configured := range []time.Duration{0, 5 * time.Second} {
		var got time.Duration
		bus, err := eventbus.New(producing{memory.New(), &got}, eventbus.Config{Service: "s", Environment: "Test", Producer: transport.ProducerConfig{DeliveryTimeout: configured}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = bus.Close(context.Background()) })
		if bus.DeliveryTimeout() != got || got == 0 {
			t.Errorf("%v, and the producer has %v", bus.DeliveryTimeout(), got)
		}
	}
}

// producing is a transport that notes the DeliveryTimeout of its producers.
type producing struct {
	transport.Transport
	timeout *time.Duration
}

func (p producing) NewProducer(c transport.ProducerConfig) (transport.Producer, error) {
	*p.timeout = c.WithDefaults().DeliveryTimeout
	return p.Transport.NewProducer(c)
}
