// Command fxapp is the mailer as an fx application.
package main

import (
	"context"
	"fmt"

	"github.com/eventbus-go/eventbus/examples/readme/sales"
	"github.com/eventbus-go/eventbus/fxmodule"
	"go.uber.org/fx"
)

// Mailer handles; its dependencies come from the container.
type Mailer struct{}

// Welcome greets a new customer.
func (*Mailer) Welcome(_ context.Context, e sales.CustomerCreated) error {
	fmt.Println("welcome,", e.Name)
	return nil
}

func main() { fx.New(app()).Run() }

// app is apart from main, so that its test runs it on a cluster in memory.
func app() fx.Option {
	return fx.Options(
		fxmodule.Module,
		fxmodule.FromEnvironment(),                      // appsettings.json, ConnectionStrings__Messaging, …
		fxmodule.Publisher(sales.CustomerCreatedTopic),  // provides *eventbus.Publisher[sales.CustomerCreated]
		fx.Provide(func() *Mailer { return &Mailer{} }), // its database would be closed after it has drained
		fxmodule.Subscribe(sales.CustomerCreatedTopic, (*Mailer).Welcome),
		fxmodule.HealthServer(":8080"), // /health, /health/live, /health/ready on loopback
		fxmodule.AdminServer(":8081"),  // what it does, pause, un-park, log level; beyond loopback with a token alone
	)
}
