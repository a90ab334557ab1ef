// Package event has the event that every peer publishes and handles: about 300 bytes of
// JSON, a key, and six CloudEvents headers.
package event

import "time"

// The CloudEvents attributes that all events share.
const (
	Type        = "OrderPlaced"
	SourceURI   = "urn:bench"
	ContentType = "application/json"
	SpecVersion = "1.0"
)

// Order is the data of every event.
type Order struct {
	// Number counts events from 0. It is negative in a warm-up.
	Number int64 `json:"number"`
	// Customer is the key of the record too.
	Customer string `json:"customerId"`
	// Sent is the time of publishing, in Unix nanoseconds; 0 where no latency is measured.
	Sent     int64     `json:"sent"`
	PlacedAt time.Time `json:"placedAt"`
	Total    float64   `json:"total"`
	Currency string    `json:"currency"`
	Address  Address   `json:"address"`
	Lines    []Line    `json:"lines"`
}

// Address is where an Order is delivered.
type Address struct {
	Street  string `json:"street"`
	City    string `json:"city"`
	Country string `json:"country"`
}

// Line is one article of an Order, and how many of it.
type Line struct {
	SKU      string  `json:"sku"`
	Quantity int     `json:"quantity"`
	Price    float64 `json:"price"`
}
