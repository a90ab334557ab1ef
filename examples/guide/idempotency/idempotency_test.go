package idempotency

import (
	"context"
	"errors"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/inbox"
	"github.com/eventbus-go/eventbus/kafkatest"
)

func TestAParcelIsSentOnce(t *testing.T) {
	cluster := kafkatest.NewMemory(t)
	bus := cluster.Bus(t)
	var attempts, shipped, paid atomic.Int32
	billing := &Billing{
		charge: func(context.Context, OrderPlaced) (string, error) {
			if attempts.Add(1) == 1 {
				return "", errors.New("the bank does not answer")
			}
			return "now, attempt " + strconv.Itoa(int(attempts.Load())), nil
		},
		parcels: eventbus.NewPublisher(bus, ParcelWantedTopic), taken: eventbus.NewPublisher(bus, PaymentTakenTopic),
	}
	ship := func(context.Context, ParcelWanted) error { shipped.Add(1); return nil }
	if err := bus.Add(billing.Subscription(), Shipping(ship, inbox.Memory(0)),
		eventbus.On(PaymentTakenTopic, func(context.Context, PaymentTaken) error { paid.Add(1); return nil })); err != nil {
		t.Fatal(err)
	}
	if err := bus.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	kafkatest.Publish(t, cluster, OrderPlacedTopic, OrderPlaced{"o-1", 100})
	cluster.Settle(t)
	if n := len(kafkatest.Published(t, cluster, ParcelWantedTopic)); n != 2 || attempts.Load() != 2 {
		t.Errorf("%d attempts published %d parcels, want 2 each", attempts.Load(), n)
	}
	if shipped.Load() != 1 || paid.Load() != 1 {
		t.Errorf("shipped %d, paid %d times, want once", shipped.Load(), paid.Load())
	}
}

func TestABatchIsBilledOnce(t *testing.T) {
	cluster := kafkatest.NewMemory(t)
	bus := cluster.Bus(t)
	var shipped atomic.Int32
	ship := func(context.Context, ParcelWanted) error { shipped.Add(1); return nil }
	billing := &Billing{parcels: eventbus.NewPublisher(bus, ParcelWantedTopic)}
	failed := false
	all := func(ctx context.Context, orders []OrderPlaced) error {
		err := billing.BillAll(ctx, orders)
		if !failed {
			failed = true
			return errors.Join(err, errors.New("after all of them were published"))
		}
		return err
	}
	if err := bus.Add(eventbus.OnBatch(OrderPlacedTopic, all, eventbus.DerivedIDs(), eventbus.Concurrency(1)), Shipping(ship, inbox.Memory(0))); err != nil {
		t.Fatal(err)
	}
	if err := bus.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	kafkatest.Publish(t, cluster, OrderPlacedTopic, OrderPlaced{"o-1", 100}, OrderPlaced{"o-2", 100}, OrderPlaced{"o-3", 100})
	cluster.Settle(t)
	if shipped.Load() != 3 {
		t.Errorf("shipped %d parcels, want 3", shipped.Load())
	}
}
