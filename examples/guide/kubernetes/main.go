// Command kubernetes is the mailer as a pod of Kubernetes runs it.
package main

import (
	"context"
	"time"

	"go.uber.org/fx"

	"github.com/eventbus-go/eventbus/examples/readme/sales"
	"github.com/eventbus-go/eventbus/fxmodule"
)

func main() { fx.New(app()).Run() }

// app is apart from main, so that its test runs it on a cluster in memory.
func app() fx.Option {
	return fx.Options(
		fxmodule.Module,
		fxmodule.FromEnvironment(),
		fxmodule.SubscribeFunc(sales.CustomerCreatedTopic, welcome),
		fxmodule.HealthServer("0.0.0.0:8080"), // the kubelet asks from outside the pod
		fx.StopTimeout(40*time.Second),        // fx's own is 15 seconds; it bounds the drain too
	)
}

// welcome stands for a handler of the service.
func welcome(context.Context, sales.CustomerCreated) error { return nil }
