package engine

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

// releases records what the policy was applied to.
type releases struct {
	skips
	released int
}

func (r *releases) Released(transport.Partition, string, time.Duration) { r.released++ }

func noted() *releases { return &releases{skips: skips{n: make(map[string]int64)}} }

// strict returns the options of a member that handles these types and knows no
// others.
func (r *rig) strict(end End, observer Observer, types ...string) options {
	o := options{observer: observer}
	for _, typ := range types {
		o.subs = append(o.subs, r.handled(typ, nil))
	}
	o.route = func(rec *transport.Record) Route {
		typ, _ := rec.Header("type")
		for _, s := range o.subs {
			if s.Name == string(typ) {
				return Route{Subscription: s}
			}
		}
		return Route{End: end, Topic: "t", Type: string(typ), Reason: "unknown", Err: errors.New("nobody handles it")}
	}
	return o
}

// mixed writes n events of two types in turn, with keys that have both.
func (r *rig) mixed(n int) {
	for i := range n {
		record := to(keyN(i%20), fmt.Sprint(i))
		record.Partition = int32(i % 20 % 2)
		r.write(typed([]string{"V2", "Moved"}[i/20%2], record))
	}
}

// TestRolloutAddsType: if a group's old member knows one type and its new one knows
// two, no event is skipped, whichever member has its partition, and each key's events
// come in order.
func TestRolloutAddsType(t *testing.T) {
	for name, first := range map[string]int{"while both are there": 2, "read by the old one alone": 1} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				r, seen := newRig(t, 2), noted()
				old := r.join(r.strict(Skip, seen, "V2"))
				renewed := r.join(r.strict(Skip, seen, "V2", "Moved"))
				synctest.Wait()
				if first == 1 {
					renewed.leave() // within the grace
				}
				r.mixed(300)
				time.Sleep(20 * time.Second)
				held := old.Snapshot()
				if len(held.Held) != 1 || held.Held[0].Type != "Moved" || held.Held[0].Live != (first == 2) || held.Held[0].Keys == 0 {
					t.Errorf("the old member shows %+v as held", held.Held)
				}
				if first == 1 {
					renewed = r.join(r.strict(Skip, seen, "V2", "Moved"))
					time.Sleep(time.Second)
				}
				old.leave()
				time.Sleep(time.Second)
				renewed.leave()
				if n := r.ledger.check(); n > 0 {
					t.Errorf("%d events handled again", n)
				}
				if seen.released > 0 || seen.n["unknown"] > 0 {
					t.Errorf("%d released, skipped %v", seen.released, seen.n)
				}
			})
		})
	}
}

// TestNobodyHandlesType: events of a type that no member ever handled are skipped at
// once, and hold up no key.
func TestNobodyHandlesType(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r, seen := newRig(t, 2), noted()
		told := 0
		o := r.strict(Skip, seen, "V2")
		o.unhandled = func(topic, typ string) {
			if told++; topic != "t" || typ != "Moved" {
				t.Errorf("told of %s on %s", typ, topic)
			}
		}
		m := r.join(o)
		synctest.Wait()
		for i := range 10 {
			r.aside(typed("Moved", to("k", fmt.Sprint(i))))
		}
		r.write(typed("V2", to("k", "v")))
		synctest.Wait()
		if s := m.Snapshot(); s.Records != 0 || len(s.Held) != 0 {
			t.Errorf("%d records in hand, held %v", s.Records, s.Held)
		}
		m.leave()
		r.ledger.check()
		if seen.n["unknown"] != 10 || told != 10 || seen.released != 0 {
			t.Errorf("skipped %v, told of %d, released %d", seen.n, told, seen.released)
		}
	})
}

// aside writes a record that the ledger does not expect: nobody handles it.
func (r *rig) aside(record transport.Record) {
	r.t.Helper()
	record.Topic = "t"
	if err := r.producer.Produce(r.t.Context(), &record, delivered(func(transport.Position, error) {})); err != nil {
		r.t.Fatal(err)
	}
}

// TestTypeRemoved: the events of a type whose last handler has left wait for the
// grace of that type, with their keys behind them, and are then treated by the
// policy.
func TestTypeRemoved(t *testing.T) {
	for _, end := range []End{Skip, DeadEnd} {
		t.Run(fmt.Sprint(end), func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				r, seen := newRig(t, 2), noted()
				buried := 0
				o := r.strict(end, seen, "V2")
				o.deadLetter = func(_ context.Context, f *Failure, done func(error)) {
					if buried++; f.Reason != "unknown" || f.Err == nil {
						t.Errorf("dead letter %q: %v", f.Reason, f.Err)
					}
					done(nil)
				}
				last := r.join(r.strict(end, seen, "V2", "Gone"))
				stays := r.join(o)
				synctest.Wait()
				last.leave()
				left := time.Now()
				write := func(n int) {
					for i := range n {
						r.aside(typed("Gone", to("k", fmt.Sprint(i))))
					}
				}
				write(5)
				behind := r.write(typed("V2", to("k", "v")))
				r.write(typed("V2", to("other", "v")))
				time.Sleep(DefaultHandlerGrace - 2*time.Second)
				if r.ledger.finished(behind) {
					t.Error("an event has overtaken the held ones of its key")
				}
				if s := stays.Snapshot(); len(s.Held) != 1 || s.Held[0].Events != 6 || !s.Held[0].Until.Equal(left.Add(DefaultHandlerGrace)) {
					t.Errorf("held %+v, want until %v", s.Held, left.Add(DefaultHandlerGrace))
				}
				time.Sleep(4 * time.Second)
				if !r.ledger.finished(behind) {
					t.Error("the key waits past the grace")
				}
				write(3) // from now on nobody handles it
				synctest.Wait()
				if s := stays.Snapshot(); len(s.Held) != 0 || s.ParkedKeys != 0 || s.Records != 0 {
					t.Errorf("held %+v, %d parked", s.Held, s.ParkedKeys)
				}
				stays.leave()
				if n := r.ledger.check(); n > 0 {
					t.Errorf("%d events handled again", n)
				}
				if seen.released != 5 || int(seen.n["unknown"])+buried != 8 {
					t.Errorf("released %d, skipped %v, buried %d", seen.released, seen.n, buried)
				}
			})
		})
	}
}

