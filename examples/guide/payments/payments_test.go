package payments_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/examples/guide/payments"
	"github.com/eventbus-go/eventbus/examples/readme/sales"
	"github.com/eventbus-go/eventbus/inbox"
	"github.com/eventbus-go/eventbus/kafkatest"
)

// service answers with the errors given, one after the other, then with nil.
type service struct {
	mu      sync.Mutex
	answers []error
	asked   []time.Time
}

func (s *service) Open(context.Context, string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, time.Now())
	if len(s.answers) == 0 {
		return nil
	}
	err := s.answers[0]
	s.answers = s.answers[1:]
	return err
}

var ada = sales.CustomerCreated{CustomerID: "c-1", Name: "Ada"}

func TestARefusalIsADeadLetterThatComesBack(t *testing.T) {
	cluster, accounts := kafkatest.NewMemory(t), &service{answers: []error{payments.ErrRefused}}
	cluster.Start(t, payments.Subscription(accounts))
	kafkatest.Publish(t, cluster, sales.CustomerCreatedTopic, ada)
	cluster.Settle(t)
	if dead := kafkatest.DeadLettered(t, cluster, sales.CustomerCreatedTopic, ada); dead[0].Reason != "permanent" || dead[0].Attempts != 1 {
		t.Errorf("dead letter: %s after %d attempts", dead[0].Reason, dead[0].Attempts)
	}
	kafkatest.Redeliver(t, cluster, sales.CustomerCreatedTopic) // as "eventbus dlq replay" does
	cluster.Settle(t)
	kafkatest.Handled(t, cluster, sales.CustomerCreatedTopic, ada)
}

func TestABusyServiceIsAskedLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := kafkatest.NewMemory(t)
		accounts := &service{answers: []error{&payments.BusyError{After: 30 * time.Second}, errors.New("connection reset")}}
		cluster.Start(t, payments.Subscription(accounts))
		kafkatest.Publish(t, cluster, sales.CustomerCreatedTopic, ada)
		cluster.Settle(t) // 30 seconds and a backoff pass in no time
		kafkatest.Handled(t, cluster, sales.CustomerCreatedTopic, ada)
		if waited := accounts.asked[1].Sub(accounts.asked[0]); len(accounts.asked) != 3 || waited < 30*time.Second {
			t.Errorf("asked at %v", accounts.asked)
		}
	})
}

func TestARepeatedEventIsHandledOnce(t *testing.T) {
	cluster, accounts := kafkatest.NewMemory(t), new(service)
	bus := cluster.Bus(t)
	if err := bus.Use(eventbus.Idempotent(inbox.Memory(0))); err != nil {
		t.Fatal(err)
	}
	if err := bus.Add(payments.Subscription(accounts)); err != nil {
		t.Fatal(err)
	}
	if err := bus.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	kafkatest.Publish(t, cluster, sales.CustomerCreatedTopic, ada)
	kafkatest.Duplicate(t, cluster, sales.CustomerCreatedTopic, ada)
	cluster.Settle(t)
	if len(accounts.asked) != 1 {
		t.Errorf("the service was asked %d times", len(accounts.asked))
	}
}

func TestWhatNobodyMissesIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := kafkatest.NewMemory(t)
		accounts := &service{answers: []error{errors.New("connection reset"), payments.ErrRefused}}
		cluster.Start(t, payments.Best(accounts))
		kafkatest.Publish(t, cluster, sales.CustomerCreatedTopic, ada)
		cluster.Settle(t)
		if len(accounts.asked) != 2 || accounts.asked[1].Sub(accounts.asked[0]) != time.Second {
			t.Errorf("asked at %v", accounts.asked)
		}
	})
}
