package engine

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

// TestSkipUnreadable: Skip passes over records that can't be read, once a note about them
// is in the dead-letter topic. If that can't be written, nothing is passed over.
func TestSkipUnreadable(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCalls()
		counted := &skips{n: make(map[string]int64)}
		refuse := errors.New("no such topic")
		var note *Failure
		s := newScript(t, options{
			subs: []*Subscription{c.subscription(8)}, observer: counted,
			deadLetter: func(_ context.Context, f *Failure, done func(error)) {
				note = f
				go done(refuse)
			},
		})
		s.assign(0, "")
		s.fetch(0, "a")
		c.end(t, 0, nil)
		s.unreadable = &transport.Unreadable{From: 1, Next: 5, Err: errors.New("message format 0")}
		if lag := s.engine.Snapshot().Partitions[0].LastStable; lag != 6 {
			t.Errorf("the log ends at %d", lag)
		}
		if _, err := s.engine.Skip(p0, 5); !errors.Is(err, ErrNotFound) {
			t.Errorf("skipping the offset behind: %v", err)
		}
		if _, err := s.engine.Skip(p0, 2); !errors.Is(err, refuse) || s.unreadable == nil {
			t.Errorf("skipping without a note: %v", err)
		}
		refuse = nil
		f, err := s.engine.Skip(p0, 2)
		if err != nil || f != note || f.Reason != ReasonUnreadable || f.Record.Offset != 1 || f.Record.Excess == nil {
			t.Errorf("%+v, %v", f, err)
		}
		pass(time.Second)
		if counted.n[ReasonUnreadable] != 4 {
			t.Errorf("counted %v", counted.n)
		}
		s.drain()
		wantCommit(t, s, 5)
	})
}
