package main

import (
	"fmt"
	"time"
)

// deployment gives a scenario three members, one in each process, that are replaced one
// by one, and two publishers. In the keys of isDependent, events of two types alternate:
// while a member holds one of a type that it does not know, the later ones of its key
// wait, of whichever type.
func deployment(s scenario, kind, name, protocol string) scenario {
	s.name = "type " + kind + " " + name
	s.quick = protocol == cooperative
	s.types, s.clean = true, true
	s.crew = crew{Processes: 3, Buses: 3, Protocol: protocol}
	s.load.Rate, s.load.Keys, s.load.Alternating = 1000, 1000, true
	s.judge = heldAndHandled
	// An eager rebalance waits for the handlers of all members.
	s.stall = func([]action) time.Duration { return 10 * time.Second }
	return s
}

// typeAdded deploys a version that handles a type which the one before does not
// know, member by member. Events of that type are published as soon as the first
// new member is there.
func typeAdded(name, protocol string) scenario {
	return deployment(scenario{
		about: "members that handle one type more replace the others one by one, while events of that type are published (" + name + ")",
		load:  load{Events: 36_000, Late: 1},
		plan: func(p *plan) {
			order, step := p.Perm(3), sized(p.quick, 4*time.Second, 7*time.Second)
			p.add(3*time.Second, upgradeMember, order[0], 0)
			p.add(4*time.Second, startPublisher, 1, 0)
			// In between, two members do not know the type that is published already.
			p.add(4*time.Second+step, upgradeMember, order[1], 0)
			p.add(4*time.Second+2*step, upgradeMember, order[2], 0)
		},
	}, "added", name, protocol)
}

// typeRemoved deploys a version that no longer handles a type, and rolls it back, while
// events of the type are published throughout: those that nobody could handle must not
// be lost.
func typeRemoved(name, protocol string) scenario {
	return deployment(scenario{
		about:   "members that handle one type less replace the others one by one, and are taken back, while events of that type are published (" + name + ")",
		load:    load{Events: 36_000},
		current: true,
		plan: func(p *plan) {
			order, step := p.Perm(3), sized(p.quick, 3*time.Second, 4*time.Second)
			at := 3 * time.Second
			// All go down before the first comes up: for a time nobody handles the type.
			for _, v := range []verb{downgradeMember, upgradeMember} {
				for _, m := range order {
					p.add(at, v, m, 0)
					at += step
				}
			}
		},
	}, "removed", name, protocol)
}

// heldAndHandled checks how many events of the type that not all members knew were
// handled, and how many were held: a scenario in which no member had to hold any shows
// nothing.
func heldAndHandled(t *stage, e *evidence) (wrong []string) {
	owners, first := make(map[uint16]bool), make(map[place]int64)
	held := 0
	for i := range e.entries {
		line := &e.entries[i]
		// Events of the first type by other publishers have these numbers too.
		if !isAlternate(line.key, line.seq) || !t.scenario.alternates(line.key%uint32(t.scenario.load.Processes)) { //nolint:gosec // small
			continue
		}
		at := place{line.partition, line.offset}
		switch line.deed {
		case acked:
			first[at] = line.at
		case handled:
			owners[line.owner] = true
			if since, ok := first[at]; ok && time.Duration(line.at-since) > heldFor {
				held++
			}
		}
	}
	t.say("%d events of the type that not all members know; %d of them handled by %d owners more than %s after they were published", len(first), held, len(owners), heldFor)
	if held == 0 {
		wrong = append(wrong, fmt.Sprintf("no event waited for longer than %s: no member had to hold any", heldFor))
	}
	return wrong
}

// alternates reports whether a publisher, which has the keys that leave its number
// as the remainder, publishes events of two types.
func (s *scenario) alternates(publisher uint32) bool {
	l := &s.load
	return l.Alternating && (l.Late == 0 || int(publisher) >= l.Processes-l.Late)
}

// heldFor is how long an event waits at least if a member held it for another.
const heldFor = time.Second
