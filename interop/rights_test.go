//go:build integration

package interop

import (
	"context"
	"errors"
	"testing"

	"github.com/eventbus-go/eventbus"
	letters "github.com/eventbus-go/eventbus/internal/letter"
	"github.com/eventbus-go/eventbus/internal/naming"
	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/secret"
	"github.com/eventbus-go/eventbus/transport"
)

// testRights: bob has only the rights that the guide lists for a service that
// publishes and handles a topic. The service starts with topics that others created,
// publishes, handles, writes a dead letter, and gets it back.
func testRights(t *testing.T, broker *secured, known kafka.TLSFiles) {
	const group = "rights-granted"
	source := customers.In("granted")
	dead, retry := source+"."+group+naming.DeadSuffix, source+"."+group+naming.RetrySuffix
	admin := kafka.New(kafka.Config{Brokers: []string{broker.at("PLAINTEXT")}})
	defer func() { _ = admin.Close(context.Background()) }()
	for _, topic := range []string{source, dead, retry} {
		if err := admin.Admin().CreateTopics(deadline(t), transport.TopicSpec{Name: topic, Partitions: 1}); err != nil {
			t.Fatal(err)
		}
	}
	config := kafka.Config{
		Brokers: []string{broker.at("PASSWORD")}, TLSFiles: known,
		SASL: kafka.SASL{Mechanism: "PLAIN", Username: "bob", Password: secret.Text("pass-bob")},
	}
	again := make(chan string, 10)
	serve := func() (*eventbus.Bus, error) {
		bus, err := eventbus.New(kafka.New(config), eventbus.Config{Service: "rights", Environment: "granted", Source: "urn:interop", AutoProvision: eventbus.ProvisionNever})
		if err != nil {
			t.Fatal(err)
		}
		err = eventbus.Subscribe(bus, customers, func(ctx context.Context, e CustomerCreated) error {
			if envelope, _ := eventbus.EnvelopeFrom(ctx); e.Name == "bad" && envelope.Redeliveries == 0 {
				return eventbus.Permanent(errors.New("refused the first time"))
			}
			again <- e.Name
			return nil
		})
		return bus, errors.Join(err, bus.Start(deadline(t)))
	}

	// Without any rights Start fails at once with an error that names the topic.
	bus, err := serve()
	denied(t, "starting without rights", err, source)
	_ = bus.Close(context.Background())

	broker.allow("bob", "Write", "--topic", source)
	broker.allow("bob", "Read", "--topic", source)
	broker.allow("bob", "Read", "--group", group)
	broker.allow("bob", "Write", "--topic", dead)
	broker.allow("bob", "Read", "--topic", retry)

	// The doctor's questions to brokers return what the ACLs allow.
	bob := kafka.New(config)
	defer func() { _ = bob.Close(context.Background()) }()
	rights, err := kafka.NewAdmin(bob).TopicRights(deadline(t), source, dead, retry)
	if err != nil {
		t.Fatal(err)
	}
	for topic, want := range map[string][2]bool{source: {true, true}, dead: {false, true}, retry: {true, false}} {
		if r := rights[topic]; !r.Known || r.Allow(kafka.OperationRead) != want[0] || r.Allow(kafka.OperationWrite) != want[1] {
			t.Errorf("%s: read %t, write %t, known %t; want %v", topic, r.Allow(kafka.OperationRead), r.Allow(kafka.OperationWrite), r.Known, want)
		}
	}
	// A group may be described before it exists.
	if r, err := kafka.NewAdmin(bob).GroupRights(deadline(t), group); err != nil || r.Known && !r.Allow(kafka.OperationRead) {
		t.Errorf("group %s: %+v, %v", group, r, err)
	}

	if bus, err = serve(); err != nil {
		t.Fatalf("with the guide's rights: %v", err)
	}
	defer func() {
		if err := bus.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	events := []CustomerCreated{{CustomerID: "c-1", Name: "good"}, {CustomerID: "c-2", Name: "bad"}}
	if err := eventbus.NewPublisher(bus, customers).PublishBatch(deadline(t), events); err != nil {
		t.Fatal(err)
	}
	if got := <-again; got != "good" {
		t.Fatalf("%s was handled first", got)
	}
	reader, err := admin.NewReader(transport.ReaderConfig{From: map[transport.Partition]int64{{Topic: dead}: 0}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = reader.Close(context.Background()) }()
	batches, err := reader.Poll(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	died, err := letters.Read(&batches[0].Records[0])
	if err != nil || died.Reason != letters.ReasonPermanent {
		t.Fatalf("the letter is %+v, %v", died, err)
	}
	back := died.Again()
	producer, err := admin.NewProducer(transport.ProducerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	done := make(produced, 1)
	if err := errors.Join(producer.Produce(deadline(t), &back, done), producer.Close(deadline(t))); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got := <-again; got != "bad" {
		t.Errorf("%s came back", got)
	}
}

// produced receives the outcome of a record.
type produced chan error

// Done implements transport.Completion.
func (p produced) Done(_ transport.Position, err error) { p <- err }
