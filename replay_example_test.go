package eventbus_test

import (
	"context"
	"fmt"
	"time"

	"github.com/eventbus-go/eventbus"
)

// A day's events of one customer are handled once more, after a dry run has counted
// them. The live group is not affected.
func ExampleOperator_Replay() {
	ctx := context.Background()
	bus, _ := exampleBus()
	defer stop(bus)
	welcome := eventbus.On(CustomerCreatedTopic, func(ctx context.Context, e CustomerCreated) error {
		d, _ := eventbus.DeliveryFrom(ctx)
		fmt.Printf("welcome, %s (replay: %t)\n", e.Name, d.Replay)
		return nil
	})
	created := eventbus.NewPublisher(bus, CustomerCreatedTopic)
	err := bus.Start(ctx)
	if err == nil {
		err = created.PublishBatch(ctx, []CustomerCreated{{CustomerID: "c-1", Name: "Ada"}, {CustomerID: "c-2", Name: "Grace"}})
	}
	if err != nil {
		fmt.Println(err)
		return
	}
	window := eventbus.ReplayConfig{From: time.Now().Add(-24 * time.Hour), Keys: []string{"c-1"}, DryRun: true}
	report, err := bus.Operator().Replay(ctx, window, welcome)
	fmt.Println(report.Events(), "would be handled,", err)
	window.DryRun = false
	report, err = bus.Operator().Replay(ctx, window, welcome)
	fmt.Println(report.Handled(), "handled,", report.Failed(), "failed,", err)
	// Output:
	// 1 would be handled, <nil>
	// welcome, Ada (replay: true)
	// 1 handled, 0 failed, <nil>
}
