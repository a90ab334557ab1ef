package fxmodule

import (
	"cmp"
	"context"
	"slices"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/fx"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/admin"
	"github.com/eventbus-go/eventbus/config"
	"github.com/eventbus-go/eventbus/health"
	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/transport"
)

// Module provides the bus and runs it, even if there are no subscriptions.
//
// Start fails if no broker answers, or a topic is missing, within three quarters of
// fx's start timeout; with eventbus.Config's StartDegraded it does not.
var Module fx.Option = fx.Module("eventbus",
	fx.Provide(newTransport, newBus),
	fx.Provide(newLogger, newLogLevel, fx.Private),
	fx.Invoke(run),
)

// newTransport is called only if nothing decorates the Transport.
func newTransport(c kafka.Config, l logger) (transport.Transport, error) {
	if err := c.Validate(); err != nil {
		return nil, l.reported(err)
	}
	return kafka.New(c), nil
}

// busParams are what a bus needs from the container. The transport comes first, so that
// all faults of the configuration are in one error.
type busParams struct {
	fx.In

	Transport      transport.Transport
	Config         eventbus.Config
	Logger         logger
	Topics         []eventbus.AnyTopic           `group:"eventbus.topics"`
	TracerProvider trace.TracerProvider          `optional:"true"`
	MeterProvider  metric.MeterProvider          `optional:"true"`
	Propagator     propagation.TextMapPropagator `optional:"true"`
}

func newBus(p busParams, life fx.Lifecycle) (*eventbus.Bus, error) {
	// Values in the Config take precedence over those of the container.
	c := p.Config
	c.Logger = cmp.Or(c.Logger, p.Logger.Logger)
	// Clip makes append copy: the slice is the program's.
	c.Topics = append(slices.Clip(c.Topics), p.Topics...)
	if c.TracerProvider == nil {
		c.TracerProvider = p.TracerProvider
	}
	if c.MeterProvider == nil {
		c.MeterProvider = p.MeterProvider
	}
	if c.Propagator == nil {
		c.Propagator = p.Propagator
	}
	bus, err := eventbus.New(p.Transport, c)
	if err != nil {
		return nil, p.Logger.reported(err)
	}
	// Hooks stop in reverse order, so this one runs after those of everything that was
	// made with the bus.
	life.Append(fx.StopHook(func(ctx context.Context) error {
		ctx, cancel := mostOf(ctx, 0)
		defer cancel()
		return bus.Close(ctx)
	}))
	return bus, nil
}

// runParams are what run needs from the container. Constructing the subscriptions
// constructs everything that handlers use, whose hooks therefore surround those that
// run adds.
type runParams struct {
	fx.In

	Bus           *eventbus.Bus
	Config        eventbus.Config `optional:"true"`
	Logger        logger
	Subscriptions []eventbus.Subscription `group:"eventbus.subscriptions"`
	Endpoint      *HealthEndpoint         `optional:"true"`
	Checks        []health.Option         `group:"eventbus.health"`
	Admin         *AdminEndpoint          `optional:"true"`
	AdminOptions  []admin.Option          `group:"eventbus.admin"`
	Pages         AdminPages              `optional:"true"`
	Level         *logLevel
	Configured    config.Config `optional:"true"`
}

// run adds the subscriptions and the hooks: first those of the servers, then those of
// the bus, which therefore drains while health is still served.
func run(p runParams, life fx.Lifecycle) error {
	if err := p.Bus.Add(p.Subscriptions...); err != nil {
		return p.Logger.reported(err)
	}
	// HealthServer takes precedence over the configuration.
	if address := p.Configured.Health.Address; p.Endpoint == nil && address != "" {
		p.Endpoint = &HealthEndpoint{endpoint: endpoint{call: "Health:Address", address: address}}
	}
	if p.Endpoint != nil {
		// Before the bus, so that health can say why the bus does not start.
		p.Endpoint.serve(p.Bus, p.Logger.Logger, p.Checks)
		life.Append(fx.StartStopHook(p.Endpoint.start, p.Endpoint.stop))
	}
	if p.Admin != nil {
		// Without an address there is nothing to start.
		served, err := p.Admin.serve(p.Bus, p.Logger.Logger, p.Level, p.Configured, p.AdminOptions, p.Pages)
		if err != nil {
			return p.Logger.reported(err)
		}
		if served {
			life.Append(fx.StartStopHook(p.Admin.start, p.Admin.stop))
		}
	}
	life.Append(fx.StartStopHook(
		func(ctx context.Context) error {
			ctx, cancel := mostOf(ctx, 0)
			defer cancel()
			return p.Logger.reported(p.Bus.Start(ctx))
		},
		func(ctx context.Context) error {
			// The rest of the time is for Close, and for hooks of services that
			// handlers use.
			ctx, cancel := mostOf(ctx, p.Config.DrainTimeout)
			defer cancel()
			return p.Bus.Drain(ctx)
		}))
	return nil
}

// mostOf returns a context for three quarters of the time that ctx has left, and for at
// most most, if that is not zero. If ctx itself ended, fx would only say that it did,
// and skip the remaining hooks.
func mostOf(ctx context.Context, most time.Duration) (context.Context, context.CancelFunc) {
	deadline, bounded := ctx.Deadline()
	left := time.Until(deadline) * 3 / 4
	switch {
	case !bounded && most == 0:
		return context.WithCancel(ctx)
	case !bounded, most > 0 && most < left:
		left = most
	}
	return context.WithTimeout(ctx, left)
}
