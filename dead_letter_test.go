package eventbus_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/transport"
	"github.com/eventbus-go/eventbus/transport/memory"
)

// written is a Completion that keeps the outcome.
type written chan error

func (w written) Done(_ transport.Position, err error) { w <- err }

// write writes a record as another service does.
func write(t *testing.T, cluster *memory.Cluster, r *transport.Record) {
	t.Helper()
	p, err := cluster.NewProducer(transport.ProducerConfig{BatchBytes: 8 << 20})
	must(t, err)
	done := make(written, 1)
	must(t, p.Produce(t.Context(), r, done))
	must(t, <-done)
	must(t, p.Close(t.Context()))
}

// TestDeadLetterLargerThanPublished: the bound on what this bus publishes does not
// apply to dead letters. Otherwise another service's large record would block its
// key, and then its partition, when it fails.
func TestDeadLetterLargerThanPublished(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		c := config()
		c.Producer.BatchBytes, c.Producer.BufferBytes = 2000, 4000
		bus, topic := newBus(t, cluster, c), orders(t)
		must(t, eventbus.Subscribe(bus, topic, func(context.Context, order) error {
			return eventbus.Permanent(errors.New("no such customer"))
		}))
		start(t, bus)
		value := `{"ID":"` + strings.Repeat("x", 500_000) + `"}`
		write(t, cluster, &transport.Record{Topic: ordersName, Partition: 1, Key: []byte("k"), Value: []byte(value), Headers: []transport.Header{
			{Key: "ce_specversion", Value: []byte("1.0")}, {Key: "ce_id", Value: []byte("1")}, {Key: "ce_source", Value: []byte("urn:other")},
			{Key: "ce_type", Value: []byte("order")}, {Key: "content-type", Value: []byte("application/json")},
		}})
		pass(time.Minute)
		if dead := cluster.Records(orderLetters); len(dead) != 1 || len(dead[0].Value) != len(value) {
			t.Errorf("%d dead letters", len(dead))
		}
		closeBus(t, bus)
	})
}

// TestDeadLetterOfExcess: a record that was too large to be read as a whole is never
// handled, even if the part that was read looks like an event.
func TestDeadLetterOfExcess(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		bus, topic := newBus(t, cluster, config()), orders(t)
		handled := 0
		must(t, eventbus.Subscribe(bus, topic, func(context.Context, order) error {
			handled++
			return nil
		}))
		start(t, bus)
		must(t, eventbus.NewPublisher(bus, topic).Publish(t.Context(), order{"a", 1}))
		pass(time.Second)
		r := cluster.Records(ordersName)[0]
		r.Excess = &transport.Excess{Bytes: 132_000_000, Headers: 66_000_000}
		write(t, cluster, &r)
		lost := r
		lost.Value, lost.Excess = []byte{}, &transport.Excess{Bytes: 1 << 30, Headers: -1, Value: true}
		write(t, cluster, &lost)
		pass(time.Minute)
		dead := cluster.Records(orderLetters)
		if handled != 1 || len(dead) != 2 {
			t.Fatalf("%d handled, %d dead letters", handled, len(dead))
		}
		for header, want := range map[string][2]string{
			"eventbus-dlq-reason":       {"malformed", "malformed"},
			"eventbus-dlq-header-count": {"66000000", ""},
			"eventbus-dlq-bytes":        {"132000000", "1073741824"},
			"eventbus-dlq-missing":      {"", "value"},
		} {
			for i := range dead {
				if got, _ := dead[i].Header(header); string(got) != want[i] {
					t.Errorf("letter %d: %s is %q, want %q", i, header, got, want[i])
				}
			}
		}
		if string(dead[0].Key) != "a" || string(dead[0].Value) != string(r.Value) || len(dead[0].Headers) < len(r.Headers) {
			t.Errorf("letter %+v", dead[0])
		}
		closeBus(t, bus)
	})
}
