package kafkatest_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/kafkatest"
)

var errInjected = errors.New("injected")

// once returns a function that fails on its first call only.
func once() func(orderPlaced) error {
	var asked atomic.Bool
	return func(orderPlaced) error {
		if asked.Swap(true) {
			return nil
		}
		return errInjected
	}
}

func handle(context.Context, orderPlaced) error { return nil }

func TestFailPublishes(t *testing.T) {
	everywhere(t, func(t *testing.T, cluster *kafkatest.Cluster) {
		stop := kafkatest.FailPublishes(cluster, placed, func(e orderPlaced) error {
			if e.OrderID == "b" {
				return errInjected
			}
			return nil
		})
		bus := cluster.Bus(t)
		p := eventbus.NewPublisher(bus, placed)
		if err := p.Publish(t.Context(), orderPlaced{"a", 1}); err != nil {
			t.Error(err)
		}
		if err := p.Publish(t.Context(), orderPlaced{"b", 1}); !errors.Is(err, errInjected) {
			t.Errorf("%v, want the injected error", err)
		}
		if err := eventbus.NewPublisher(bus, paid).Publish(t.Context(), orderPaid{"b"}); err != nil {
			t.Errorf("of another type: %v", err)
		}
		stop()
		stop()
		if err := p.Publish(t.Context(), orderPlaced{"b", 2}); err != nil {
			t.Errorf("after the fault's end: %v", err)
		}
		kafkatest.Published(t, cluster, placed, orderPlaced{"a", 1}, orderPlaced{"b", 2})
	})
}

func TestFailHandlersAndRedeliver(t *testing.T) {
	everywhere(t, func(t *testing.T, cluster *kafkatest.Cluster) {
		stop := kafkatest.FailHandlers(cluster, placed, func(e orderPlaced) error {
			if e.OrderID == "b" {
				return errInjected
			}
			return nil
		})
		cluster.Start(t, eventbus.On(placed, handle))
		good, bad, worse := orderPlaced{"a", 1}, orderPlaced{"b", 1}, orderPlaced{"b", 2}
		kafkatest.Publish(t, cluster, placed, good, bad, worse)
		cluster.Settle(t)
		kafkatest.Handled(t, cluster, placed, good)
		kafkatest.DeadLettered(t, cluster, placed, bad, worse)

		stop()
		kafkatest.Redeliver(t, cluster, placed)
		cluster.Settle(t)
		kafkatest.Handled(t, cluster, placed, good, bad, worse)
		if complaint := complain(t, func(t testing.TB) { kafkatest.Redeliver(t, cluster, placed) }); !strings.Contains(complaint, "no dead letters") {
			t.Errorf("all have come back, and again: %q", complaint)
		}
	})
}

// A redelivered event that fails again becomes a second dead letter.
func TestRedeliveryFailsAgain(t *testing.T) {
	cluster := kafkatest.NewMemory(t)
	kafkatest.FailHandlers(cluster, placed, func(orderPlaced) error { return eventbus.Permanent(errInjected) })
	cluster.Start(t, eventbus.On(placed, handle))
	kafkatest.Publish(t, cluster, placed, orderPlaced{"a", 1})
	for range 2 {
		cluster.Settle(t)
		kafkatest.Redeliver(t, cluster, placed)
	}
	cluster.Settle(t)
	letters := kafkatest.DeadLettered(t, cluster, placed)
	if len(letters) != 3 {
		t.Fatalf("%d dead letters, want 3", len(letters))
	}
	if n, _ := letters[2].Record.Header("eventbus-redeliveries"); string(n) != "2" {
		t.Errorf("the last one came back %q times, want 2", n)
	}
}

func TestFailDeadLetters(t *testing.T) {
	everywhere(t, func(t *testing.T, cluster *kafkatest.Cluster) {
		kafkatest.FailDeadLetters(cluster, placed, once())
		cluster.Start(t, eventbus.On(placed, check))
		kafkatest.Publish(t, cluster, placed, orderPlaced{"a", -1}, orderPlaced{"a", 2})
		cluster.Settle(t)
		kafkatest.DeadLettered(t, cluster, placed, orderPlaced{"a", -1})
		kafkatest.Handled(t, cluster, placed, orderPlaced{"a", 2})
	})
}

