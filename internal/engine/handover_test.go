package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus/resilience"
	"github.com/eventbus-go/eventbus/transport"
)

// handovers is the log of a partition that passes through several owners, one after
// another. It is compacted between them, and the later ones are of a version that
// handles fewer types.
type handovers struct {
	t     *testing.T
	rng   *rand.Rand
	there []bool // by offset, whether compaction has left the record

	mu    sync.Mutex // guards ended, and rng while an owner is there
	ended map[int64]int
}

// draw draws a number below n.
func (h *handovers) draw(n int) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.rng.IntN(n)
}

// end records that a record has ended. The caller holds mu.
func (h *handovers) end(r *transport.Record) {
	if h.ended[r.Offset]++; h.ended[r.Offset] > 1 {
		h.t.Errorf("%d has ended again", r.Offset)
	}
}

// handle fails some records of a batch, each in one of the possible ways.
func (h *handovers) handle(_ context.Context, a *Attempt) error {
	h.mu.Lock()
	some := make(someFailed)
	for i, r := range a.Records {
		if h.ended[r.Offset] > 0 {
			h.t.Errorf("%d is handled again", r.Offset)
		}
		switch chance := h.rng.IntN(12); {
		case chance < 4:
			some[i] = errors.New("broken")
		case chance == 4:
			some[i] = errPermanent
		case chance == 5:
			some[i] = errDiscard
			h.end(r)
		case chance == 6:
			some[i] = retryAfter(200 * time.Millisecond)
		default:
			h.end(r)
		}
	}
	wait := time.Duration(h.rng.IntN(20)) * time.Millisecond
	h.mu.Unlock()
	time.Sleep(wait)
	switch {
	case len(some) == 0:
		return nil
	case len(a.Records) == 1:
		return some[0]
	}
	return some
}

// own lets one owner take the partition over from a commit, and returns the owner's last
// commit.
func (h *handovers) own(seed int, later bool, from transport.Commit) transport.Commit {
	sub := &Subscription{
		Name: "s", Concurrency: 1 + seed%8, BatchSize: 1 + seed%4, Handle: h.handle,
		Retry: resilience.Retry{Attempts: 4, Initial: 30 * time.Millisecond, Max: time.Second},
	}
	refused := h.draw(3) == 0
	s := newScript(h.t, options{subs: []*Subscription{sub}, route: func(r *transport.Record) Route {
		if later && r.Offset%7 == 0 {
			return Route{End: Skip, Reason: "unknown type"}
		}
		return Route{Subscription: sub}
	}, deadLetter: func(_ context.Context, f *Failure, done func(error)) {
		if refused {
			done(errors.New("no leader"))
			return
		}
		h.mu.Lock()
		h.end(f.Record)
		h.mu.Unlock()
		done(nil)
	}})
	s.assign(from.Offset, from.Metadata)
	for at, last := from.Offset, int64(len(h.there)); at < last && h.draw(6) > 0; {
		b := s.batch(p0, at)
		b.Next = min(at+1+int64(h.draw(30)), last)
		for ; at < b.Next; at++ {
			if h.there[at] {
				b.Records = append(b.Records, transport.Record{Topic: p0.Topic, Offset: at, LeaderEpoch: -1, Key: fmt.Append(nil, at%13), Value: []byte("v")})
			}
		}
		s.deliver(b)
		pass(time.Duration(h.draw(60)) * time.Millisecond)
	}
	pass(time.Duration(h.draw(300)) * time.Millisecond)
	s.drain()
	if c := s.lastCommit(); c.Offset >= from.Offset {
		return c
	}
	return from
}

// TestHandoversOfACompactedLog: attempts, finished records and decisions are handed over
// to the next owner, even if the log has lost records since: no finished record is
// handled again.
func TestHandoversOfACompactedLog(t *testing.T) {
	for seed := range 60 {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				h := &handovers{t: t, rng: rand.New(rand.NewPCG(uint64(seed), 3)), there: make([]bool, 150), ended: make(map[int64]int)}
				for i := range h.there {
					h.there[i] = h.draw(10) > 0
				}
				var at transport.Commit
				for owner := range 8 {
					at = h.own(seed, owner >= 5, at)
					if _, err := ReadCommit(&transport.Assignment{Partition: p0, Offset: at.Offset, LeaderEpoch: -1, ClusterID: "c", Metadata: at.Metadata}); err != nil {
						t.Errorf("the commit of owner %d: %v", owner, err)
					}
					for i := range h.there {
						h.there[i] = h.there[i] && h.draw(25) > 0
					}
				}
				for offset := range at.Offset {
					if h.there[offset] && h.ended[offset] == 0 && offset%7 != 0 {
						t.Errorf("%d is lost below %d", offset, at.Offset)
					}
				}
			})
		})
	}
}
