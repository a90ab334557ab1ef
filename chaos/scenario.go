package main

import (
	"context"
	"time"
)

// scenario is one trial: a load, the consumers, what is done to them, and what must
// hold afterwards.
type scenario struct {
	// name selects the scenario with -only; about says in a sentence what it
	// does.
	name  string
	about string
	// quick reports whether the scenario is also part of the quick campaign.
	quick bool
	// load and crew are filled in by defaults.
	load load
	crew crew
	// parts is the number of partitions; 0 is 12.
	parts int32
	// proxied puts a proxy before each broker.
	proxied bool
	// bootstrap is the one broker that clients are configured with, counted from
	// 1; 0 is all of them.
	bootstrap int
	// foreign is the number of another client's members in the group.
	foreign int
	// spare is how many of crew.Buses join only when the schedule says so.
	spare int
	// plan adds the actions.
	plan func(*plan)
	// stall returns how long a partition with work may stand still, given the
	// schedule.
	stall func([]action) time.Duration
	// clean demands that nothing is repeated.
	clean bool
	// rereads allows repetitions without a kill: another client's member knows only
	// the watermark, and reads finished records beyond it again.
	rereads bool
	// flowing, if not zero, demands that healthy keys keep their throughput
	// during faults, and that the 99th percentile of their age is at most this.
	flowing time.Duration
	// joining, if not zero, demands that for this long after a join the
	// partitions that stay with their member flow as they did for as long
	// before it.
	joining time.Duration
	// soak, if not zero, is how long the load lasts, during which no process
	// may grow.
	soak time.Duration
	// earlier starts all members and half of the publishers with the earlier
	// version, see versions.go.
	earlier bool
	// types makes upgraded members handle dependent events too, and the others only
	// numbered ones; current makes all start upgraded.
	types, current bool
	// after, if not nil, goes on with the group when everything is handled, and
	// judge returns what else is wrong with what was left behind.
	after func(context.Context, *stage) error
	judge func(*stage, *evidence) []string
	// run, if not nil, replaces all of the above.
	run func(context.Context, *stage) (*result, error)
}

// defaults returns the scenario with what it leaves open filled in.
// The scenario that it is called on stays as it is.
func (s scenario) defaults() scenario {
	if s.parts == 0 {
		s.parts = 12
	}
	c, l := &s.crew, &s.load
	orElse(&c.Processes, 3)
	orElse(&c.Buses, 6)
	orElse(&c.Concurrency, 32)
	orElse(&c.Session, 6*time.Second)
	orElse(&c.Heartbeat, 500*time.Millisecond)
	orElse(&c.Rebalance, 10*time.Second)
	orElse(&c.Work, time.Millisecond)
	orElse(&l.Processes, 2)
	orElse(&l.Keys, 1000)
	orElse(&l.Rate, 2000)
	orElse(&l.Pad, 100)
	return s
}

// orElse sets v to other if it is zero.
func orElse[V comparable](v *V, other V) {
	if *v == *new(V) {
		*v = other
	}
}
