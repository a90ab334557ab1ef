package check

import (
	"cmp"
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/eventbus-go/eventbus"
)

// Plan describes a trial. Topic, Event and Handler are required.
type Plan[T any] struct {
	// Topic is where the events are published. It needs a key.
	Topic *eventbus.Topic[T]
	// Event returns event n of a key, both counted from 0. Topic must give all
	// events of one key the same key, and those of different keys different ones.
	Event func(key, n int) T
	// Handler is what is tested. It runs in a bubble, on several goroutines.
	Handler func(context.Context, T) error
	// Effects, if not nil, returns the events of a key that have taken effect, in
	// order, each as often as it took effect. It is called at the end.
	Effects func(key int) []int

	// Keys is the number of keys, PerKey the number of events of each. Defaults 8 and 25.
	Keys, PerKey int
	// Members is how many members the group has. Default 3.
	Members int
	// Faults are injected during the trial. Nil means all of Faults; an empty
	// slice means none.
	Faults []Fault
	// Options are added to the check's own options of the subscription: a timeout
	// of 2 s per attempt, 6 attempts, and no circuit breaker. Later ones win.
	Options []eventbus.SubscribeOption
	// Seed determines everything that is random. Default 1.
	Seed uint64
}

// validate returns everything that is wrong with a plan.
func (p *Plan[T]) validate() error {
	var wrong []error
	add := func(bad bool, text string) {
		if bad {
			wrong = append(wrong, errors.New(text))
		}
	}
	add(p.Topic == nil, "Topic is missing")
	add(p.Event == nil, "Event is missing: make event n of a key")
	add(p.Handler == nil, "Handler is missing")
	add(p.Keys < 0 || p.PerKey < 0 || p.Members < 0, "Keys, PerKey and Members can't be negative")
	// Events are made only if there is a function to make them.
	if len(wrong) == 0 && p.Topic != nil {
		keys := make(map[string]int)
		for key := range p.Keys {
			first, ok := p.Topic.KeyOf(p.Event(key, 0))
			last, _ := p.Topic.KeyOf(p.Event(key, p.PerKey-1))
			add(!ok, "events of the topic have no key, so their order can't be checked")
			add(first != last, "Event gives events of one key different keys")
			_, taken := keys[first]
			add(taken && ok, "Event gives several keys the same key")
			keys[first] = key
			if len(wrong) > 0 {
				break
			}
		}
	}
	return errors.Join(wrong...)
}

// Run runs the plan and, if anything broke, fails the test with the report.
func Run[T any](t *testing.T, plan Plan[T]) {
	t.Helper()
	if r := Try(t, plan); !r.Clean() {
		t.Errorf("%v", r)
	}
}

// Try runs the plan and returns its report. The test fails if the plan can't be
// run.
func Try[T any](t *testing.T, plan Plan[T]) *Report {
	t.Helper()
	plan.Keys, plan.PerKey = cmp.Or(plan.Keys, 8), cmp.Or(plan.PerKey, 25)
	plan.Members, plan.Seed = cmp.Or(plan.Members, 3), cmp.Or(plan.Seed, 1)
	if plan.Faults == nil {
		plan.Faults = Faults()
	}
	if err := plan.validate(); err != nil {
		t.Fatalf("check: %v", err)
	}
	var report *Report
	synctest.Test(t, func(t *testing.T) {
		report = newTrial(t, &plan).run()
	})
	return report
}
