package fxmodule_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/fx"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/config"
	"github.com/eventbus-go/eventbus/fxmodule"
	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/transport"
)

// orderPublisher is a service's own interface.
type orderPublisher interface {
	Publish(context.Context, order) error
}

// biller handles orders and publishes invoices: a circle, if the bus depended on
// subscriptions.
type biller struct {
	invoices *eventbus.Publisher[invoice]
}

func newBiller(p *eventbus.Publisher[invoice]) *biller { return &biller{p} }

func (b *biller) Bill(ctx context.Context, o order) error {
	return b.invoices.Publish(ctx, invoice{OrderID: o.ID, N: o.N})
}

// TestModule runs an application with everything in it, with a decorated transport,
// without a kafka.Config, and with subscriptions in a separate module.
func TestModule(t *testing.T) {
	billed, deleted := make(chan invoice, 10), make(chan string, 10)
	var publisher orderPublisher
	var bus *eventbus.Bus
	app := start(t, testConfig, on(newCluster(t)),
		fxmodule.Publisher(orders, fx.As(new(orderPublisher))),
		fxmodule.Publisher(orders, fx.ResultTags(`name:"orders"`)),
		fxmodule.Publisher(invoices),
		fx.Module("billing",
			fx.Provide(newBiller, fx.Private),
			fxmodule.Subscribe(orders, (*biller).Bill),
		),
		fxmodule.SubscribeFunc(invoices, func(_ context.Context, i invoice) error { billed <- i; return nil }),
		fxmodule.Subscriptions(
			func() eventbus.Subscription {
				return eventbus.OnDelete(orders, func(_ context.Context, key string) error { deleted <- key; return nil })
			},
			func(*eventbus.Bus) ([]eventbus.Subscription, error) {
				return []eventbus.Subscription{
					eventbus.OnBatch(orders, func(context.Context, []order) error { return nil }, eventbus.Group("audit-orders")),
					eventbus.OnBatch(invoices, func(context.Context, []invoice) error { return nil }, eventbus.Group("audit-invoices")),
				}, nil
			}),
		fx.Populate(&publisher, &bus),
	)
	if err := publisher.Publish(t.Context(), order{ID: "o-1", N: 7}); err != nil {
		t.Fatal(err)
	}
	if got := receive(t, billed); got != (invoice{"o-1", 7}) {
		t.Errorf("billed %v", got)
	}
	if err := eventbus.NewPublisher(bus, orders).Delete(t.Context(), "o-1"); err != nil {
		t.Fatal(err)
	}
	if key := receive(t, deleted); key != "o-1" {
		t.Errorf("deleted %q", key)
	}
	if n := len(bus.Health(t.Context()).Checks); n != 4 { // kafka and three groups
		t.Errorf("health has %d checks: %+v", n, bus.Health(t.Context()))
	}
	stop(t, app)
	if err := publisher.Publish(t.Context(), order{ID: "o-2"}); !errors.Is(err, eventbus.ErrClosed) {
		t.Errorf("publishing after the stop: %v", err)
	}
}

// TestModuleWithoutSubscriptions starts publishers, and the bus with them.
func TestModuleWithoutSubscriptions(t *testing.T) {
	cluster := newCluster(t)
	var publisher *eventbus.Publisher[order]
	app := start(t, testConfig, on(cluster), fxmodule.Publisher(orders), fx.Populate(&publisher))
	if err := publisher.Publish(t.Context(), order{ID: "o-1"}); err != nil {
		t.Fatal(err)
	}
	stop(t, app)
	if records := cluster.Records(orders.In("Test")); len(records) != 1 {
		t.Errorf("%d records", len(records))
	}
}

