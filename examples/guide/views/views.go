// Package views looks prices up in a table that follows a topic.
package views

import (
	"context"
	"fmt"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/view"
)

// Price is what an article costs now.
type Price struct {
	SKU   string `json:"sku"`
	Cents int    `json:"cents"`
}

// PriceTopic has the last price of each article: compaction removes older ones.
var PriceTopic = eventbus.NewTopic(eventbus.TopicConfig[Price]{
	Domain: "shop", Name: "price", Plural: true,
	Key:       func(p Price) string { return p.SKU },
	Compacted: true,
})

// Desk sells at the prices of a view.
type Desk struct {
	// Both are of one topic, so that Change can wait for what it has published. Close
	// ends the view; the bus is the caller's.
	prices    *view.View[Price]
	publisher *eventbus.Publisher[Price]
}

// NewDesk returns a desk that has read all prices.
func NewDesk(ctx context.Context, bus *eventbus.Bus) (*Desk, error) {
	prices, err := view.New(bus, PriceTopic, view.Config{})
	if err != nil {
		return nil, err
	}
	if err := prices.Start(ctx); err != nil { // returns when the table is complete
		return nil, err
	}
	return &Desk{prices, eventbus.NewPublisher(bus, PriceTopic)}, nil
}

// Quote returns the price of an article.
func (d *Desk) Quote(ctx context.Context, sku string) (int, error) {
	p, found, err := d.prices.Get(ctx, sku)
	if err == nil && !found {
		err = fmt.Errorf("there is no price for %s", sku)
	}
	return p.Cents, err
}

// Change changes a price. A Quote of this process that begins after it has the new
// one; other processes have it some milliseconds later.
func (d *Desk) Change(ctx context.Context, p Price) error {
	return d.prices.WaitFor(ctx, d.publisher.PublishAsync(ctx, p))
}

// Close stops following the topic. The bus is closed after it.
func (d *Desk) Close(ctx context.Context) error { return d.prices.Close(ctx) }
