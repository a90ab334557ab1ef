package main

import (
	"fmt"
	"time"
)

// memberJoins adds a bus to a working group. Partitions that stay with their member must keep
// flowing.
func memberJoins() scenario {
	return scenario{
		name:    "member joins",
		about:   "a third bus joins two that are at work",
		clean:   true,
		load:    load{Events: 60_000},
		crew:    crew{Processes: 3, Buses: 3},
		spare:   1,
		joining: 10 * time.Second,
		plan: func(p *plan) {
			p.add(14*time.Second, toggle, 2, 0)
		},
		stall: func([]action) time.Duration { return 5 * time.Second },
	}
}

// smallGap is how long partitions that stay may always stand still when a member joins. Beyond
// it, the bound is twice the standstill without a join.
const smallGap = 200 * time.Millisecond

// joinGaps compares the window after each join with the one before it, for the partitions that
// kept their owner through both, by the longest time between two ends of handlers: with a steady
// load, that is how long a partition stands still. Delays of the host occur in both windows, so
// the bound depends on the window before.
func (t *stage) joinGaps(e *evidence) (wrong []string) {
	length := int64(t.scenario.joining)
	for _, at := range t.joins {
		before, kept := longestGaps(e.entries, at-length, at)
		after, still := longestGaps(e.entries, at, at+length)
		var with, without time.Duration
		stayed := 0
		for p, owner := range kept {
			// A partition without a handled event in a window is in neither kept nor still.
			if owner != 0 && still[p] == owner {
				stayed++
				// Take the largest over all partitions, since a slow one is slow in both
				// windows.
				with, without = max(with, after[p]), max(without, before[p])
			}
		}
		t.say("%d of %d partitions stayed put: largest gap %s with the join, %s in as much time before it",
			stayed, len(kept), with.Round(time.Millisecond), without.Round(time.Millisecond))
		if bound := max(t.bound(smallGap), 2*without); stayed == 0 || with > bound {
			wrong = append(wrong, fmt.Sprintf("of %d partitions that stayed put one stood still for %s, more than %s", stayed, with, bound))
		}
	}
	return wrong
}

// longestGaps returns, by partition, the longest time without the end of a handler within [from,
// to), and its owner, or 0 if the owner changed.
func longestGaps(entries []entry, from, to int64) (gaps map[int32]time.Duration, owners map[int32]uint16) {
	last := make(map[int32]int64)
	gaps, owners = make(map[int32]time.Duration), make(map[int32]uint16)
	for i := range entries {
		line := &entries[i]
		if line.deed != handled || line.at < from || line.at >= to {
			continue
		}
		since, known := last[line.partition]
		if !known {
			// The first gap begins with the window.
			since, owners[line.partition] = from, line.owner
		}
		if owners[line.partition] != line.owner {
			owners[line.partition] = 0
		}
		gaps[line.partition] = max(gaps[line.partition], time.Duration(line.at-since))
		last[line.partition] = max(line.at, since)
	}
	// The last gap ends with it.
	for p, at := range last {
		gaps[p] = max(gaps[p], time.Duration(to-at))
	}
	return gaps, owners
}
