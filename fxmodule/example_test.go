package fxmodule_test

import (
	"context"
	"fmt"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/config"
	"github.com/eventbus-go/eventbus/fxmodule"
	"go.uber.org/fx"
)

type Mailer struct {
	sent *eventbus.Publisher[WelcomeSent]
}

func (m *Mailer) Welcome(ctx context.Context, c CustomerCreated) error {
	return m.sent.Publish(ctx, WelcomeSent{CustomerID: c.CustomerID})
}

func (m *Mailer) Count(_ context.Context, w WelcomeSent) error {
	fmt.Println("welcomed", w.CustomerID)
	return nil
}

func Example() {
	fx.New(
		fxmodule.Module,
		fxmodule.FromEnvironment(config.Files("testdata/appsettings.json")),
		fxmodule.Publisher(WelcomeSentTopic),
		fx.Provide(func(sent *eventbus.Publisher[WelcomeSent]) *Mailer { return &Mailer{sent} }),
		fxmodule.Subscribe(CustomerCreatedTopic, (*Mailer).Welcome),
		fxmodule.Subscribe(WelcomeSentTopic, (*Mailer).Count),
		fxmodule.HealthServer(":0"),
		oneCustomer, // in place of Kafka
	).Run()
	// Output: welcomed c-1
}
