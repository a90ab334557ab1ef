package engine

import (
	"errors"
	"testing"

	"github.com/eventbus-go/eventbus/transport"
)

var errRemoved = errors.New("retention removed it")

// skips counts the skipped offsets by reason.
type skips struct {
	NoObserver
	n map[string]int64
}

func (s *skips) Skipped(_ transport.Partition, reason string, n int64) { s.n[reason] += n }

func TestSkippedOffsetsMoveTheWatermark(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCalls()
		counted := &skips{n: make(map[string]int64)}
		s := newScript(t, options{subs: []*Subscription{c.subscription(8)}, observer: counted})
		s.assign(0, "")
		s.engine.Skipped(p0, 0, 1<<45, errRemoved) // costs no memory
		tick()
		wantCommit(t, s, 1<<45)
		s.fetch(1<<45, "a")
		s.engine.Skipped(p0, 1<<45+1, 1<<45+100, errRemoved)
		tick()
		wantCommit(t, s, 1<<45)
		c.end(t, 1<<45, nil)
		tick()
		wantCommit(t, s, 1<<45+100)
		if counted.n["not in the log"] != 1<<45+99 {
			t.Errorf("counted %v", counted.n)
		}
		s.drain()
	})
}

// TestSkippedDoesNotOvertakeABatch: Skipped may be called while a batch before the gap is
// being delivered. The records of that batch are not skipped.
func TestSkippedDoesNotOvertakeABatch(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCalls()
		s := newScript(t, options{subs: []*Subscription{c.subscription(8)}})
		s.assign(0, "")
		s.engine.Skipped(p0, 2, 10, errRemoved)
		s.fetch(0, "a", "b")
		wantRunning(t, c, 0, 1)
		c.end(t, 0, nil)
		c.end(t, 1, nil)
		tick()
		wantCommit(t, s, 10)
		s.fetch(10, "c")
		c.end(t, 10, nil)
		s.drain()
		wantCommit(t, s, 11)
	})
}

// TestUndeliveredOffsetsAreCounted: a gap without a call of Skipped is counted too.
func TestUndeliveredOffsetsAreCounted(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCalls()
		counted := &skips{n: make(map[string]int64)}
		s := newScript(t, options{subs: []*Subscription{c.subscription(8)}, observer: counted})
		s.assign(0, "")
		s.fetch(5, "a")
		c.end(t, 5, nil)
		s.drain()
		wantCommit(t, s, 6)
		if counted.n["not delivered"] != 5 {
			t.Errorf("counted %v", counted.n)
		}
	})
}

// TestLogThatStartsOver: the topic was created again, so its offsets mean other records.
// Records of the old topic have no effect any more.
func TestLogThatStartsOver(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCalls()
		s := newScript(t, options{subs: []*Subscription{c.subscription(8)}, bounds: Bounds{Records: 4, MinRecords: 1}})
		s.assign(90, "")
		s.fetch(90, "a", "b", "c", "d", "e")
		if !s.isPaused(p0) {
			t.Fatal("not paused")
		}
		c.end(t, 90, nil)
		s.engine.Skipped(p0, 100, 0, errors.New("the topic was created again"))
		if s.isPaused(p0) {
			t.Error("still paused because of the old log")
		}
		tick()
		wantCommit(t, s, 0) // though nothing of the new log was read
		s.fetch(95, "f")    // of the old log, polled before
		wantRunning(t, c, 91, 92, 93, 94)
		c.end(t, 91, nil)
		tick()
		wantCommit(t, s, 0)
		s.fetch(0, "a", "b")
		wantRunning(t, c, 0, 1, 92, 93, 94)
		for _, o := range []int64{0, 1, 92, 93, 94} {
			c.end(t, o, nil)
		}
		tick()
		wantCommit(t, s, 2)
		s.drain()
		if n := s.engine.Snapshot().Records; n != 0 {
			t.Errorf("%d records left over", n)
		}
	})
}

// TestSkippedOfTheAssignedTopic: a member that is assigned a topic that was created again
// is told so by Skipped, after Assigned. That changes nothing.
func TestSkippedOfTheAssignedTopic(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCalls()
		s := newScript(t, options{subs: []*Subscription{c.subscription(8)}})
		s.assign(0, "")
		p := s.engine.partition(p0)
		s.engine.Skipped(p0, 100, 0, errors.New("the topic was created again"))
		if s.engine.partition(p0) != p {
			t.Error("the partition started over")
		}
		s.fetch(0, "a")
		c.end(t, 0, nil)
		s.drain()
		wantCommit(t, s, 1)
	})
}

// TestGapsWithinBatches: offsets of a batch that have no record, as compaction and control
// records leave them, count as finished.
func TestGapsWithinBatches(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCalls()
		s := newScript(t, options{subs: []*Subscription{c.subscription(8)}, route: nil})
		s.assign(0, "")
		b := s.batch(p0, 0, "a", "b", "c")
		b.Records[1].Offset, b.Records[2].Offset, b.Next = 70, 1_000_000, 1_000_500
		s.deliver(b)
		wantRunning(t, c, 0, 70, 1_000_000)
		c.end(t, 0, nil)
		tick()
		wantCommit(t, s, 70)
		c.end(t, 1_000_000, nil)
		tick()
		commit := wantCommit(t, s, 70)
		s.revokeWhile(t, c, 70)
		wantCommit(t, s, 1_000_500)
		s.assign(70, commit.Metadata)
		b = s.batch(p0, 70, "b", "c")
		b.Records[1].Offset, b.Next = 1_000_000, 1_000_500
		s.deliver(b)
		wantRunning(t, c, 70)
		c.end(t, 70, nil)
		s.drain()
		wantCommit(t, s, 1_000_500)
	})
}

// revokeWhile revokes the partition while the attempt at offset runs, and then ends the
// attempt without an error.
func (s *script) revokeWhile(t *testing.T, c *calls, offset int64) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		s.revoke()
		close(done)
	}()
	c.end(t, offset, nil)
	<-done
}

// TestOverlappingBatches: a record that was delivered before is not taken in again.
func TestOverlappingBatches(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCalls()
		s := newScript(t, options{subs: []*Subscription{c.subscription(8)}})
		s.assign(0, "")
		s.fetch(0, "a", "b")
		b := s.batch(p0, 1, "b", "c")
		s.deliver(b)
		wantRunning(t, c, 0, 1, 2)
		for o := range int64(3) {
			c.end(t, o, nil)
		}
		s.drain()
		wantCommit(t, s, 3)
	})
}
