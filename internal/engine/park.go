package engine

import (
	"container/heap"
	"sync"
	"time"
)

// stay is a place in a parking. What is parked embeds it.
// slot is kept by the heap, under parking.mu: it makes taking a wait out cost no search.
type stay struct {
	at   time.Time
	slot int // in the heap; −1 if it is not there
}

// place gives what embeds a stay its method.
func (s *stay) place() *stay { return s }

// parking is a heap of what waits for a time. One timer serves all of it.
// The zero value works once wake is set.
type parking[W interface{ place() *stay }] struct {
	wake func(W) // called without mu, when a wait's time has come

	mu     sync.Mutex
	waits  waitHeap[W]
	timer  *time.Timer
	closed bool
}

// add enters a wait. Its partition's lock is held.
func (p *parking[W]) add(w W) {
	p.mu.Lock()
	defer p.mu.Unlock()
	// The engine has drained: what is entered now would only start a timer again.
	if p.closed {
		return
	}
	heap.Push(&p.waits, w)
	// Only a new first one changes when the timer must run out.
	if w.place().slot == 0 {
		p.arm()
	}
}

// remove takes a wait out before its time.
func (p *parking[W]) remove(w W) {
	p.mu.Lock()
	defer p.mu.Unlock()
	// It may have come due, or never have been entered: a wait before a gate is not.
	if slot := w.place().slot; slot >= 0 {
		heap.Remove(&p.waits, slot)
	}
}

// arm sets the timer for the first wait. The caller holds mu.
func (p *parking[W]) arm() {
	if p.timer != nil {
		p.timer.Stop()
	}
	if len(p.waits) > 0 {
		// A timer that runs out although it was stopped finds nothing due, and does no harm.
		p.timer = time.AfterFunc(time.Until(p.waits[0].place().at), p.due)
	}
}

// due ends the waits whose time has come. It calls wake without the lock, since wake
// takes the locks of partitions, under which add and remove are called.
func (p *parking[W]) due() {
	p.mu.Lock()
	// All that are due by now at once, since many keys park for the same time.
	now := time.Now()
	var due []W
	for len(p.waits) > 0 && !p.waits[0].place().at.After(now) {
		due = append(due, heap.Pop(&p.waits).(W))
	}
	if !p.closed {
		p.arm()
	}
	p.mu.Unlock()
	for _, w := range due {
		p.wake(w)
	}
}

// close lets no wait end any more.
func (p *parking[W]) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	if p.timer != nil {
		p.timer.Stop()
	}
}

// waitHeap orders waits by their time. Each knows its place.
type waitHeap[W interface{ place() *stay }] []W

// The methods of heap.Interface.
func (h waitHeap[W]) Len() int           { return len(h) }
func (h waitHeap[W]) Less(i, j int) bool { return h[i].place().at.Before(h[j].place().at) }
func (h waitHeap[W]) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	// Each swap moves both: remove relies on it.
	h[i].place().slot, h[j].place().slot = i, j
}
func (h *waitHeap[W]) Push(x any) {
	w := x.(W)
	w.place().slot = len(*h)
	*h = append(*h, w)
}
func (h *waitHeap[W]) Pop() any {
	var none W
	last := len(*h) - 1
	w := (*h)[last]
	// Otherwise the array would keep the lane, and its records, alive.
	(*h)[last] = none
	*h = (*h)[:last]
	w.place().slot = -1
	return w
}
