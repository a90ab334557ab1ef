package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus/resilience"
	"github.com/eventbus-go/eventbus/transport"
)

// sick has a subscription whose poisonous keys fail while poison is set, and whose keys
// all fail while down is set, as if a dependency were down.
type sick struct {
	poison, down atomic.Bool
	takes        time.Duration // of an attempt that succeeds
	box          letterBox
	breaker      *resilience.Breaker
	sub          *Subscription
}

var errPoison = errors.New("poison")

func newSick(batch int) *sick {
	d := &sick{breaker: resilience.NewBreaker("b", resilience.BreakerConfig{OpenFor: 2 * time.Second, After: -1})}
	d.poison.Store(true)
	d.sub = &Subscription{
		Name: "s", Concurrency: 4, BatchSize: batch, Breaker: d.breaker,
		Retry:  resilience.Retry{Attempts: 3, Initial: time.Millisecond, Max: time.Millisecond},
		Handle: d.handle,
	}
	return d
}

func (d *sick) handle(_ context.Context, a *Attempt) error {
	switch {
	case d.down.Load():
		return errDown
	case slices.ContainsFunc(a.Records, d.isPoison):
		return errPoison
	}
	<-time.After(d.takes)
	return nil
}

func (d *sick) isPoison(r *transport.Record) bool { return d.poison.Load() && r.Key[0] == 'p' }

// sickKeys returns n healthy keys, with a poisonous one after every fourth.
func sickKeys(n int) (keys []string) {
	for i := range n {
		keys = append(keys, fmt.Sprint("h", i))
		if i%4 == 3 {
			keys = append(keys, fmt.Sprint("p", i))
		}
	}
	return keys
}

// TestOutageSparesSuspects: suspects outlast an outage like all other keys: even one of
// an hour makes no dead letter.
func TestOutageSparesSuspects(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		d := newSick(1)
		s := newScript(t, options{subs: []*Subscription{d.sub}, deadLetter: d.box.write})
		s.assign(0, "")
		s.fetch(0, sickKeys(40)...)
		pass(time.Minute)
		if len(d.box.letters) != 10 || d.breaker.State() != resilience.Closed {
			t.Fatalf("%d dead letters, the breaker is %v", len(d.box.letters), d.breaker.State())
		}
		d.poison.Store(false) // the suspects would succeed but for the outage
		d.down.Store(true)
		s.fetch(50, many(20)...)
		s.fetch(70, sickKeys(40)...)
		pass(time.Hour)
		if len(d.box.letters) != 10 {
			t.Fatalf("the outage made %d dead letters", len(d.box.letters)-10)
		}
		d.down.Store(false)
		pass(time.Minute)
		if d.breaker.State() != resilience.Closed || len(d.box.letters) != 10 {
			t.Errorf("the breaker is %v, %d dead letters", d.breaker.State(), len(d.box.letters))
		}
		s.drain()
		wantCommit(t, s, 120)
	})
}

// TestSuspectsAreLeftAlone: when all keys that could close an open breaker have moved to
// another member, the suspects that are left do not wait without end.
func TestSuspectsAreLeftAlone(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		d := newSick(1)
		// So others succeed after the first poisonous keys have failed, which makes those suspects.
		d.takes = 2 * time.Millisecond
		s := newScript(t, options{subs: []*Subscription{d.sub}, deadLetter: d.box.write})
		s.assign(0, "")
		s.fetch(0, sickKeys(40)...)
		pass(time.Minute)
		other := transport.Partition{Topic: "t", Partition: 1}
		s.assignPartition(other, 0, "")
		d.down.Store(true)
		s.deliver(s.batch(other, 0, many(20)...))
		d.down.Store(false)
		more := s.batch(p0, 50, "p3", "p7", "p11", "p3")
		more.Epoch = 1
		s.deliver(more)
		if d.breaker.State() != resilience.Open {
			t.Fatalf("the breaker is %v", d.breaker.State())
		}
		s.engine.Lost([]transport.Partition{other})
		s.owned = []transport.Partition{p0}
		pass(time.Minute)
		if len(d.box.letters) != 14 {
			t.Errorf("%d dead letters, want 14; the breaker is %v", len(d.box.letters), d.breaker.State())
		}
		s.drain()
		wantCommit(t, s, 54)
	})
}

// TestSuspectInABatch: a poisonous key fails its whole batch, which says nothing about the
// other keys. Those run again alone, and the breaker does not open.
func TestSuspectInABatch(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		d := newSick(2)
		s := newScript(t, options{subs: []*Subscription{d.sub}, deadLetter: d.box.write})
		s.assign(0, "")
		s.fetch(0, sickKeys(40)...)
		pass(10 * time.Minute) // the breaker may take these for an outage at first
		if len(d.box.letters) != 10 {
			t.Fatalf("%d dead letters", len(d.box.letters))
		}
		var pairs []string
		for i := 3; i < 40; i += 4 { // the healthy key is the first of each batch
			pairs = append(pairs, fmt.Sprint("h", i), fmt.Sprint("p", i))
		}
		opened := d.breaker.OpenFor()
		s.fetch(50, pairs...)
		pass(time.Minute)
		if d.breaker.OpenFor() != opened || len(d.box.letters) != 20 {
			t.Errorf("the breaker was open for another %v, %d dead letters", d.breaker.OpenFor()-opened, len(d.box.letters))
		}
		s.drain()
		wantCommit(t, s, 70)
	})
}
