package kafkatest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/inbox"
	"github.com/eventbus-go/eventbus/kafkatest"
)

// try stands in for the go command: it runs a test, and prints how it failed.
func try(test func(t testing.TB)) {
	t := &trial{}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		test(t)
	}()
	<-ended
	for _, cleanup := range slices.Backward(t.cleanups) {
		cleanup()
	}
}

type trial struct {
	testing.TB
	cleanups []func()
}

func (t *trial) Name() string      { return "TestOrders" }
func (t *trial) Helper()           {}
func (t *trial) Output() io.Writer { return io.Discard }
func (t *trial) Cleanup(f func())  { t.cleanups = append(t.cleanups, f) }

func (t *trial) Errorf(format string, args ...any) {
	for line := range strings.Lines(fmt.Sprintf(format, args...)) {
		fmt.Println(strings.TrimRight(line, "\n"))
	}
}

func (t *trial) Fatalf(format string, args ...any) {
	t.Errorf(format, args...)
	runtime.Goexit()
}

// A test publishes, waits until all events have been dealt with, and states what
// should have become of them: no broker, no sleeping, no polling.
func Example() {
	TestOrders := func(t testing.TB) { // func TestOrders(t *testing.T)
		cluster := kafkatest.NewMemory(t)
		cluster.Start(t, eventbus.On(placed, check))
		kafkatest.Publish(t, cluster, placed, orderPlaced{"a", 1}, orderPlaced{"b", -1})
		cluster.Settle(t)
		kafkatest.Handled(t, cluster, placed, orderPlaced{"a", 1})
		for _, dead := range kafkatest.DeadLettered(t, cluster, placed, orderPlaced{"b", -1}) {
			fmt.Printf("%s after %d attempts: %s\n", dead.Reason, dead.Attempts, dead.Error)
		}
	}
	try(TestOrders)
	// Output: exhausted after 3 attempts: retries exhausted: the amount is negative
}

// A failed assertion shows the difference, key by key.
func ExampleHandled() {
	try(func(t testing.TB) {
		cluster := kafkatest.NewMemory(t)
		cluster.Start(t, eventbus.On(placed, check))
		kafkatest.Publish(t, cluster, placed, orderPlaced{"a", 1}, orderPlaced{"a", 2}, orderPlaced{"b", 1})
		cluster.Settle(t)
		kafkatest.Handled(t, cluster, placed, orderPlaced{"a", 2}, orderPlaced{"a", 1}, orderPlaced{"b", 1})
	})
	// Output:
	// kafkatest: handled on shop.public.orders.v1, events of type OrderPlaced (-: wanted and not there, +: there and not wanted)
	// key "a": 2 wanted, 2 handled:
	//     - {"orderId":"a","amount":2}
	//       {"orderId":"a","amount":1}
	//     + {"orderId":"a","amount":2}
}

// Once the cause is fixed, a dead-lettered event goes back to the group.
func ExampleRedeliver() {
	try(func(t testing.TB) {
		cluster := kafkatest.NewMemory(t)
		mend := kafkatest.FailHandlers(cluster, placed, func(orderPlaced) error {
			return eventbus.Permanent(errors.New("the database has no such table"))
		})
		cluster.Start(t, eventbus.On(placed, check))
		kafkatest.Publish(t, cluster, placed, orderPlaced{"a", 1}, orderPlaced{"a", 2})
		cluster.Settle(t)
		fmt.Println("handled:", kafkatest.Handled(t, cluster, placed))

		mend()
		kafkatest.Redeliver(t, cluster, placed)
		cluster.Settle(t)
		fmt.Println("handled:", kafkatest.Handled(t, cluster, placed))
	})
	// Output:
	// handled: []
	// handled: [{a 1} {a 2}]
}

// A handler that must not do its work twice gets the same event twice.
func ExampleDuplicate() {
	try(func(t testing.TB) {
		cluster := kafkatest.NewMemory(t)
		cluster.Start(t, eventbus.On(placed, func(_ context.Context, e orderPlaced) error {
			fmt.Println("charged", e.Amount)
			return nil
		}, eventbus.Use(eventbus.Idempotent(inbox.Memory(100)))))
		kafkatest.Publish(t, cluster, placed, orderPlaced{"a", 1})
		kafkatest.Duplicate(t, cluster, placed, orderPlaced{"a", 1})
		cluster.Settle(t)
	})
	// Output: charged 1
}

// A publisher fails, and the test shows how the service reacts.
func ExampleFailPublishes() {
	try(func(t testing.TB) {
		cluster := kafkatest.NewMemory(t)
		kafkatest.FailPublishes(cluster, placed, func(e orderPlaced) error {
			if e.Amount > 1000 {
				return errors.New("no broker has room")
			}
			return nil
		})
		orders := eventbus.NewPublisher(cluster.Bus(t), placed)
		fmt.Println(orders.Publish(context.Background(), orderPlaced{"a", 1}))
		var failed *eventbus.Error
		if err := orders.Publish(context.Background(), orderPlaced{"b", 2000}); errors.As(err, &failed) {
			fmt.Println(errors.Is(err, eventbus.ErrOutcomeUnknown), failed.Err)
		}
		fmt.Println(kafkatest.Published(t, cluster, placed))
	})
	// Output:
	// <nil>
	// false no broker has room
	// [{a 1}]
}
