package event

import (
	"fmt"
	"time"
)

// Source makes orders without allocating, so that what is measured is the peer.
// It is safe for concurrent use.
type Source struct {
	customers []string
	lines     [][]Line
	placed    time.Time
}

// NewSource makes orders of so many customers.
func NewSource(customers int) *Source {
	s := &Source{
		customers: make([]string, max(customers, 1)),
		placed:    time.Date(2026, 3, 14, 9, 26, 53, 589793238, time.UTC),
	}
	for i := range s.customers {
		s.customers[i] = fmt.Sprintf("customer-%07d", i)
	}
	for i := range 64 {
		s.lines = append(s.lines, []Line{
			{SKU: fmt.Sprintf("sku-%06d", i*7919), Quantity: 1 + i%5, Price: 9.95 + float64(i)},
			{SKU: fmt.Sprintf("sku-%06d", i*104729%1000000), Quantity: 2 + i%3, Price: 24.5 + float64(i)/4},
		})
	}
	return s
}

// At returns the order with that number, always the same one. Its Lines are
// shared: they may be read only.
func (s *Source) At(number int) Order {
	// Knuth's multiplicative hash spreads neighbouring numbers over the customers.
	spread := uint64(number) * 2654435761 % uint64(len(s.customers))
	return Order{
		Number:   int64(number),
		Customer: s.customers[spread],
		PlacedAt: s.placed.Add(time.Duration(number%3600) * time.Second),
		Total:    float64(number%100000) / 100,
		Currency: "EUR",
		Address:  Address{Street: "Long Acre 12", City: "Ghent", Country: "BE"},
		Lines:    s.lines[number%len(s.lines)],
	}
}
