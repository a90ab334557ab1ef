package engine

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/eventbus-go/eventbus/transport"
)

// A batch's memory is given back when its last record is finished, once.
func TestBatchIsReleasedWhenItsRecordsAreFinished(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCalls()
		s := newScript(t, options{subs: []*Subscription{c.subscription(8)}})
		s.assign(0, "")
		s.fetch(0, "a", "b", "c")
		s.fetch(3)
		if s.releases(3) != 1 {
			t.Error("the empty batch was not released")
		}
		c.end(t, 1, nil)
		c.end(t, 0, nil)
		if s.releases(0) != 0 {
			t.Fatal("released while a handler reads it")
		}
		c.end(t, 2, nil)
		if s.releases(0) != 1 {
			t.Fatalf("released %d times", s.releases(0))
		}
		s.drain()
		if s.releases(0) != 1 {
			t.Fatalf("released %d times", s.releases(0))
		}
	})
}

func TestSkippedBatchIsReleased(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCalls()
		s := newScript(t, options{subs: []*Subscription{c.subscription(8)}, route: func(*transport.Record) Route {
			return Route{End: Skip, Reason: "unknown type"}
		}})
		s.assign(0, "")
		s.fetch(0, "a", "b")
		if s.releases(0) != 1 {
			t.Errorf("released %d times", s.releases(0))
		}
		tick()
		wantCommit(t, s, 2)
		s.drain()
	})
}

// Parked records are copied out: the batch is released, and the retry still reads its own
// bytes. Records that come behind them meanwhile are copied too.
func TestParkedRecordsAreCopiedOut(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCalls()
		var seen []string
		sub := c.subscription(1)
		sub.Handle = func(ctx context.Context, a *Attempt) error {
			r := a.Records[0]
			header, _ := r.Header("h")
			seen = append(seen, string(r.Key)+" "+string(r.Value)+" "+string(header))
			return c.handle(ctx, a)
		}
		var box letterBox
		s := newScript(t, options{subs: []*Subscription{sub}, deadLetter: box.write})
		s.assign(0, "")
		b := s.batch(p0, 0, "a", "a", "b")
		b.Records[0].Headers = []transport.Header{{Key: "h", Value: []byte("first")}}
		b.Records[1].Value = nil
		s.deliver(b)
		c.end(t, 0, retryAfter(1e9))
		c.end(t, 2, nil)
		if s.releases(0) != 1 {
			t.Fatal("the parked records keep their batch")
		}
		s.fetch(3, "a")
		if s.releases(3) != 1 {
			t.Fatal("the record behind them keeps its batch")
		}
		tick()
		c.end(t, 0, nil)
		c.end(t, 1, nil)
		c.end(t, 3, errPermanent)
		want := []string{"a a@0 first", "b b@2 ", "a a@0 first", "a  ", "a a@3 "}
		if !slices.Equal(seen, want) {
			t.Fatalf("seen %q, want %q", seen, want)
		}
		if got := string(box.letters[0].Record.Value); got != "a@3" {
			t.Errorf("dead letter %q", got)
		}
		s.drain()
	})
}

// A record that waits behind a slow one of its key does not alone keep the memory of a
// batch of a thousand. The record that a handler is reading does.
func TestWaitingRecordsLeaveSparseBatches(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCalls()
		s := newScript(t, options{subs: []*Subscription{c.subscription(64)}})
		s.assign(0, "")
		s.fetch(0, "slow", "a", "b", "c")
		s.fetch(4, append(many(30), "slow", "slow")...)
		for _, o := range c.list()[1:] {
			c.end(t, o, nil)
		}
		if s.releases(4) != 0 {
			t.Fatal("released though records wait in it")
		}
		pass(3e9)
		if s.releases(4) != 1 {
			t.Error("two waiting records keep the batch of 32")
		}
		if s.releases(0) != 0 {
			t.Fatal("released under the handler")
		}
		for _, o := range []int64{0, 34, 35} {
			c.end(t, o, nil)
		}
		if s.releases(0) != 1 || s.releases(4) != 1 {
			t.Errorf("released %d and %d times", s.releases(0), s.releases(4))
		}
		s.drain()
		wantCommit(t, s, 36)
	})
}

// The memory of waiting records is released when their partition is revoked, unless a
// handler that was cut off may still read it.
func TestDroppedBatches(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCalls()
		s := newScript(t, options{subs: []*Subscription{c.subscription(2)}})
		s.assign(0, "")
		s.fetch(0, "a", "b")
		s.fetch(2, "c", "c", "c")
		c.end(t, 0, errors.New("broken"))
		done := make(chan struct{})
		go func() {
			s.revoke()
			close(done)
		}()
		c.end(t, 1, nil)
		c.end(t, 2, nil)
		<-done
		if s.releases(0) != 1 || s.releases(2) != 1 {
			t.Errorf("released %d and %d times", s.releases(0), s.releases(2))
		}
		s.assign(10, "")
		s.fetch(10, "a", "b")
		s.engine.Lost(s.owned)
		if s.releases(10) != 0 {
			t.Error("released under the handlers")
		}
		c.end(t, 10, nil)
		c.end(t, 11, nil)
		s.owned = nil
		s.drain()
		if s.releases(10) != 0 {
			t.Error("released late")
		}
	})
}

// A large record is not copied when it is parked, and its memory is not reused either:
// its dead letter may be in flight when the partition is revoked, or when the record is
// skipped.
func TestLargeParkedRecordKeepsItsMemory(t *testing.T) {
	for name, end := range map[string]func(*script) *Failure{
		"lost": func(s *script) *Failure {
			s.engine.Lost(s.owned)
			s.owned = nil
			return nil
		},
		"skipped": func(s *script) *Failure {
			f, err := s.engine.Skip(p0, 0)
			if err != nil {
				s.t.Error(err)
			}
			return f
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				var under *Failure
				sub := &Subscription{Name: "s", Handle: func(context.Context, *Attempt) error { return errPermanent }}
				s := newScript(t, options{subs: []*Subscription{sub}, deadLetter: func(_ context.Context, f *Failure, done func(error)) {
					if under = f; name == "skipped" {
						done(errors.New("refused"))
					}
				}})
				s.assign(0, "")
				b := s.batch(p0, 0, "a")
				b.Records[0].Value = bytes.Repeat([]byte("v"), largeItem)
				want := bytes.Clone(b.Records[0].Value)
				s.deliver(b)
				pass(0)
				key := s.engine.Snapshot().Partitions[0].Parked[0].Key
				if f := end(s); f != nil {
					under = f
				}
				if string(under.Record.Key) != "a" || string(key) != "a" || !bytes.Equal(under.Record.Value, want) {
					t.Errorf("the letter under way has key %q (%q in the snapshot) and value %.3q…", under.Record.Key, key, under.Record.Value)
				}
				s.drain()
			})
		})
	}
}
