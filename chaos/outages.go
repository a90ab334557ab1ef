package main

import (
	"fmt"
	"net"
	"time"

	"github.com/eventbus-go/eventbus/chaos/internal/cluster"
)

// rollingBrokers stops and starts the brokers one after another, in an orderly
// way.
func rollingBrokers() scenario {
	return scenario{
		name:  "rolling restart",
		about: "each broker is stopped and started again, one after another",
		quick: true,
		clean: true,
		load:  load{Events: 120_000},
		plan: func(p *plan) {
			first := p.IntN(cluster.Brokers)
			for i := range sized(p.quick, 1, cluster.Brokers) {
				p.add(3*time.Second+time.Duration(i)*14*time.Second, restartBroker, (first+i)%cluster.Brokers+1, 0)
			}
		},
		// A broker that stops in an orderly way hands its partitions over first.
		stall: func([]action) time.Duration { return 10 * time.Second },
	}
}

// brokersMoved gives one broker after another a new address, as a cluster does
// that is replaced node by node, until nobody answers at the addresses that the
// clients were configured with.
func brokersMoved() scenario {
	return scenario{
		name:  "brokers moved",
		about: "each broker comes back at another address, one after another, until no bootstrap address is left",
		clean: true,
		load:  load{Events: 120_000},
		plan: func(p *plan) {
			for i, broker := range p.Perm(cluster.Brokers) {
				p.add(3*time.Second+time.Duration(i)*14*time.Second, moveBroker, broker+1, 0)
			}
		},
		stall: func([]action) time.Duration { return 2*time.Second + replicaBackoff },
		judge: unanswered,
	}
}

// brokerReplaced replaces the only broker that clients were configured with by one with a
// new id, and then that one by another.
func brokerReplaced() scenario {
	const replaced = 2
	return scenario{
		name:      "broker replaced",
		about:     "a broker with another id takes the place of the only bootstrap address, and is replaced in turn",
		clean:     true,
		load:      load{Events: 90_000},
		bootstrap: replaced,
		plan: func(p *plan) {
			p.add(3*time.Second, replaceBroker, replaced, sized(p.quick, 3*time.Second, 10*time.Second))
		},
		// Leaders and coordinators move as its replicas do.
		stall: func([]action) time.Duration { return 5 * time.Second },
		judge: unanswered,
	}
}

// unanswered returns which of the addresses that clients were configured with
// are still those of brokers.
func unanswered(t *stage, _ *evidence) (wrong []string) {
	// A client that could still use an address of its configuration shows nothing.
	for _, address := range t.bootstrap {
		if conn, err := net.DialTimeout("tcp", address, time.Second); err == nil {
			conn.Close()
			wrong = append(wrong, "somebody still answers at "+address)
		}
	}
	return wrong
}

// replicaBackoff is what a partition may wait for its own cluster after leaders
// were elected. A follower that asks its new leader before that broker knows
// that it leads asks again a second later (replica.fetch.backoff.ms), and this
// may happen twice. Until it has caught up nothing is committed.
const replicaBackoff = 2 * time.Second

// afterFencing bounds how soon a partition goes on once the cluster has deposed
// a broker that was lost.
const afterFencing = 3*time.Second + replicaBackoff

// brokersLost kills and freezes brokers under load.
func brokersLost() scenario {
	return scenario{
		name:  "brokers lost",
		about: "a broker dies by SIGKILL, another is frozen by SIGSTOP for 20 s, while publishing goes on",
		quick: true,
		clean: true,
		load:  load{Events: 140_000},
		plan: func(p *plan) {
			// Counted from 0 here, as brokers are counted from 1 in actions.
			killed := p.IntN(cluster.Brokers)
			p.add(4*time.Second, killBroker, killed+1, 12*time.Second)
			if !p.quick {
				// Freeze another broker: the one that came back leads nothing for a
				// while, so freezing it would have no effect.
				p.add(35*time.Second, freezeBroker, (killed+1+p.IntN(cluster.Brokers-1))%cluster.Brokers+1, 20*time.Second)
			}
		},
		stall: func([]action) time.Duration { return afterFencing },
	}
}

// diskFull makes a broker find no space for what it has to append. It answers
// with KAFKA_STORAGE_ERROR as long as it can, and then shuts down.
func diskFull() scenario {
	return scenario{
		name:  "disk full",
		about: "the disk of a broker is full for 15 s: it answers so, and gives up",
		clean: true,
		load:  load{Events: 80_000},
		plan: func(p *plan) {
			p.add(5*time.Second, fillDisk, p.IntN(cluster.Brokers)+1, 15*time.Second)
		},
		stall: func([]action) time.Duration { return afterFencing },
	}
}

// coordinatorMoves gives the group another coordinator every few seconds.
func coordinatorMoves() scenario {
	return moves(moveGroup, 3*time.Second, 5*time.Second, "coordinator moves", "the group's coordinator moves to another broker every few seconds")
}

// leaderMoves gives the partitions of the load other leaders every few seconds.
func leaderMoves() scenario {
	return moves(moveLeaders, 2*time.Second, 4*time.Second, "leader moves", "every partition's leadership moves to another broker every few seconds")
}

