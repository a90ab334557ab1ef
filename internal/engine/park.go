package engine

import (
	"container/heap"
	"sync"
	"time"
)

// parking is the heap of lanes that wait for a time. One timer serves them all.
type parking struct {
	wake func(*wait) // called without mu, when a wait's time has come

	mu     sync.Mutex
	waits  waitHeap
	timer  *time.Timer
	closed bool
}

// add enters a wait. Its partition's lock is held.
func (p *parking) add(w *wait) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	heap.Push(&p.waits, w)
	if w.slot == 0 {
		p.arm()
	}
}

// remove takes a wait out before its time.
func (p *parking) remove(w *wait) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w.slot >= 0 {
		heap.Remove(&p.waits, w.slot)
	}
}

// arm sets the timer for the first wait. The caller holds mu.
func (p *parking) arm() {
	if p.timer != nil {
		p.timer.Stop()
	}
	if len(p.waits) > 0 {
		p.timer = time.AfterFunc(time.Until(p.waits[0].at), p.due)
	}
}

func (p *parking) due() {
	p.mu.Lock()
	now := time.Now()
	var due []*wait
	for len(p.waits) > 0 && !p.waits[0].at.After(now) {
		due = append(due, heap.Pop(&p.waits).(*wait))
	}
	if !p.closed {
		p.arm()
	}
	p.mu.Unlock()
	for _, w := range due {
		p.wake(w)
	}
}

func (p *parking) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	if p.timer != nil {
		p.timer.Stop()
	}
}

// waitHeap orders waits by their time. Each knows its place.
type waitHeap []*wait

func (h waitHeap) Len() int           { return len(h) }
func (h waitHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h waitHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].slot, h[j].slot = i, j
}
func (h *waitHeap) Push(x any) {
	w := x.(*wait)
	w.slot = len(*h)
	*h = append(*h, w)
}
func (h *waitHeap) Pop() any {
	last := len(*h) - 1
	w := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	w.slot = -1
	return w
}

// awaits reports whether the lane is held for another member that handles the type
// of its head. The caller holds the partition's mu.
func (l *lane) awaits() bool {
	return l.state == laneHeld && l.head.retry.end == await
}

// countHeld counts what is held for other members, which is parked as well. The
// caller holds mu.
func (p *partition) countHeld(keys, records, bytes int64) {
	p.heldKeys += keys
	p.heldRecords += records
	p.engine.pool.hold(keys, records, bytes)
}

// release applies the policy of its type to a head that nobody handles, and reports
// whether that has ended it: else its dead letter is to be written. The caller holds
// mu.
func (p *partition) release(l *lane) (ended bool) {
	f := l.head.retry
	p.engine.config.Unhandled(f.foreign.topic, f.foreign.typ)
	p.engine.observer.Released(p.id, f.foreign.typ, time.Since(f.first))
	f.spent = nil
	if f.end = f.then; f.end != Skip {
		return false
	}
	p.engine.observer.Skipped(p.id, f.reason, 1)
	p.finish(l.pop(), time.Now())
	return true
}

// releaseForeign lets go of the lanes that are held for a type that nobody handles
// any more. They are looked at on a timer: a member does not hear of every change.
func (p *partition) releaseForeign(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.heldKeys == 0 || p.state != partitionActive {
		return
	}
	decided := make(map[*foreignType]hold)
	var free []*lane
	for l := range p.lanes.all() {
		if !l.awaits() {
			continue
		}
		t := l.head.retry.foreign
		d, known := decided[t]
		if !known {
			d = p.engine.foreign.decide(t, now)
			decided[t] = d
		}
		if !d.holds {
			free = append(free, l)
		}
	}
	for _, l := range free {
		p.unpark(l)
		p.setOff(l)
	}
}
