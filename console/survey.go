package console

import (
	"cmp"
	"slices"
	"time"

	"github.com/eventbus-go/eventbus"
)

// survey is the state of the bus over all members that have answered. It is made for one
// page and belongs to it, but the inspections that it points to are shared and must not be
// changed.
type survey struct {
	Members []sighting
	Groups  []*groupState // by name
}

// groupState is a consumer group, over all members that report it. Joined counts members
// that are in the group now. Behind is the worst of all partitions; the other figures are
// sums. Rate is in events a second, in the last known step.
type groupState struct {
	Name          string
	Members       int // known here
	Joined        int
	Lag           int64 // of the partitions whose lag is known
	Unknown       int   // partitions whose lag is not
	Behind        time.Duration
	Parked        int64
	Records       int64
	Abandoned     int64
	Subscriptions []*subscriptionState // by name
	Partitions    []partitionState     // the longest stuck first
	Held          []eventbus.HeldType

	Rate                            float64
	LagSpark, BehindSpark, RateLine spark
}

// subscriptionState is a subscription over all members. Concurrency, Running and Stuck are
// sums over the members, in handlers; Longest is the age of the longest running attempt.
type subscriptionState struct {
	Name                        string
	Concurrency, Running, Stuck int
	Longest                     time.Duration
	Discarded                   int64    // events given up since the members started
	Paused, Open                []string // members where it is paused, and where its breaker is not closed
	Limited                     []string // members where events wait for the rate limit
	Breaker                     string   // the worst
}

// partitionState is a partition and the member that has it; at is the member's index. After
// a rebalance, two members may report the same partition for a moment.
type partitionState struct {
	*eventbus.PartitionInspection
	Member string
	at     int
}

// Holding returns the parked key that holds back the watermark, or nil. Without one, the
// event at the watermark is being handled, or its key is not among those in the inspection.
func (p *partitionState) Holding() *eventbus.ParkedKey {
	for i := range p.Parked {
		if p.Parked[i].Offset == p.Watermark {
			return &p.Parked[i]
		}
	}
	return nil
}

// survey combines what the members have reported.
func (d *desk) survey(all []sighting, now time.Time) *survey {
	s := &survey{Members: all}
	groups := make(map[string]*groupState)
	for i := range all {
		if all[i].Seen == nil || all[i].Silent() {
			continue // its last answer may no longer be true; pages show when that was
		}
		for k := range all[i].Seen.Groups {
			g := &all[i].Seen.Groups[k]
			state := groups[g.Name]
			if state == nil {
				state = &groupState{Name: g.Name}
				groups[g.Name] = state
				s.Groups = append(s.Groups, state)
			}
			state.add(&all[i], g)
		}
	}
	// Sorted by name, so that the order on a live page is stable.
	slices.SortFunc(s.Groups, func(x, y *groupState) int { return cmp.Compare(x.Name, y.Name) })
	for _, g := range s.Groups {
		g.finish(d.watch.history.of(g.Name, now))
	}
	return s
}

// add adds a member's report.
func (g *groupState) add(m *sighting, seen *eventbus.GroupInspection) {
	g.Members++
	if seen.Joined && seen.Alive {
		g.Joined++
	}
	g.Parked += seen.ParkedKeys
	g.Records += seen.Records
	g.Abandoned += seen.Abandoned
	g.Held = append(g.Held, seen.Held...)
	for i := range seen.Subscriptions {
		g.addSubscription(m.Member, &seen.Subscriptions[i])
	}
	for i := range seen.Partitions {
		p := &seen.Partitions[i]
		g.Partitions = append(g.Partitions, partitionState{p, m.Member, m.at})
		// An unknown lag is −1. It is counted apart, so that the sum does not pass for the whole.
		g.Lag += max(p.Lag, 0)
		if p.Lag < 0 {
			g.Unknown++
		}
		g.Behind = max(g.Behind, time.Duration(p.BehindMs)*time.Millisecond)
	}
}

// addSubscription adds a member's report on one subscription. A group has few, so a linear
// search is enough.
func (g *groupState) addSubscription(member string, seen *eventbus.SubscriptionInspection) {
	i := slices.IndexFunc(g.Subscriptions, func(s *subscriptionState) bool { return s.Name == seen.Name })
	if i < 0 {
		i = len(g.Subscriptions)
		g.Subscriptions = append(g.Subscriptions, &subscriptionState{Name: seen.Name, Breaker: seen.Breaker})
	}
	s := g.Subscriptions[i]
	s.Concurrency += seen.Concurrency
	s.Running += seen.Running
	s.Stuck += seen.Stuck
	s.Longest = max(s.Longest, time.Duration(seen.LongestMs)*time.Millisecond)
	s.Discarded += seen.Discarded
	if seen.Limited {
		s.Limited = append(s.Limited, member)
	}
	if seen.Paused {
		s.Paused = append(s.Paused, member)
	}
	// Each member has its own breaker. An open one outweighs closed ones.
	if seen.Breaker != "" && seen.Breaker != "closed" {
		s.Open = append(s.Open, member)
		s.Breaker = seen.Breaker
	}
}

// finish sorts, and adds the history. It is called after the last add, since the order
// depends on all members.
func (g *groupState) finish(f figures) {
	slices.SortFunc(g.Subscriptions, func(x, y *subscriptionState) int { return cmp.Compare(x.Name, y.Name) })
	slices.SortStableFunc(g.Partitions, func(x, y partitionState) int {
		return cmp.Or(cmp.Compare(y.StalledMs, x.StalledMs), cmp.Compare(y.Lag, x.Lag), cmp.Compare(x.Topic, y.Topic), cmp.Compare(x.Partition, y.Partition))
	})
	// Without history the rate is 0, and nothing is drawn.
	if n := len(f.Rate); n > 0 {
		g.Rate = f.Rate[n-1]
	}
	number := func(v float64) string { return count(int64(v)) }
	g.LagSpark = newSpark("lag", f.Lag, number)
	g.BehindSpark = newSpark("lag in time", f.Behind, func(v float64) string { return span(time.Duration(v * float64(time.Second))) })
	g.RateLine = newSpark("events handled", f.Rate, rate)
}
