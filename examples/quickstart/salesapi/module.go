// Package salesapi is the service that takes new customers over HTTP: POST
// /customers, GET /customers, GET /health.
package salesapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"go.uber.org/fx"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/examples/quickstart/contracts/sales"
	"github.com/eventbus-go/eventbus/fxmodule"
	"github.com/eventbus-go/eventbus/health"
)

// Module is the service. It needs an Address, a *slog.Logger and fxmodule.Module.
var Module = fx.Module("sales-api",
	fxmodule.Publisher(sales.CustomerCreatedTopic),
	// As the interface that newAPI takes, and tests implement.
	fxmodule.Publisher(customerUpdates, fx.As(new(publisher))),
	// Private: another service in the same process can't take them.
	fx.Provide(fx.Private, newCustomers),
	fx.Provide(fx.Private, func(created *eventbus.Publisher[sales.CustomerCreated]) *announcer { return &announcer{created} }),
	fx.Provide(fx.Private, newAPI),
	// Two groups, since both handle the same events.
	fxmodule.Subscribe(customerUpdates, (*customers).remember, eventbus.Group("sales-api-customers")),
	fxmodule.Subscribe(customerUpdates, (*announcer).announce, eventbus.Group("sales-api-announcer")),
	fx.Invoke(serve),
)

// Address is where the service listens, host:port.
type Address string

// Listening hears the address once it is listened on; for port 0.
type Listening func(net.Addr)

// serveParams are what the container fills in for serve.
type serveParams struct {
	fx.In

	API       *api
	Bus       *eventbus.Bus
	Address   Address
	Log       *slog.Logger
	Listening Listening `optional:"true"`
}

// serve answers requests from the start of the application to its end.
func serve(p serveParams, life fx.Lifecycle) {
	// The bounds are for clients that send slowly or take nothing.
	server := &http.Server{Handler: p.API.routes(health.Handler(p.Bus)), ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 30 * time.Second}
	// served is closed when Serve has returned.
	served := make(chan struct{})
	life.Append(fx.StartStopHook(
		func(ctx context.Context) error {
			// Not in the goroutine: an address that is in use fails the start.
			listener, err := new(net.ListenConfig).Listen(ctx, "tcp", string(p.Address))
			if err != nil {
				return fmt.Errorf("sales-api can't listen: %w", err)
			}
			if p.Listening != nil {
				p.Listening(listener.Addr())
			}
			go func() {
				defer close(served)
				if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
					p.Log.Error("sales-api ended", "error", err)
				}
			}()
			return nil
		},
		func(ctx context.Context) error {
			// Requests that run are answered first.
			err := server.Shutdown(ctx)
			<-served
			return err
		}))
}
