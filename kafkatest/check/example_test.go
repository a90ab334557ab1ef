package check_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/kafkatest/check"
)

type deposit struct {
	Account string `json:"account" eventbus:"key"`
	Cents   int    `json:"cents"`
}

var deposits = eventbus.NewTopic(eventbus.TopicConfig[deposit]{Domain: "bank", Name: "deposit", Plural: true})

// A handler is tested under crashes, rebalances and retries. In a real test, t is its
// own parameter.
func Example() {
	_ = func(t *testing.T) {
		check.Run(t, check.Plan[deposit]{
			Topic:   deposits,
			Event:   func(key, n int) deposit { return deposit{fmt.Sprint("account-", key), n} },
			Handler: func(_ context.Context, _ deposit) error { return nil },
			Faults:  []check.Fault{check.Crash(), check.Rebalance(), check.Failure()},
			Seed:    7,
		})
	}
}
