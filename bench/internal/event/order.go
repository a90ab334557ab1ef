// Package event is the one event that every peer publishes and handles: about
// 300 bytes of JSON, a key, six CloudEvents headers.
package event

import "time"

// Type, SourceURI and the rest are the CloudEvents attributes that all events share.
const (
	Type        = "OrderPlaced"
	SourceURI   = "urn:bench"
	ContentType = "application/json"
	SpecVersion = "1.0"
)

// Order is the data of every event.
type Order struct {
	// Number is the event's number from 0; negative in a warm-up.
	Number int64 `json:"number"`
	// Customer is the key.
	Customer string `json:"customerId"`
	// Sent is when it was published, in Unix nanoseconds, where that is measured.
	Sent     int64     `json:"sent"`
	PlacedAt time.Time `json:"placedAt"`
	Total    float64   `json:"total"`
	Currency string    `json:"currency"`
	Address  Address   `json:"address"`
	Lines    []Line    `json:"lines"`
}

// Address is where an Order goes.
type Address struct {
	Street  string `json:"street"`
	City    string `json:"city"`
	Country string `json:"country"`
}

// Line is one article of an Order.
type Line struct {
	SKU      string  `json:"sku"`
	Quantity int     `json:"quantity"`
	Price    float64 `json:"price"`
}
