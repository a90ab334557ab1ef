package main

import (
	"maps"
	"slices"
)

// tally holds what a delay board shows: totals per carrier, and how many
// flights were cancelled.
type tally struct {
	carriers  map[string]*carrierTotals
	cancelled int
}

// carrierTotals holds one carrier's totals. Delays are minutes; unknown ones
// count for nothing.
type carrierTotals struct {
	Flights  int `json:"flights"`
	Departed int `json:"departed"`
	DelaySum int `json:"delay_sum"`
	// DelayMax is 0 if no delay is known. It may be negative: all flights
	// early.
	DelayMax int `json:"delay_max"`

	// delays counts the known delays.
	delays int
}

// newTally returns a tally of no flights. It is not safe for concurrent use: the
// board guards its own.
func newTally() *tally { return &tally{carriers: make(map[string]*carrierTotals)} }

// add counts one flight; delay is nil if unknown.
func (t *tally) add(carrier string, departed bool, delay *int) {
	c := t.carriers[carrier]
	if c == nil {
		c = new(carrierTotals)
		t.carriers[carrier] = c
	}
	c.Flights++
	// A cancelled flight has no delay, whatever the caller says.
	if !departed {
		t.cancelled++
		return
	}
	c.Departed++
	if delay == nil {
		return
	}
	// The first known delay replaces the zero, which is larger than an early one.
	if c.delays++; c.delays == 1 || *delay > c.DelayMax {
		c.DelayMax = *delay
	}
	c.DelaySum += *delay
}

// total returns the number of flights.
func (t *tally) total() (n int) {
	for _, c := range t.carriers {
		n += c.Flights
	}
	return n
}

// sum returns the totals of all carriers together.
func (t *tally) sum() (all carrierTotals) {
	for _, c := range t.carriers {
		// A carrier without known delays has a DelayMax of 0 that is none.
		if c.delays > 0 && (all.delays == 0 || c.DelayMax > all.DelayMax) {
			all.DelayMax = c.DelayMax
		}
		all.Flights += c.Flights
		all.Departed += c.Departed
		all.DelaySum += c.DelaySum
		all.delays += c.delays
	}
	return all
}

// of returns the totals of a carrier, zero if it has no flights.
func (t *tally) of(carrier string) carrierTotals {
	if c := t.carriers[carrier]; c != nil {
		return *c
	}
	return carrierTotals{}
}

// carriersOf returns the carriers of either tally, sorted.
func carriersOf(a, b *tally) []string {
	// Copy would add to the map of a itself.
	all := maps.Clone(a.carriers)
	maps.Copy(all, b.carriers)
	return slices.Sorted(maps.Keys(all))
}