// TestHeldRoom: at the bound, events that a live member handles stop their
// partition's fetching and are not lost; events that nobody handles are treated by
// the policy.
func TestHeldRoom(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r, seen := newRig(t, 2), noted()
		bounded := func(types ...string) options {
			o := r.strict(Skip, seen, types...)
			o.bounds = Bounds{ParkedKeys: 40}
			return o
		}
		old := r.join(bounded("V2"))
		renewed := r.join(bounded("V2", "Moved"))
		synctest.Wait()
		for i := range 400 {
			record := to(keyN(i), "x")
			record.Partition = int32(i % 2)
			r.write(typed("Moved", record))
			if i%10 == 9 {
				time.Sleep(time.Second)
			}
		}
		s := old.Snapshot()
		if len(s.Held) != 1 || s.Held[0].Keys < 10 || s.Held[0].Keys > 20 || !s.Partitions[0].Paused {
			t.Errorf("held %+v, partition %+v", s.Held, s.Partitions[0])
		}
		old.leave()
		time.Sleep(time.Second)
		renewed.leave()
		r.ledger.check()
		if seen.released != 0 {
			t.Errorf("%d released", seen.released)
		}

		old = r.join(bounded("V2"))
		synctest.Wait()
		for i := range 40 {
			r.aside(typed("Moved", to(keyN(i), "x")))
		}
		synctest.Wait()
		if s := old.Snapshot(); len(s.Held) != 1 || s.Held[0].Keys != 10 || seen.released != 30 {
			t.Errorf("held %+v, %d released, want 10 and 30", s.Held, seen.released)
		}
		old.leave()
	})
}

// TestForgetType: an operator ends the wait for a type, until a member that handles
// it joins.
func TestForgetType(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r, seen := newRig(t, 2), noted()
		old := r.join(r.strict(Skip, seen, "V2"))
		renewed := r.join(r.strict(Skip, seen, "V2", "Moved"))
		synctest.Wait()
		publish := func() {
			r.aside(typed("Moved", to("k", "x")))
			synctest.Wait()
		}
		publish()
		if err := old.ForgetType("t", "Other"); !errors.Is(err, ErrNotFound) {
			t.Errorf("forgetting what is not held: %v", err)
		}
		if err := old.ForgetType("t", "Moved"); err != nil {
			t.Error(err)
		}
		publish()
		if s := old.Snapshot(); len(s.Held) != 0 || s.Records != 0 || seen.released != 1 || seen.n["unknown"] != 2 {
			t.Errorf("held %+v, %d records, released %d, skipped %v", s.Held, s.Records, seen.released, seen.n)
		}
		renewed.leave()
		publish() // its handler has left, and it stays forgotten
		if s := old.Snapshot(); s.Records != 0 {
			t.Errorf("%d records in hand", s.Records)
		}
		renewed = r.join(r.strict(Skip, seen, "V2", "Moved"))
		synctest.Wait()
		r.write(typed("Moved", to("k", "y"))) // a new handler counts
		synctest.Wait()
		old.leave()
		synctest.Wait()
		renewed.leave()
		r.ledger.check()
	})
}

// TestHeldKeepsBudget: a record that was tried before keeps its budget while a member
// that does not know its type holds it.
func TestHeldKeepsBudget(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r, seen := newRig(t, 1), noted()
		var attempts, calls atomic.Int64
		knows := func() options {
			o := r.strict(Skip, seen, "V2")
			moved := r.handled("Moved", func(_ context.Context, _ *transport.Record, n int) error {
				calls.Add(1)
				if attempts.Store(int64(n)); n < 4 {
					return errors.New("not yet")
				}
				return nil
			})
			moved.Retry.Initial, moved.Retry.Multiplier, moved.Retry.Max = time.Minute, 1, time.Minute
			o.subs = append(o.subs, moved)
			route := o.route
			o.route = func(rec *transport.Record) Route {
				if typ, _ := rec.Header("type"); string(typ) == "Moved" {
					return Route{Subscription: moved}
				}
				return route(rec)
			}
			return o
		}
		first := r.join(knows())
		synctest.Wait()
		r.write(typed("Moved", to("k", "x")))
		for attempts.Load() < 2 {
			time.Sleep(time.Second)
		}
		old := r.join(r.strict(Skip, seen, "V2"))
		synctest.Wait()
		first.leave()
		time.Sleep(5 * time.Second)
		second := r.join(knows())
		synctest.Wait()
		old.leave()
		time.Sleep(5 * time.Minute)
		second.leave()
		r.ledger.check()
		if n, all := attempts.Load(), calls.Load(); n != 4 || all != 4 {
			t.Errorf("the last attempt was number %d of %d, want 4 of 4", n, all)
		}
	})
}

func (l *ledger) finished(r *transport.Record) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ended[placeOf(r)] > 0
}
