package engine

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus/resilience"
)

// TestUncarriedBudgets: failed events whose budgets don't fit into the commit are counted.
// Decisions come before used times, and a budget that does not fit is left out whole.
func TestUncarriedBudgets(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		const failing = maxSpent + 7
		sub := &Subscription{Name: "s", Concurrency: 64, Retry: resilience.Unlimited(), Handle: func(context.Context, *Attempt) error { return errDown }}
		s := newScript(t, options{subs: []*Subscription{sub}})
		s.assign(0, "")
		s.fetch(0, many(5)...)
		pass(time.Minute)
		if p := s.engine.Snapshot().Partitions[0]; p.Uncarried != 0 {
			t.Errorf("%d of 5 are not carried", p.Uncarried)
		}
		s.fetch(5, many(failing)[5:]...)
		pass(time.Minute)
		if p := s.engine.Snapshot().Partitions[0]; p.Uncarried < 7 || p.Uncarried > failing {
			t.Errorf("%d of %d are not carried", p.Uncarried, failing)
		}
		s.drain()
	})
	p := &progress{cluster: "c", epoch: -1}
	for i := range maxSpent {
		b := budget{offset: int64(1000 + i), attempts: 1, first: time.Unix(1, 0), used: time.Minute}
		if i >= maxSpent-10 {
			b.decided = fmt.Sprint("reason ", i)
		}
		p.spent = append(p.spent, b)
	}
	metadata, _ := p.encode(maxMetadata)
	got, err := decodeProgress(assignmentOf(p, metadata))
	if err != nil {
		t.Fatal(err)
	}
	decided, used := 0, 0
	for i, b := range got.spent {
		if b.decided != "" && b.decided == p.spent[i].decided {
			decided++
		}
		if b.used == time.Minute {
			used++
		}
	}
	if decided != 10 || len(got.spent)-used != p.uncarried() {
		t.Errorf("%d of 10 decisions and %d used times came through, %d count as left out", decided, used, p.uncarried())
	}
}

// TestStarvedIsMeasured: it is measured how long ready events have found no worker, from
// the first check that saw it.
func TestStarvedIsMeasured(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCalls()
		s := newScript(t, options{subs: []*Subscription{c.subscription(1)}})
		s.assign(0, "")
		s.fetch(0, "a", "b")
		pass(10 * time.Second)
		if sub := s.engine.Snapshot().Subscriptions[0]; sub.Starved < 8*time.Second || sub.Starved > 10*time.Second {
			t.Errorf("starved for %v after 10 s", sub.Starved)
		}
		c.end(t, 0, nil)
		pass(2 * time.Second)
		if sub := s.engine.Snapshot().Subscriptions[0]; sub.Starved != 0 {
			t.Errorf("starved for %v with nothing ready", sub.Starved)
		}
		c.end(t, 1, nil)
		s.drain()
	})
}
