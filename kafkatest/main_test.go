package kafkatest_test

import (
	"context"
	"errors"
	"testing"

	"go.uber.org/goleak"

	"github.com/eventbus-go/eventbus"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type orderPlaced struct {
	OrderID string `json:"orderId" eventbus:"key"`
	Amount  int    `json:"amount"`
}

type orderPaid struct {
	OrderID string `json:"orderId" eventbus:"key"`
}

var (
	placed = eventbus.NewTopic(eventbus.TopicConfig[orderPlaced]{Domain: "shop", Name: "order", Plural: true, Type: "OrderPlaced", Partitions: 3})
	paid   = eventbus.NewTopic(eventbus.TopicConfig[orderPaid]{Domain: "shop", Name: "order", Plural: true, Type: "OrderPaid", Partitions: 3})
)

var errNegative = errors.New("the amount is negative")

// check is a handler that always refuses negative amounts.
func check(_ context.Context, e orderPlaced) error {
	if e.Amount < 0 {
		return errNegative
	}
	return nil
}
