package fxmodule

import (
	"context"
	"log/slog"
	"net"

	"go.uber.org/fx"

	"github.com/eventbus-go/eventbus/health"
)

// HealthServer serves /health, /health/ready and /health/live on an address, from
// before the bus starts until after it has drained.
//
// An address without a host, such as ":8080", is a loopback one: health is private by
// default. If an orchestrator asks from outside, write "0.0.0.0:8080". Without
// HealthServer, health is served if the configuration names an address,
// EventBus:Health:Address. Port 0 chooses a free one, which *HealthEndpoint, provided
// by this option, returns.
func HealthServer(addr string, options ...health.Option) fx.Option {
	return fx.Provide(func() *HealthEndpoint { return &HealthEndpoint{endpoint{call: "HealthServer", address: addr}, options} })
}

// HealthCheck adds a check of a service in the container; see health.Check.
// (*sql.DB).PingContext is one.
func HealthCheck[H any](name, description string, check func(H, context.Context) error, tags ...string) fx.Option {
	return fx.Provide(fx.Annotate(func(service H) health.Option {
		return health.Check(name, description, func(ctx context.Context) error { return check(service, ctx) }, tags...)
	}, fx.ResultTags(`group:"eventbus.health"`)))
}

// HealthEndpoint is where HealthServer serves.
type HealthEndpoint struct {
	endpoint
	options []health.Option
}

// Addr returns the address of the listener; nil before the start. It is safe for
// concurrent use.
func (e *HealthEndpoint) Addr() net.Addr { return e.addr() }

// serve sets what to serve. Checks of the container come after the program's options.
func (e *HealthEndpoint) serve(bus health.Reporter, logger *slog.Logger, checks []health.Option) {
	options := append(append([]health.Option{health.Logger(logger)}, e.options...), checks...)
	e.endpoint.serve(health.Handler(bus, options...), logger)
}
