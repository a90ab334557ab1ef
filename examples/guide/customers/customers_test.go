package customers_test

import (
	"context"
	"testing"

	"github.com/eventbus-go/eventbus/examples/guide/customers"
	"github.com/eventbus-go/eventbus/kafkatest"
	"github.com/eventbus-go/eventbus/personal"
)

type outbox chan string

func (o outbox) Send(_ context.Context, to string) error {
	o <- to
	return nil
}

func TestWelcome(t *testing.T) {
	keys := new(personal.Ring)
	topic := customers.Topic(keys)
	cluster := kafkatest.NewMemory(t)
	kafkatest.Publish(t, cluster, topic, customers.Registered{CustomerID: "1", Email: "ada@example.com"}, customers.Registered{CustomerID: "2", Email: "grace@example.com"})
	keys.Erase("1")
	sent := make(outbox, 2)
	cluster.Start(t, customers.Welcome(topic, sent))
	cluster.Settle(t)
	close(sent)
	for to := range sent {
		if to != "grace@example.com" {
			t.Errorf("mail to %q", to)
		}
	}
}