func TestDuplicate(t *testing.T) {
	everywhere(t, func(t *testing.T, cluster *kafkatest.Cluster) {
		a1, a2 := orderPlaced{"a", 1}, orderPlaced{"a", 2}
		var ids []string
		cluster.Start(t, eventbus.On(placed, func(ctx context.Context, e orderPlaced) error {
			if envelope, _ := eventbus.EnvelopeFrom(ctx); e == a1 {
				ids = append(ids, envelope.ID) // of one key: one at a time
			}
			return nil
		}))
		kafkatest.Publish(t, cluster, placed, a1, a2)
		kafkatest.Duplicate(t, cluster, placed, a1)
		cluster.Settle(t)
		kafkatest.Handled(t, cluster, placed, a1, a2, a1)
		if len(ids) != 2 || ids[0] != ids[1] {
			t.Errorf("ids %q, want one id twice", ids)
		}
		missing := complain(t, func(t testing.TB) { kafkatest.Duplicate(t, cluster, placed, orderPlaced{"a", 3}) })
		if !strings.Contains(missing, `{"orderId":"a","amount":3} was never published on`) {
			t.Error(missing)
		}
	})
}

func TestRebalanceRepeatsNothing(t *testing.T) {
	everywhere(t, func(t *testing.T, cluster *kafkatest.Cluster) {
		cluster.Start(t, eventbus.On(placed, handle))
		kafkatest.Publish(t, cluster, placed, orderPlaced{"a", 1}, orderPlaced{"b", 1}, orderPlaced{"c", 1})
		cluster.Settle(t)
		cluster.Rebalance(t)
		kafkatest.Publish(t, cluster, placed, orderPlaced{"a", 2})
		cluster.Settle(t)
		kafkatest.Handled(t, cluster, placed, orderPlaced{"a", 1}, orderPlaced{"a", 2}, orderPlaced{"b", 1}, orderPlaced{"c", 1})
	})
}

func TestHoldPartition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := kafkatest.NewMemory(t)
		handled := make(chan orderPlaced, 10)
		cluster.Start(t, eventbus.On(placed, func(_ context.Context, e orderPlaced) error {
			handled <- e
			return nil
		}))
		release := kafkatest.HoldPartition(t, cluster, placed, 2) // the partition of "b"
		kafkatest.Publish(t, cluster, placed, orderPlaced{"b", 1}, orderPlaced{"a", 1})
		time.Sleep(time.Hour)
		if n := len(handled); n != 1 || <-handled != (orderPlaced{"a", 1}) {
			t.Errorf("%d events were handled, want a's alone", n)
		}
		release()
		cluster.Settle(t)
		kafkatest.Handled(t, cluster, placed, orderPlaced{"a", 1}, orderPlaced{"b", 1})
	})
	complaint := complain(t, func(t testing.TB) { kafkatest.HoldPartition(t, kafkatest.NewBroker(t), placed, 0) })
	if !strings.Contains(complaint, "needs a cluster in memory") {
		t.Error(complaint)
	}
}

// Events published while the brokers are disconnected wait for them.
func TestDisconnect(t *testing.T) {
	for name, open := range map[string]func(testing.TB) *kafkatest.Cluster{"Memory": kafkatest.NewMemory, "Broker": kafkatest.NewBroker} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cluster := open(t)
				bus := cluster.Start(t, eventbus.On(placed, handle))
				kafkatest.Publish(t, cluster, placed, orderPlaced{"a", 1})
				cluster.Settle(t)
				reconnect := cluster.Disconnect(t)
				time.Sleep(10 * time.Second)
				if h := bus.Health(t.Context()); h.Status == eventbus.Healthy {
					t.Errorf("healthy without brokers: %+v", h)
				}
				reconnect()
				reconnect()
				kafkatest.Publish(t, cluster, placed, orderPlaced{"a", 2})
				cluster.Settle(t)
				kafkatest.Handled(t, cluster, placed, orderPlaced{"a", 1}, orderPlaced{"a", 2})
			})
		})
	}
}
