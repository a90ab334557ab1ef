package engine

import (
	"container/heap"
	"sync"
	"time"
)

// parking is the heap of lanes that wait for a time. One timer serves them all.
type parking struct {
	wake func(*lane) // called without mu, for each lane whose time has come

	mu     sync.Mutex
	lanes  laneHeap
	timer  *time.Timer
	closed bool
}

// add enters a lane. Its partition's lock is held.
func (p *parking) add(l *lane, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	l.wake = at
	heap.Push(&p.lanes, l)
	if p.lanes[0] == l {
		p.arm()
	}
}

// remove takes a lane out before its time.
func (p *parking) remove(l *lane) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l.slot >= 0 {
		heap.Remove(&p.lanes, l.slot)
	}
}

// arm sets the timer for the first lane. The caller holds mu.
func (p *parking) arm() {
	if p.timer != nil {
		p.timer.Stop()
	}
	if len(p.lanes) > 0 {
		p.timer = time.AfterFunc(time.Until(p.lanes[0].wake), p.due)
	}
}

func (p *parking) due() {
	now := time.Now()
	p.mu.Lock()
	var due []*lane
	for len(p.lanes) > 0 && !p.lanes[0].wake.After(now) {
		due = append(due, heap.Pop(&p.lanes).(*lane))
	}
	if !p.closed {
		p.arm()
	}
	p.mu.Unlock()
	for _, l := range due {
		p.wake(l)
	}
}

func (p *parking) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.lanes = nil
	if p.timer != nil {
		p.timer.Stop()
	}
}

// laneHeap orders lanes by their time. Each knows its place.
type laneHeap []*lane

func (h laneHeap) Len() int           { return len(h) }
func (h laneHeap) Less(i, j int) bool { return h[i].wake.Before(h[j].wake) }
func (h laneHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].slot, h[j].slot = i, j
}
func (h *laneHeap) Push(x any) {
	l := x.(*lane)
	l.slot = len(*h)
	*h = append(*h, l)
}
func (h *laneHeap) Pop() any {
	last := len(*h) - 1
	l := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	l.slot = -1
	return l
}
