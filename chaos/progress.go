package main

import (
	"cmp"
	"slices"
	"time"
)

// progress measures from the ledger how long partitions with work stood still,
// and how old events were when they were handled.
func (f *finding) progress(e *evidence, states [][]state) {
	// ages are of healthy keys, in all partitions together.
	var ages []time.Duration
	for p := range states {
		var moves []move
		for o := range states[p] {
			s := &states[p][o]
			// A publisher that was killed may have entered no time.
			if s.offered == 0 || s.ended == 0 || e.exempt != nil && e.exempt(e.log[p][o].key) {
				continue
			}
			ages = append(ages, time.Duration(s.ended-s.offered))
			moves = append(moves, move{s.offered, 1}, move{max(s.ended, s.offered), -1})
			for _, heal := range e.heals {
				// It had been published when the fault ended, and was handled after that.
				if s.offered <= heal && s.ended > heal {
					f.recovery = max(f.recovery, time.Duration(s.ended-heal))
				}
			}
		}
		if length, end := longestStall(moves); length > f.stall {
			f.stall, f.stalled, f.stallEnd = length, int32(p), time.Unix(0, end) //nolint:gosec // a partition's number
		}
	}
	slices.Sort(ages)
	if n := len(ages); n > 0 {
		f.p99 = ages[min(n*99/100, n-1)]
	}
}

// move is a change in the amount of a partition's work: an event that came, or
// one that was handled.
// at is in nanoseconds; by is 1 for an event that came and −1 for one that was
// handled.
type move struct {
	at int64
	by int
}

// longestStall returns the longest time between two steps of progress during
// which there was work throughout, and when it ended.
func longestStall(moves []move) (longest time.Duration, end int64) {
	// At equal times, count arrivals first: a queue that never becomes empty must not
	// look idle.
	slices.SortFunc(moves, func(a, b move) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(b.by, a.by)) })
	// since is when the last event was handled, or when work came to an idle partition.
	waiting, since := 0, int64(0)
	for _, m := range moves {
		if m.by > 0 {
			if waiting == 0 {
				since = m.at
			}
		} else {
			if length := time.Duration(m.at - since); length > longest {
				longest, end = length, m.at
			}
			since = m.at
		}
		waiting += m.by
	}
	return longest, end
}

// flow counts the events of healthy keys that were offered between two times,
// and those that were handled.
func flow(e *evidence, from, to int64) (offers, ends int) {
	for i := range e.entries {
		line := &e.entries[i]
		if line.at < from || line.at >= to || e.exempt != nil && e.exempt(line.key) {
			continue
		}
		switch line.deed {
		case offered:
			offers++
		case handled:
			ends++
		}
	}
	return offers, ends
}
