package fxmodule

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"go.uber.org/fx"

	"github.com/eventbus-go/eventbus/health"
)

// HealthServer serves /health, /health/ready and /health/live on an address, from
// before the bus starts until after it has drained.
//
// An address without a host, as ":8080", is a loopback one: health is nobody's
// business by default. Where an orchestrator asks from outside, write
// "0.0.0.0:8080". Port 0 takes a free one, which the *HealthEndpoint that this
// provides tells.
func HealthServer(addr string, options ...health.Option) fx.Option {
	return fx.Provide(func() *HealthEndpoint { return &HealthEndpoint{address: addr, options: options} })
}

// HealthCheck adds a check of a service that the container has; see health.Check.
// (*sql.DB).PingContext is one.
func HealthCheck[H any](name, description string, check func(H, context.Context) error, tags ...string) fx.Option {
	return fx.Provide(fx.Annotate(func(service H) health.Option {
		return health.Check(name, description, func(ctx context.Context) error { return check(service, ctx) }, tags...)
	}, fx.ResultTags(`group:"eventbus.health"`)))
}

// HealthEndpoint is where HealthServer serves.
type HealthEndpoint struct {
	address  string
	options  []health.Option
	server   *http.Server
	logger   *slog.Logger
	listener atomic.Pointer[net.Listener]
	served   chan struct{} // closed when Serve has returned
}

// Addr is the address that is listened on; nil before the start. It is safe for
// concurrent use.
func (e *HealthEndpoint) Addr() net.Addr {
	if l := e.listener.Load(); l != nil {
		return (*l).Addr()
	}
	return nil
}

// serve says what to serve. Checks of the container come after the program's
// options.
func (e *HealthEndpoint) serve(bus health.Reporter, logger *slog.Logger, checks []health.Option) {
	e.logger = logger
	options := append(append([]health.Option{health.Logger(logger)}, e.options...), checks...)
	e.server = &http.Server{
		Handler:           health.Handler(bus, options...),
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
	}
}

func (e *HealthEndpoint) start(ctx context.Context) error {
	address := e.address
	if host, port, err := net.SplitHostPort(address); err == nil && host == "" {
		address = net.JoinHostPort("127.0.0.1", port)
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("fxmodule: HealthServer(%q) can't listen: %w", e.address, err)
	}
	e.listener.Store(&listener)
	e.served = make(chan struct{})
	go func() {
		defer close(e.served)
		if err := e.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			e.logger.Error("health server ended", "error", err)
		}
	}()
	return nil
}

func (e *HealthEndpoint) stop(ctx context.Context) error {
	ctx, cancel := mostOf(ctx, 0)
	defer cancel()
	err := e.server.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, e.server.Close())
	}
	<-e.served
	return err
}