// moves repeats an action that moves leaders, with a random time from shortest
// to longest in between.
func moves(leaders verb, shortest, longest time.Duration, name, about string) scenario {
	return scenario{
		name:  name,
		about: about,
		clean: true,
		load:  load{Events: 60_000},
		plan: func(p *plan) {
			for at := 3 * time.Second; at < 26*time.Second; at += p.between(shortest, longest) {
				p.add(at, leaders, nobody, 0)
			}
		},
		stall: func([]action) time.Duration { return 5 * time.Second },
	}
}

// badNetwork slows, resets and cuts the connections between clients and
// brokers.
func badNetwork() scenario {
	return scenario{
		name:    "bad network",
		about:   "connections are slowed, reset, and one broker falls silent",
		load:    load{Events: 90_000},
		proxied: true,
		// Longer than the cut: a member that loses the coordinator stays a
		// member.
		crew:  crew{Session: 15 * time.Second},
		clean: true,
		plan: func(p *plan) {
			p.add(3*time.Second, slowNetwork, nobody, 8*time.Second)
			for at := 13 * time.Second; at < 23*time.Second; at += p.between(500*time.Millisecond, 2*time.Second) {
				p.add(at, resetNetwork, nobody, 0)
			}
			p.add(26*time.Second, cutNetwork, p.IntN(cluster.Brokers)+1, 8*time.Second)
		},
		// A client that is cut off from a partition's leader stands still for
		// that long, until the request times out.
		stall: func([]action) time.Duration { return 20 * time.Second },
	}
}

// openLoop makes a scenario offer events at a fixed rate, whatever happens to them: 30 %
// of the 9,600 events per second that its consumers, 3 buses with 16 handlers of 5 ms
// each, could handle.
func openLoop(s scenario) scenario {
	s.crew = crew{
		Processes: 3, Buses: 3, Concurrency: 16, Work: 5 * time.Millisecond, Poison: s.crew.Poison, Failing: s.crew.Failing, Dependent: s.crew.Dependent,
	}
	s.load.Rate, s.load.Keys, s.load.Dependent = 2880, 1000, s.crew.Dependent
	s.clean = true
	s.stall = func([]action) time.Duration { return 5 * time.Second }
	s.flowing = time.Second
	return s
}

// lettersRefused makes the dead-letter topic refuse writes while one key in a hundred
// fails. Those events stay parked, and no other key may be delayed.
func lettersRefused() scenario {
	return openLoop(scenario{
		name:  "dead letters refused",
		about: "the dead-letter topic takes no writes for 60 s, while one key in a hundred fails",
		load:  load{Events: 230_000},
		crew:  crew{Poison: 100},
		plan: func(p *plan) {
			p.add(5*time.Second, refuseLetters, nobody, 60*time.Second)
		},
	})
}

// poisonFlood makes every event of one key in ten fail, however often it is tried.
func poisonFlood() scenario {
	return openLoop(scenario{
		name:  "poison flood",
		about: "every event of one key in ten fails, at every attempt",
		load:  load{Events: 90_000},
		crew:  crew{Poison: 10},
		plan:  func(*plan) {},
	})
}

// failingKeys makes one key in a hundred fail for two seconds at a time. Their
// retries last longer than that.
func failingKeys() scenario {
	return openLoop(scenario{
		name:  "failing keys",
		about: "one key in a hundred fails for 2 s at a time",
		load:  load{Events: 86_400},
		crew:  crew{Failing: 100},
		plan:  func(*plan) {},
	})
}

// dependencyDown makes the handlers of one key in eight fail, until their
// circuit breaker opens.
func dependencyDown() scenario {
	return openLoop(scenario{
		name:  "dependency down",
		about: "what one key in eight needs is down for 60 s: its circuit breaker opens",
		load:  load{Events: 230_000},
		crew:  crew{Dependent: true},
		plan: func(p *plan) {
			p.add(5*time.Second, loseDependency, nobody, 60*time.Second)
		},
	})
}

// quietService takes down everything that the handlers of a quiet service need for a
// minute. Its subscription has the defaults of every option: they must survive the outage
// without a dead letter, even with few keys.
func quietService(keys int) scenario {
	return scenario{
		name:  fmt.Sprintf("quiet service %d", keys),
		about: fmt.Sprintf("what handlers need is down for 60 s, with all defaults and %d keys: no event may become a dead letter", keys),
		quick: keys == 3,
		clean: true,
		load:  load{Processes: 1, Events: 240, Rate: 3, Keys: keys},
		crew:  crew{Processes: 1, Buses: 1, Defaults: true},
		plan: func(p *plan) {
			p.add(5*time.Second, loseDependency, nobody, sized(p.quick, 20*time.Second, time.Minute))
		},
		// The outage itself, and the longest wait before an attempt, which is 30 s.
		stall: func(actions []action) time.Duration { return actions[0].lasts + 35*time.Second },
		judge: nothingDead,
	}
}

// nothingDead returns an error for a scenario in which no event may become a dead
// letter.
func nothingDead(_ *stage, e *evidence) (wrong []string) {
	if n := len(e.dead); n > 0 {
		wrong = append(wrong, fmt.Sprintf("%d events became dead letters", n))
	}
	return wrong
}