func TestModuleFaults(t *testing.T) {
	handler := fxmodule.SubscribeFunc(orders, func(context.Context, order) error { return nil })
	cluster := newCluster(t)
	for _, c := range []struct {
		name    string
		options []fx.Option
		wants   []string
	}{
		{"no configuration", []fx.Option{}, []string{"missing type: eventbus.Config"}},
		{"no cluster's configuration", []fx.Option{testConfig}, []string{"missing type: kafka.Config"}},
		{"no bus configuration", []fx.Option{on(cluster)}, []string{"missing type: eventbus.Config"}},
		{"wrong kafka.Config", []fx.Option{testConfig, fx.Supply(kafka.Config{Compression: "rar"})}, []string{"Brokers is empty", `Compression "rar" is unknown`}},
		{"wrong eventbus.Config", []fx.Option{fx.Supply(eventbus.Config{}), on(cluster)}, []string{"Service is empty", "Environment is empty"}},
		{"nothing in the environment", []fx.Option{fxmodule.FromEnvironment(config.Directory(t.TempDir()), config.Environ())},
			[]string{"the service has no name", "the environment has no name", "Kafka connection string 'Messaging' not found in configuration"}},
		{"one handler twice", []fx.Option{testConfig, on(cluster), handler, handler}, []string{`group "billing-test" handles`, "another Group(name)"}},
		{"no constructor", []fx.Option{testConfig, on(cluster), fxmodule.Subscriptions(5)}, []string{"fxmodule.Subscriptions takes functions", "int is not one"}},
		{"a constructor of something else", []fx.Option{testConfig, on(cluster), fxmodule.Subscriptions(func() (eventbus.Subscription, string) { panic("called") })},
			[]string{"fxmodule.Subscriptions takes functions", "func() (eventbus.Subscription, string) is not one"}},
		{"a constructor that fails", []fx.Option{testConfig, on(cluster), fxmodule.Subscriptions(func() (eventbus.Subscription, error) { return eventbus.Subscription{}, errors.New("no mail server") })},
			[]string{"no mail server"}},
		{"no handler", []fx.Option{testConfig, on(cluster), fx.Supply(new(biller)), fxmodule.Subscribe(orders, (func(*biller, context.Context, order) error)(nil))},
			[]string{"has no handler: it is nil"}},
		{"no handler's service", []fx.Option{testConfig, on(cluster), fxmodule.Subscribe(orders, (*biller).Bill)}, []string{"missing type: *fxmodule_test.biller"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := fx.New(append(c.options, fxmodule.Module, quiet)...).Err()
			for _, want := range c.wants {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("error lacks %q: %v", want, err)
				}
			}
		})
	}
}

// TestFromEnvironment needs no connection string if there is a transport already,
// and reports any other fault.
func TestFromEnvironment(t *testing.T) {
	var got config.Config
	var cluster kafka.Config
	app := start(t, fxmodule.FromEnvironment(config.Directory(t.TempDir()), config.Environ("EventBus__Environment=Test"), config.Service("billing")),
		on(newCluster(t)), fx.Populate(&got))
	stop(t, app)
	if got.Bus.Service != "billing" || got.Bus.Environment != "Test" {
		t.Errorf("read %v", got)
	}
	err := fx.New(fxmodule.FromEnvironment(config.Files("testdata/appsettings.json"), config.Environ("ConnectionStrings__Messaging=kafka:1")), quiet, fx.Populate(&cluster)).Err()
	if err != nil || len(cluster.Brokers) != 1 || cluster.Brokers[0] != "kafka:1" {
		t.Errorf("kafka.Config %v, error %v", cluster, err)
	}
	err = fx.New(fxmodule.Module, fxmodule.FromEnvironment(config.Directory(t.TempDir()), config.Environ("EventBus__Rak=x")), on(newCluster(t)), quiet).Err()
	if err == nil || strings.Contains(err.Error(), "connection string") || !strings.Contains(err.Error(), "did you mean EventBus:Rack?") {
		t.Errorf("error %v", err)
	}
}

// propagator records that it was used.
type propagator struct {
	propagation.TraceContext
	injected chan struct{}
}

func (p propagator) Inject(ctx context.Context, carrier propagation.TextMapCarrier) {
	p.injected <- struct{}{}
	p.TraceContext.Inject(ctx, carrier)
}

func TestOpenTelemetryOfTheContainer(t *testing.T) {
	p := propagator{injected: make(chan struct{}, 10)}
	var publisher *eventbus.Publisher[order]
	app := start(t, testConfig, on(newCluster(t)), fxmodule.Publisher(orders), fx.Populate(&publisher),
		fx.Provide(func() propagation.TextMapPropagator { return p }))
	defer stop(t, app)
	span := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}})
	if err := publisher.Publish(trace.ContextWithSpanContext(t.Context(), span), order{ID: "o-1"}); err != nil {
		t.Fatal(err)
	}
	receive(t, p.injected)
}

// TestTransportIsDecoratedAway decorates from outside and from a module inside.
func TestTransportIsDecoratedAway(t *testing.T) {
	built := fx.Provide(func() kafka.Config { t.Error("the Kafka transport is being built"); return kafka.Config{} })
	stop(t, start(t, testConfig, built, on(newCluster(t))))
	stop(t, start(t, testConfig, built, fx.Replace(fx.Annotate(lasting{newCluster(t)}, fx.As(new(transport.Transport))))))
}
