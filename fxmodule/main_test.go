package fxmodule_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"go.uber.org/fx"
	"go.uber.org/goleak"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/fxmodule"
	"github.com/eventbus-go/eventbus/transport"
	"github.com/eventbus-go/eventbus/transport/memory"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

type order struct {
	ID string `json:"id"`
	N  int    `json:"n"`
}

var orders = eventbus.NewTopic(eventbus.TopicConfig[order]{
	Domain: "sales", Name: "order", Plural: true, Partitions: 4,
	Key: func(o order) string { return o.ID },
})

type invoice struct {
	OrderID string `json:"orderId"`
	N       int    `json:"n"`
}

var invoices = eventbus.NewTopic(eventbus.TopicConfig[invoice]{
	Domain: "billing", Name: "invoice", Plural: true, Partitions: 4,
	Key: func(i invoice) string { return i.OrderID },
})

// lasting is a cluster that outlives the buses on it.
type lasting struct{ transport.Transport }

func (lasting) Close(context.Context) error { return nil }

// newCluster returns a cluster in memory that is closed at the end of the test.
func newCluster(t *testing.T) *memory.Cluster {
	t.Helper()
	cluster := memory.New()
	t.Cleanup(func() {
		if err := cluster.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return cluster
}

// on puts an application on a cluster, as a bare decorator.
func on(cluster transport.Transport) fx.Option {
	return fx.Decorate(func() transport.Transport { return lasting{cluster} })
}

var quiet = fx.Options(fx.NopLogger, fx.Supply(slog.New(slog.DiscardHandler)))

var testConfig = fx.Supply(eventbus.Config{Service: "billing", Environment: "Test"})

// start starts an application with the bus in it.
func start(t *testing.T, options ...fx.Option) *fx.App {
	t.Helper()
	app := fx.New(fxmodule.Module, quiet, fx.Options(options...))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := app.Start(ctx); err != nil {
		t.Fatal(err)
	}
	return app
}

func stop(t *testing.T, app *fx.App) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := app.Stop(ctx); err != nil {
		t.Error(err)
	}
}

// receive waits for a value.
func receive[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(20 * time.Second):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

// inMemory returns a new cluster, which the bus closes.
func inMemory() transport.Transport { return memory.New() }
