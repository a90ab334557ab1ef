package main

import "time"

// storm gives a scenario the size of a storm: 80 partitions and 12 buses in 4
// processes.
func storm(s scenario) scenario {
	s.parts = 80
	s.crew.Processes, s.crew.Buses = 4, 12
	s.load.Keys = 10_000
	return s
}

// cleanStorm lets members join and leave all the time. Nobody is killed, so
// nothing may be repeated.
func cleanStorm() scenario {
	return storm(scenario{
		name:  "clean storm",
		about: "12 buses join and leave every ≤500 ms for two minutes",
		quick: true,
		clean: true,
		crew:  crew{Heartbeat: 200 * time.Millisecond, Session: 10 * time.Second},
		load:  load{Events: 500_000, Rate: 4000},
		plan: func(p *plan) {
			end := sized(p.quick, 25*time.Second, 120*time.Second)
			for at := 2 * time.Second; at < end; at += p.between(250*time.Millisecond, 500*time.Millisecond) {
				p.add(at, toggle, p.IntN(12), 0)
			}
		},
		// A partition moves again and again, and each move waits for one
		// rebalance.
		stall: func([]action) time.Duration { return 10 * time.Second },
	})
}

// killStorm kills member processes, each after the session of the previous one has ended.
func killStorm() scenario {
	s := storm(scenario{
		name:  "kill storm",
		about: "member processes die by SIGKILL and come back",
		quick: true,
		load:  load{Events: 250_000, Rate: 3000},
		plan: func(p *plan) {
			end := sized(p.quick, 14*time.Second, 70*time.Second)
			for at := 4 * time.Second; at < end; at += p.between(10*time.Second, 13*time.Second) {
				// It comes back within the session of the killed one, so the group has both for a
				// while.
				p.add(at, killMember, p.IntN(4), p.between(time.Second, 3*time.Second).Round(time.Millisecond))
			}
		},
	})
	s.stall = func(actions []action) time.Duration { return s.afterKills(actions) }
	return s
}

// afterKills returns how long a partition may stand still after a kill: until
// the member's session has ended, and the rebalance after it.
func (s scenario) afterKills([]action) time.Duration {
	c := s.defaults().crew
	return c.Session + c.Rebalance
}

// frozenMembers stops and freezes consumer processes.
func frozenMembers() scenario {
	s := scenario{
		name:  "members stopped and frozen",
		about: "consumer processes get SIGTERM, or SIGSTOP for longer than their session",
		load:  load{Events: 100_000},
		plan: func(p *plan) {
			p.add(3*time.Second, stopMember, p.IntN(3), 2*time.Second)
			// Shorter than the session: the member stays in the group. The later freezes are
			// longer.
			p.add(8*time.Second, freezeMember, p.IntN(3), 2*time.Second)
			// Longer than the session: it wakes up expelled, in the middle of work.
			p.add(14*time.Second, freezeMember, p.IntN(3), 12*time.Second)
			p.add(32*time.Second, stopMember, p.IntN(3), time.Second)
			p.add(36*time.Second, freezeMember, p.IntN(3), 9*time.Second)
		},
	}
	s.stall = func(actions []action) time.Duration { return s.afterKills(actions) }
	return s
}

// publishersLost kills, stops and freezes publisher processes.
func publishersLost() scenario {
	return scenario{
		name:  "publishers lost",
		about: "publisher processes die by SIGKILL, SIGTERM, and freeze",
		load:  load{Events: 60_000},
		plan: func(p *plan) {
			p.add(4*time.Second, killPublisher, p.IntN(2), time.Second)
			// A frozen publisher has requests in flight, whose answers wait for it.
			p.add(9*time.Second, freezePublish, p.IntN(2), 5*time.Second)
			p.add(17*time.Second, stopPublisher, p.IntN(2), time.Second)
			p.add(22*time.Second, killPublisher, p.IntN(2), time.Second)
		},
		// Events that a frozen publisher has offered wait in it.
		stall: func([]action) time.Duration { return 8 * time.Second },
		clean: true,
	}
}

// mixedGroup shares the group with members of another client.
func mixedGroup() scenario {
	s := scenario{
		name:    "mixed group",
		about:   "members of another client hand partitions back and forth with ours",
		load:    load{Events: 60_000},
		foreign: 2,
		rereads: true,
		plan: func(p *plan) {
			for at := 3 * time.Second; at < 28*time.Second; at += p.between(1500*time.Millisecond, 3*time.Second) {
				// Six buses and two members of the other client.
				p.add(at, toggle, p.IntN(8), 0)
			}
		},
	}
	s.stall = func([]action) time.Duration { return 15 * time.Second }
	return s
}
