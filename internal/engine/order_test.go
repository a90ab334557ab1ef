package engine

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus/resilience"
	"github.com/eventbus-go/eventbus/transport"
)

// chance returns a number below n that depends only on its arguments, so that
// handlers fail in the same way wherever they run.
func chance(n int, of ...any) int {
	h := fnv.New64a()
	fmt.Fprint(h, of...)
	return int(h.Sum64() >> 8 % uint64(n))
}

// scenario is a random history of a group, determined by its seed.
type scenario struct {
	*rig
	seed    int
	rng     *rand.Rand
	order   Order
	members []*member
	written int
}

func (s *scenario) write() {
	r := transport.Record{Partition: transport.AnyPartition, Value: fmt.Appendf(nil, "event %d", s.written)}
	switch k := s.rng.IntN(12); k {
	case 0:
		r.Key = nil
	case 1:
		r.Key = []byte{}
	default:
		r.Key = []byte(keyN(k))
	}
	s.written++
	s.rig.write(typed([]string{"one", "two", "batch"}[s.rng.IntN(3)], r))
}

// outcome returns the outcome of an attempt at a record.
func (s *scenario) outcome(r *transport.Record, attempt int) error {
	switch chance(20, s.seed, r.Partition, r.Offset, attempt, time.Now().UnixMilli()) {
	case 0, 1, 2:
		return errors.New("broken")
	case 3:
		return errPermanent
	case 4:
		return retryAfter(30 * time.Millisecond)
	case 5:
		return errDiscard
	}
	return nil
}

func (s *scenario) join() {
	single := func(ctx context.Context, r *transport.Record, attempt int) error {
		if chance(3, s.seed, "slow", r.Offset) == 0 {
			time.Sleep(time.Duration(chance(40, s.seed, "ms", r.Offset)) * time.Millisecond)
		}
		if chance(30, s.seed, "wait", r.Offset, time.Now().UnixMilli()) == 0 {
			return errWait
		}
		return s.outcome(r, attempt)
	}
	retry := resilience.Retry{Attempts: 3, Initial: 20 * time.Millisecond, Max: 200 * time.Millisecond}
	one, two := s.handled("one", single), s.handled("two", single)
	one.Concurrency, two.Concurrency = 1+s.seed%7, 3
	batch := &Subscription{Name: "batch", Concurrency: 2, BatchSize: 1 + s.seed%6, Handle: s.batch}
	if s.seed%2 == 0 {
		batch.Gatherer = NewGatherer(time.Duration(10+s.seed%90) * time.Millisecond)
	}
	if s.seed%3 == 0 {
		one.Limit, batch.Limit = NewLimit(300, 1+s.seed%5), NewLimit(400, 3)
	}
	for _, sub := range []*Subscription{one, two, batch} {
		sub.Retry, sub.Order = retry, s.order
		sub.Breaker = resilience.NewBreaker(sub.Name, resilience.BreakerConfig{MinKeys: 3, OpenFor: 300 * time.Millisecond})
	}
	s.members = append(s.members, s.rig.join(options{
		subs: []*Subscription{one, two, batch},
		deadLetter: func(_ context.Context, f *Failure, done func(error)) {
			record := f.Record
			if chance(3, s.seed, "letter", record.Offset, time.Now().UnixMilli()) == 0 {
				done(errors.New("no leader"))
				return
			}
			go func() {
				time.Sleep(time.Duration(chance(30, s.seed, "letter", record.Offset)) * time.Millisecond)
				s.ledger.bury(record)
				done(nil)
			}()
		},
		observer: &burying{ledger: s.ledger},
		bounds:   Bounds{Records: 60, MinRecords: 5, ParkedKeys: 6},
	}))
}

// burying records discarded records as ended.
type burying struct {
	NoObserver
	ledger *ledger
}

func (b *burying) Discarded(f *Failure) { b.ledger.bury(f.Record) }

// batch fails a whole batch, or marks the records that failed.
func (s *scenario) batch(_ context.Context, a *Attempt) error {
	if len(a.Records) > 1 && chance(5, s.seed, "batch", a.Records[0].Offset) == 0 {
		return errors.New("all of it")
	}
	some, failed := make(someFailed), make(map[key]error)
	for i, r := range a.Records {
		err := failed[s.ledger.order(r)] // records behind a failed one are not handled
		if err == nil {
			s.ledger.start(r)
			err = s.outcome(r, a.Number)
			s.ledger.stop(r, err == nil)
		}
		if err != nil {
			some[i], failed[s.ledger.order(r)] = err, err
		}
	}
	switch {
	case len(some) == 0:
		return nil
	case len(a.Records) == 1:
		return some[0]
	}
	return some
}

// TestOrderAndNothingLost runs groups through failures, dead letters that fail,
// breakers and handovers: every record ends exactly once, those of a key one at a
// time and in order.
func TestOrderAndNothingLost(t *testing.T) {
	for seed := range 60 {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				s := &scenario{rig: newRig(t, int32(1+seed%3)), seed: seed, rng: rand.New(rand.NewPCG(uint64(seed), 7))}
				if seed%5 == 4 {
					s.order = ByPartition
					s.ledger.order = func(r *transport.Record) key { return key{partition: r.Partition} }
				}
				s.live()
				if n := s.ledger.check(); n != 0 {
					t.Errorf("%d repeated after clean handovers", n)
				}
			})
		})
	}
}

func (s *scenario) live() {
	s.join()
	for range 30 {
		for range s.rng.IntN(30) {
			s.write()
		}
		time.Sleep(time.Duration(s.rng.IntN(200)) * time.Millisecond)
		switch n := len(s.members); s.rng.IntN(6) {
		case 0:
			s.cluster.Rebalance(group)
		case 1:
			if n < 3 {
				s.join()
			}
		case 2:
			if n > 1 {
				i := s.rng.IntN(n)
				s.members[i].leave()
				s.members = append(s.members[:i], s.members[i+1:]...)
			}
		case 3:
			s.cluster.RejectCommits(group, 1, errors.New("coordinator is loading"))
		}
	}
	s.ledger.awaitAll()
	for _, m := range s.members {
		m.leave()
	}
}

// TestNothingLostWhenMembersAreThrownOut is the same with sessions that end and
// unreachable brokers: records may be handled again, but none is lost, and none
// starts before the earlier ones of its key.
func TestNothingLostWhenMembersAreThrownOut(t *testing.T) {
	for seed := range 30 {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				s := &scenario{rig: newRig(t, int32(1+seed%3)), seed: seed, rng: rand.New(rand.NewPCG(uint64(seed), 8))}
				s.ledger.overlapping = true
				s.join()
				s.join()
				for range 20 {
					for range s.rng.IntN(30) {
						s.write()
					}
					time.Sleep(time.Duration(s.rng.IntN(400)) * time.Millisecond)
					if s.rng.IntN(4) == 0 {
						s.cluster.Disconnect()
						time.Sleep(time.Duration(s.rng.IntN(90_000)) * time.Millisecond)
						s.cluster.Reconnect()
						continue
					}
					members := s.cluster.Members(group)
					if len(members) == 0 {
						continue
					}
					if err := s.cluster.Expel(group, members[s.rng.IntN(len(members))].ID); err != nil {
						t.Fatal(err)
					}
				}
				s.ledger.awaitAll()
				for _, m := range s.members {
					ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
					if err := m.Drain(ctx); err != nil {
						t.Error(err)
					}
					cancel()
				}
				pass(time.Second) // handlers that were cut off have ended then
				s.ledger.check()
			})
		})
	}
}
