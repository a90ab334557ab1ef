package main

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// action is one line of a schedule: what is done, how long after the start, to which
// target, and for how long. Actions of one schedule may overlap, unless perform says
// otherwise.
type action struct {
	at   time.Duration
	verb verb
	// target is the number of a bus, process or broker, or nobody.
	target int
	// lasts is the time until the action is undone; 0 if it is not.
	lasts time.Duration
}

// verb is the kind of an action. The schedule prints its text.
type verb string

const (
	toggle          verb = "toggle bus" // one that is a member leaves, another joins
	killMember      verb = "SIGKILL member process"
	upgradeMember   verb = "upgrade member process"
	downgradeMember verb = "downgrade member process"
	stopMember      verb = "SIGTERM member process"
	freezeMember    verb = "SIGSTOP member process"
	startPublisher  verb = "start publisher"
	killPublisher   verb = "SIGKILL publisher"
	stopPublisher   verb = "SIGTERM publisher"
	freezePublish   verb = "SIGSTOP publisher"
	restartBroker   verb = "restart broker"
	moveBroker      verb = "move broker"
	replaceBroker   verb = "replace broker by another"
	killBroker      verb = "SIGKILL broker"
	freezeBroker    verb = "SIGSTOP broker"
	fillDisk        verb = "disk full at broker"
	moveGroup       verb = "move coordinators"
	moveLeaders     verb = "move leaders"
	refuseLetters   verb = "dead-letter topic refuses"
	loseDependency  verb = "dependency down"
	slowNetwork     verb = "slow network"
	resetNetwork    verb = "reset connections"
	cutNetwork      verb = "cut network to broker"
)

// String returns the action as -schedule prints it.
func (a action) String() string {
	s := fmt.Sprintf("%7.2fs %s", a.at.Seconds(), a.verb)
	if a.target >= 0 {
		s += fmt.Sprintf(" %d", a.target)
	}
	if a.lasts > 0 {
		s += fmt.Sprintf(" for %s", a.lasts)
	}
	return s
}

// nobody is the target of actions that have no target.
const nobody = -1

// plan is a schedule under construction. Everything random in it comes from one seed.
// actions are in the order in which they were added.
type plan struct {
	*rand.Rand
	actions []action
	quick   bool
}

// random returns the random numbers of one scenario and seed. They depend on
// the scenario's name, so that adding a scenario leaves the others as they
// were.
func random(seed uint64, scenario string) *rand.Rand {
	h := uint64(14695981039346656037) // FNV-1a
	for _, c := range []byte(scenario) {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return rand.New(rand.NewPCG(seed, h)) //nolint:gosec // not for secrets
}

// add adds an action.
func (p *plan) add(at time.Duration, v verb, target int, lasts time.Duration) {
	p.actions = append(p.actions, action{at.Round(time.Millisecond), v, target, lasts})
}

// between returns a random duration from least to most.
func (p *plan) between(least, most time.Duration) time.Duration {
	return least + time.Duration(p.Int64N(int64(most-least)+1))
}

// sized returns small in a quick campaign, otherwise full.
func sized[V any](quick bool, small, full V) V {
	if quick {
		return small
	}
	return full
}

// sorted returns the actions in order of time.
func (p *plan) sorted() []action {
	// Stable: actions of the same moment stay in the order of the plan, on every run.
	slices.SortStableFunc(p.actions, func(a, b action) int { return cmp.Compare(a.at, b.at) })
	return p.actions
}
