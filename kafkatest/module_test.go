package kafkatest_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"go.uber.org/fx"
	"go.uber.org/fx/fxtest"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/fxmodule"
	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/kafkatest"
)

// warehouse is a service with a handler that publishes.
type warehouse struct {
	paid *eventbus.Publisher[orderPaid]
}

func newWarehouse(paid *eventbus.Publisher[orderPaid]) *warehouse { return &warehouse{paid} }

func (w *warehouse) ship(ctx context.Context, e orderPlaced) error {
	if e.Amount < 0 {
		return eventbus.Permanent(errNegative)
	}
	return w.paid.Publish(ctx, orderPaid{e.OrderID})
}

// An application runs on the cluster unchanged, and its own transport is never built,
// not even its configuration.
func TestModule(t *testing.T) {
	everywhere(t, func(t *testing.T, cluster *kafkatest.Cluster) {
		app := fxtest.New(t,
			fxmodule.Module,
			fx.Supply(eventbus.Config{Service: "warehouse", Environment: cluster.Environment()}),
			fx.Provide(func() (kafka.Config, error) { return kafka.Config{}, errors.New("the connection string is missing") }),
			fxmodule.Publisher(paid),
			fx.Provide(newWarehouse),
			fxmodule.Subscribe(placed, (*warehouse).ship),
			fxmodule.SubscribeFunc(paid, func(context.Context, orderPaid) error { return nil }),
			cluster.Module(),
		)
		app.RequireStart()
		kafkatest.Publish(t, cluster, placed, orderPlaced{"a", 1}, orderPlaced{"b", -1})
		cluster.Settle(t)
		kafkatest.Handled(t, cluster, placed, orderPlaced{"a", 1})
		kafkatest.Handled(t, cluster, paid, orderPaid{"a"})
		letter := kafkatest.DeadLettered(t, cluster, placed, orderPlaced{"b", -1})[0]
		if !strings.HasPrefix(letter.Group, "warehouse-test") || letter.Reason != "permanent" {
			t.Errorf("%+v", letter)
		}
		app.RequireStop()
	})
}
