package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

// owners tracks which member has which partition, from the members' reports.
type owners struct {
	// members counts the members that have each partition. Reports of different
	// processes may come out of order, so a count may briefly be two, or negative.
	members map[transport.Partition]int
	// single counts the partitions that one member has.
	single int
	// changes has all reports, for overlaps.
	changes []report
	// events has how often each event was handled, by its number.
	events map[int64]int
}

// newOwners returns owners without partitions.
func newOwners() *owners {
	return &owners{members: make(map[transport.Partition]int), events: make(map[int64]int)}
}

// apply applies a report.
func (o *owners) apply(r report) {
	for _, p := range r.Got {
		o.change(p, 1)
	}
	for _, p := range r.GivenUp {
		o.change(p, -1)
	}
	for _, number := range r.Handled {
		o.events[number]++
	}
	if len(r.Got)+len(r.GivenUp) > 0 {
		o.changes = append(o.changes, r)
	}
}

// change adds to the members of a partition.
func (o *owners) change(p transport.Partition, by int) {
	if o.members[p] == 1 {
		o.single--
	}
	o.members[p] += by
	if o.members[p] == 1 {
		o.single++
	}
}

// overlaps returns how often a member got a partition before another had released it, by
// the times of the reports, with one example.
func (o *owners) overlaps() (n int, example string) {
	slices.SortStableFunc(o.changes, func(a, b report) int { return int(a.At - b.At) })
	holder := make(map[transport.Partition]int)
	for _, c := range o.changes {
		for _, p := range c.GivenUp {
			if holder[p] == c.Member {
				delete(holder, p)
			}
		}
		for _, p := range c.Got {
			if other, held := holder[p]; held && other != c.Member {
				n++
				example = fmt.Sprintf("%s: member %d at %v, while member %d had it", p, c.Member, time.Unix(0, c.At), other)
			}
			holder[p] = c.Member
		}
	}
	return n, example
}

// last returns the time of the last change, in Unix nanoseconds.
func (o *owners) last() (at int64) {
	for i := range o.changes {
		at = max(at, o.changes[i].At)
	}
	return at
}
