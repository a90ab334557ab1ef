package main

import "time"

// storm is the size of ruling 40's and 42's storms: 12 buses in 4 processes.
func storm(s scenario) scenario {
	s.parts = 80
	s.crew.Processes, s.crew.Buses = 4, 12
	s.load.Keys = 10_000
	return s
}

// cleanStorm has members join and leave all the time.
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
		// A partition moves again and again; each move waits for one rebalance.
		stall: func([]action) time.Duration { return 10 * time.Second },
	})
}

// killStorm kills member processes, each time after the session of the one
// before has run out.
func killStorm() scenario {
	s := storm(scenario{
		name:  "kill storm",
		about: "member processes die by SIGKILL and come back",
		quick: true,
		load:  load{Events: 250_000, Rate: 3000},
		plan: func(p *plan) {
			end := sized(p.quick, 14*time.Second, 70*time.Second)
			for at := 4 * time.Second; at < end; at += p.between(10*time.Second, 13*time.Second) {
				p.add(at, killMember, p.IntN(4), p.between(time.Second, 3*time.Second).Round(time.Millisecond))
			}
		},
	})
	s.stall = func(actions []action) time.Duration { return s.afterKills(actions) }
	return s
}

// afterKills is ruling 40's bound: session and rebalance, for each owner in a row
// that may have been killed before its partitions came to rest.
func (s scenario) afterKills([]action) time.Duration {
	c := s.defaults().crew
	return c.Session + c.Rebalance
}

// frozenMembers stops and freezes consumers.
func frozenMembers() scenario {
	s := scenario{
		name:  "members stopped and frozen",
		about: "consumer processes get SIGTERM, or SIGSTOP for longer than their session",
		load:  load{Events: 100_000},
		plan: func(p *plan) {
			p.add(3*time.Second, stopMember, p.IntN(3), 2*time.Second)
			p.add(8*time.Second, freezeMember, p.IntN(3), 2*time.Second) // shorter than the session
			p.add(14*time.Second, freezeMember, p.IntN(3), 12*time.Second)
			p.add(32*time.Second, stopMember, p.IntN(3), time.Second)
			p.add(36*time.Second, freezeMember, p.IntN(3), 9*time.Second)
		},
	}
	s.stall = func(actions []action) time.Duration { return s.afterKills(actions) }
	return s
}

// publishersLost does to publishers what is done to consumers elsewhere.
func publishersLost() scenario {
	return scenario{
		name:  "publishers lost",
		about: "publisher processes die by SIGKILL, SIGTERM, and freeze",
		load:  load{Events: 60_000},
		plan: func(p *plan) {
			p.add(4*time.Second, killPublisher, p.IntN(2), time.Second)
			p.add(9*time.Second, freezePublish, p.IntN(2), 5*time.Second)
			p.add(17*time.Second, stopPublisher, p.IntN(2), time.Second)
			p.add(22*time.Second, killPublisher, p.IntN(2), time.Second)
		},
		// What a frozen publisher had offered waits in it.
		stall: func([]action) time.Duration { return 8 * time.Second },
		clean: true,
	}
}

// mixedGroup shares the group with another client's members.
func mixedGroup() scenario {
	s := scenario{
		name:    "mixed group",
		about:   "members of another client hand partitions back and forth with ours",
		load:    load{Events: 60_000},
		foreign: 2,
		rereads: true,
		plan: func(p *plan) {
			for at := 3 * time.Second; at < 28*time.Second; at += p.between(1500*time.Millisecond, 3*time.Second) {
				p.add(at, toggle, p.IntN(8), 0) // 6 buses and 2 of the other's
			}
		},
	}
	s.stall = func([]action) time.Duration { return 15 * time.Second }
	return s
}
