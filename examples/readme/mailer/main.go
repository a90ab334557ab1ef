// Command mailer greets new customers.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/examples/readme/sales"
	"github.com/eventbus-go/eventbus/kafka"
)

func welcome(_ context.Context, e sales.CustomerCreated) error {
	fmt.Println("welcome,", e.Name)
	return nil
}

func main() {
	// A terminal sends the one signal, an orchestrator the other: both let Run drain.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, "localhost:9092"); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, brokers ...string) error {
	bus, err := eventbus.New(kafka.New(kafka.Config{Brokers: brokers}),
		eventbus.Config{Service: "mailer", Environment: "Development"})
	if err != nil {
		return err
	}
	if err := eventbus.Subscribe(bus, sales.CustomerCreatedTopic, welcome); err != nil {
		return err
	}
	created := eventbus.NewPublisher(bus, sales.CustomerCreatedTopic)
	if err := created.Publish(ctx, sales.CustomerCreated{CustomerID: "c-1", Name: "Ada", CreatedAt: time.Now()}); err != nil {
		return err
	}
	return bus.Run(ctx) // until Ctrl-C: what runs is finished and committed
}
