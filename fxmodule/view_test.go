package fxmodule_test

import (
	"context"
	"errors"
	"testing"

	"go.uber.org/fx"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/fxmodule"
	"github.com/eventbus-go/eventbus/view"
)

// rates is a compacted topic.
var rates = eventbus.NewTopic(eventbus.TopicConfig[invoice]{
	Domain: "billing", Name: "rate", Plural: true, Compacted: true, Key: func(i invoice) string { return i.OrderID },
})

// TestView: a view is complete before the first event is handled, and closed with
// the application.
func TestView(t *testing.T) {
	cluster := newCluster(t)
	bus, err := eventbus.New(lasting{cluster}, eventbus.Config{Service: "rates", Environment: "Test"})
	if err != nil {
		t.Fatal(err)
	}
	defer bus.Close(t.Context())
	if err := eventbus.NewPublisher(bus, rates).Publish(t.Context(), invoice{OrderID: "a", N: 7}); err != nil {
		t.Fatal(err)
	}
	found := make(chan invoice, 1)
	var kept *view.View[invoice]
	app := start(t, testConfig, on(cluster), fxmodule.View(rates, view.Config{}), fx.Populate(&kept),
		fxmodule.Subscriptions(func(v *view.View[invoice]) eventbus.Subscription {
			return eventbus.On(orders, func(ctx context.Context, o order) error {
				rate, ok, err := v.Get(ctx, o.ID)
				if err == nil && !ok {
					err = errors.New("no rate")
				}
				if err == nil {
					found <- rate
				}
				return err
			})
		}))
	if err := eventbus.NewPublisher(bus, orders).Publish(t.Context(), order{ID: "a", N: 1}); err != nil {
		t.Fatal(err)
	}
	if got := <-found; got.N != 7 {
		t.Error(got)
	}
	stop(t, app)
	if s := kept.Status(); s.Phase != view.Closed {
		t.Errorf("the view is %q after the application", s.Phase)
	}
}
