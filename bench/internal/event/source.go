package event

import (
	"fmt"
	"strings"
	"time"
)

// Source makes orders without allocating, so that only the peers' allocations are
// measured. It is safe for concurrent use. Create one with NewSource; the zero value is not
// usable.
type Source struct {
	// customers is the number of distinct keys.
	customers int
	// names has the names of all customers in one string: a million strings would be work
	// for the garbage collector, and that would be measured.
	names string
	// lines are shared by all orders, each of which has one of the 64 slices.
	lines [][]Line
	// placed is the earliest PlacedAt; it has nanoseconds, so that all have the same length.
	placed time.Time
}

// nameSize is the length of a customer's name, in bytes.
const nameSize = len("customer-0000000")

// NewSource returns a source of orders of a number of customers, at most 10,000,000. A
// number below one counts as one.
func NewSource(customers int) *Source {
	s := &Source{
		customers: max(customers, 1),
		placed:    time.Date(2026, 3, 14, 9, 26, 53, 589793238, time.UTC),
	}
	var names strings.Builder
	for i := range s.customers {
		_, _ = fmt.Fprintf(&names, "customer-%07d", i)
	}
	s.names = names.String()
	for i := range 64 {
		s.lines = append(s.lines, []Line{
			{SKU: fmt.Sprintf("sku-%06d", i*7919), Quantity: 1 + i%5, Price: 9.95 + float64(i)},
			{SKU: fmt.Sprintf("sku-%06d", i*104729%1000000), Quantity: 2 + i%3, Price: 24.5 + float64(i)/4},
		})
	}
	return s
}

// At returns the order with a number, which must not be negative. The order depends on the
// number alone. Its Lines are shared with other orders, so callers must not change them.
func (s *Source) At(number int) Order {
	// Knuth's multiplicative hash spreads neighbouring numbers over the customers.
	name := uint64(number) * 2654435761 % uint64(s.customers) * uint64(nameSize)
	return Order{
		Number:   int64(number),
		Customer: s.names[name : name+uint64(nameSize)],
		PlacedAt: s.placed.Add(time.Duration(number%3600) * time.Second),
		Total:    float64(number%100000) / 100,
		Currency: "EUR",
		Address:  Address{Street: "Long Acre 12", City: "Ghent", Country: "BE"},
		Lines:    s.lines[number%len(s.lines)],
	}
}
