package main

import (
	"context"
	"time"
)

// scenario is one trial: a load, the consumers, what is done to them, and what
// has to hold then.
type scenario struct {
	name  string
	about string
	quick bool // also part of the quick campaign
	load  load
	crew  crew
	parts int32 // partitions; 0: 12
	// proxied puts proxies before the brokers.
	proxied bool
	foreign int // members of another client in the group
	spare   int // of crew.Buses: join only when the schedule says so
	plan    func(*plan)
	// stall bounds how long a partition with work may stand still, given the
	// schedule.
	stall func([]action) time.Duration
	// clean says that nothing may be repeated.
	clean bool
	// rereads says that repeats need no kill: a member that knows nothing of
	// ours reads what lies beyond the watermark again.
	rereads bool
	// flowing demands that healthy keys keep their throughput and age during
	// faults.
	flowing time.Duration
	// joining demands, if it is not zero, that for so long after a join the
	// partitions that stay put flow as they did for so long before it.
	joining time.Duration
	// soak demands, if it is not zero, that no process grows while the load goes on
	// for so long.
	soak time.Duration
	// run replaces all of the above.
	run func(context.Context, *stage) (*result, error)
}

// defaults fills in what a scenario leaves open.
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

func orElse[V comparable](v *V, other V) {
	if *v == *new(V) {
		*v = other
	}
}

// scenarios are all there are, in order of a campaign.
func scenarios() []scenario {
	return []scenario{
		cleanStorm(), killStorm(), rollingBrokers(), brokersLost(), diskFull(), frozenMembers(), publishersLost(),
		lettersRefused(), poisonFlood(), failingKeys(), dependencyDown(), memberJoins(), coordinatorMoves(), leaderMoves(), badNetwork(), mixedGroup(), flights(),
	}
}
