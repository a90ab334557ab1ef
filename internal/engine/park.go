package engine

import (
	"container/heap"
	"sync"
	"time"
)

// stay is a place in a parking. What is parked embeds it. The heap maintains slot, under
// parking.mu, so that removing a wait needs no search.
type stay struct {
	at   time.Time
	slot int // in the heap; −1 if it is not there
}

// place gives types that embed a stay its method.
func (s *stay) place() *stay { return s }

// parking is a heap of waits for a time. One timer serves all of them. The zero value is ready
// to use once wake is set.
type parking[W interface{ place() *stay }] struct {
	wake func(W) // called without mu, when the time of a wait has come

	mu     sync.Mutex
	waits  waitHeap[W]
	timer  *time.Timer
	closed bool
}

// add adds a wait. The caller holds its partition's lock.
func (p *parking[W]) add(w W) {
	p.mu.Lock()
	defer p.mu.Unlock()
	// The engine has drained: adding would only start a timer again.
	if p.closed {
		return
	}
	heap.Push(&p.waits, w)
	// The timer changes only for a new first wait.
	if w.place().slot == 0 {
		p.arm()
	}
}

// remove removes a wait before its time.
func (p *parking[W]) remove(w W) {
	p.mu.Lock()
	defer p.mu.Unlock()
	// It may be due already, or never have been added: a wait at a gate is not.
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
		// If a stopped timer fires all the same, it finds nothing due.
		p.timer = time.AfterFunc(time.Until(p.waits[0].place().at), p.due)
	}
}

// due ends the waits whose time has come. It calls wake without the lock, since wake acquires
// the locks of partitions, which callers of add and remove hold.
func (p *parking[W]) due() {
	p.mu.Lock()
	// All that are due by now, since many keys park for the same time.
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

// close stops the timer: no wait ends any more.
func (p *parking[W]) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	if p.timer != nil {
		p.timer.Stop()
	}
}

// waitHeap orders waits by their time. Each knows its slot.
type waitHeap[W interface{ place() *stay }] []W

// heap.Interface.
func (h waitHeap[W]) Len() int           { return len(h) }
func (h waitHeap[W]) Less(i, j int) bool { return h[i].place().at.Before(h[j].place().at) }
func (h waitHeap[W]) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	// Each swap moves both, which remove relies on.
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
