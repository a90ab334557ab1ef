package engine

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

// A record that blocks its key permanently can be skipped; that is counted, and the
// key continues.
func TestSkip(t *testing.T) {
	for name, o := range map[string]struct {
		route  Route
		letter error
		state  string
	}{
		"dead letter refused": {Route{End: DeadEnd, Reason: "malformed"}, errors.New("too large"), "awaiting dead letter"},
		"unknown type":        {Route{End: Hold, Reason: "unknown-type"}, nil, "held"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				c := newCalls()
				sub := c.subscription(8)
				counted := &skips{n: make(map[string]int64)}
				s := newScript(t, options{
					subs: []*Subscription{sub}, observer: counted,
					route: func(r *transport.Record) Route {
						if r.Offset == 1 {
							return o.route
						}
						return Route{Subscription: sub}
					},
					deadLetter: func(_ context.Context, _ *Failure, done func(error)) { done(o.letter) },
				})
				s.assign(0, "")
				s.fetch(0, "a", "b", "b")
				pass(time.Minute)
				if p := s.engine.Snapshot().Partitions[0]; len(p.Parked) != 1 || p.Parked[0].State != o.state {
					t.Fatalf("parked: %+v", p.Parked)
				}
				for offset, want := range map[int64]string{0: "not held up for good (running)", 2: "no key", 7: "no key"} {
					if _, err := s.engine.Skip(p0, offset); err == nil || !strings.Contains(err.Error(), want) {
						t.Errorf("skip %d: %v", offset, err)
					}
				}
				if _, err := s.engine.Skip(transport.Partition{Topic: "u"}, 1); !errors.Is(err, ErrNotFound) {
					t.Errorf("of another topic: %v", err)
				}
				f, err := s.engine.Skip(p0, 1)
				if err != nil {
					t.Fatal(err)
				}
				if f.Reason != o.route.Reason || string(f.Record.Key) != "b" {
					t.Errorf("skipped %+v", f)
				}
				if counted.n[SkippedByOperator] != 1 {
					t.Errorf("counted %v", counted.n)
				}
				wantRunning(t, c, 0, 2)
				c.end(t, 0, nil)
				tick()
				wantCommit(t, s, 2)
				c.end(t, 2, nil)
				if _, err := s.engine.Skip(p0, 1); !errors.Is(err, ErrNotFound) {
					t.Errorf("again: %v", err)
				}
				if snap := s.engine.Snapshot(); snap.ParkedKeys != 0 || snap.ParkedBytes != 0 || snap.Records != 0 {
					t.Errorf("left over: %+v", snap)
				}
				s.drain()
				wantCommit(t, s, 3)
			})
		})
	}
}

// Errors distinguish a record that waits for something else from one that is not
// here.
func TestUnparkSaysWhyNot(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCalls()
		sub := c.subscription(8)
		release := make(chan func(error), 1)
		s := newScript(t, options{
			subs: []*Subscription{sub},
			route: func(r *transport.Record) Route {
				switch string(r.Key) {
				case "held":
					return Route{End: Hold}
				case "dead":
					return Route{End: DeadEnd}
				}
				return Route{Subscription: sub}
			},
			deadLetter: func(_ context.Context, _ *Failure, done func(error)) { release <- done },
		})
		s.assign(0, "")
		s.fetch(0, "held", "dead", "well")
		for key, want := range map[string]string{"held": "no handler here knows", "dead": "is being written", "well": "no such key"} {
			err := s.engine.Unpark(p0, []byte(key))
			if err == nil || !strings.Contains(err.Error(), want) || errors.Is(err, ErrNotFound) != (key == "well") {
				t.Errorf("%s: %v", key, err)
			}
		}
		if _, err := s.engine.Skip(p0, 1); err == nil || !strings.Contains(err.Error(), "is being written") {
			t.Errorf("skip: %v", err)
		}
		(<-release)(nil)
		c.end(t, 2, nil)
		s.drain()
		wantCommit(t, s, 0)
		if _, err := s.engine.Skip(p0, 0); !errors.Is(err, ErrNotFound) {
			t.Errorf("after the end: %v", err)
		}
	})
}

// The status of the watermark says so if a subscription that an operator has paused
// keeps it.
func TestHeldSubscriptionIsShown(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCalls()
		sub := c.subscription(8)
		sub.Hold(true)
		s := newScript(t, options{subs: []*Subscription{sub}})
		s.assign(0, "")
		s.fetch(0, "a")
		if snap := s.engine.Snapshot(); !snap.Partitions[0].OldestHeld || !snap.Subscriptions[0].Held {
			t.Errorf("%+v", snap)
		}
		pass(time.Hour)
		if age := s.engine.Snapshot().Partitions[0].OldestAge; age < time.Hour {
			t.Errorf("waits for %v", age)
		}
		sub.Hold(false)
		wantRunning(t, c, 0)
		if snap := s.engine.Snapshot(); snap.Partitions[0].OldestHeld || snap.Subscriptions[0].Held || snap.Partitions[0].OldestAge > 0 {
			t.Errorf("%+v", snap)
		}
		c.end(t, 0, nil)
		s.drain()
	})
}
