package fxconsole

import (
	"context"

	"go.uber.org/fx"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/config"
	"github.com/eventbus-go/eventbus/console"
	"github.com/eventbus-go/eventbus/fxmodule"
	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/transport"
)

// Pages makes fxmodule.AdminServer serve the console below /console/, with the bus and,
// if its transport is Kafka, the cluster. Users log in with EventBus:Admin:Token; if
// there is none, only this machine has access. Each change is called with the
// configuration before the console is made: to name several users, hosts or other
// members, or to make the console read-only.
func Pages(changes ...func(*console.Config)) fx.Option {
	return fx.Provide(func(p params, life fx.Lifecycle) (fxmodule.AdminPages, error) {
		c := console.Config{Bus: p.Bus}
		c.Cluster, _ = p.Transport.(*kafka.Transport)
		if token := p.Configured.Admin.Token; !token.IsZero() {
			c.Tokens = []console.Token{{Name: "admin", Value: token}}
		}
		for _, change := range changes {
			change(&c)
		}
		pages, err := console.New(c)
		if err != nil {
			return nil, err
		}
		// For the case that the server never starts; a second Close does nothing.
		life.Append(fx.StopHook(func(ctx context.Context) error { return pages.Close(ctx) }))
		return pages, nil
	})
}

// params are what the pages need from the container.
type params struct {
	fx.In

	Bus        *eventbus.Bus
	Transport  transport.Transport
	Configured config.Config `optional:"true"`
}
