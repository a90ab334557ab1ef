package engine

// rotation holds what is ready to be taken, queue by queue: all queues that have
// something get their turns, so that a long one does not keep others waiting. A
// queue belongs to an owner. The zero value works.
// It has no lock: its user's guards it. Queues of owners that have nothing ready stay in
// the map until forget, since most will have something again soon.
type rotation[O comparable, L any] struct {
	queues map[O]*readyQueue[L]
	ring   []*readyQueue[L] // those that are not empty, taken in turn
	turn   int
}

// readyQueue is the queue of one owner.
// What lies before head was taken. inRing says that it has a turn.
type readyQueue[L any] struct {
	waiting []L
	head    int
	inRing  bool
}

// enter appends to an owner's queue.
func (r *rotation[O, L]) enter(owner O, ready ...L) {
	if r.queues == nil {
		r.queues = make(map[O]*readyQueue[L])
	}
	q := r.queues[owner]
	if q == nil {
		q = new(readyQueue[L])
		r.queues[owner] = q
	}
	q.waiting = append(q.waiting, ready...)
	if !q.inRing {
		q.inRing = true
		r.ring = append(r.ring, q)
	}
}

// empty reports whether nothing is ready.
func (r *rotation[O, L]) empty() bool { return len(r.ring) == 0 }

// count returns how many are ready.
func (r *rotation[O, L]) count() (n int) {
	for _, q := range r.ring {
		n += len(q.waiting) - q.head
	}
	return n
}

// next appends up to n of the queue whose turn it is to dst. It must not be empty.
// It takes from one queue only: an attempt is of one partition.
func (r *rotation[O, L]) next(dst []L, n int) []L {
	// Also where the ring became shorter since.
	if r.turn >= len(r.ring) {
		r.turn = 0
	}
	q := r.ring[r.turn]
	dst = q.take(dst, n)
	if q.inRing {
		r.turn++
	} else {
		r.leave(r.turn) // the turn stays: what moves up into this place is next
	}
	return dst
}

// of appends the next one of an owner's queue to dst, out of turn, if there is one. It
// leaves the last one, so that the queue keeps its turn.
func (r *rotation[O, L]) of(owner O, dst []L) []L {
	if r.waiting(owner) < 2 {
		return dst
	}
	return r.queues[owner].take(dst, 1)
}

// waiting returns how many of an owner are ready.
func (r *rotation[O, L]) waiting(owner O) int {
	q := r.queues[owner]
	if q == nil {
		return 0
	}
	return len(q.waiting) - q.head
}

// take appends up to n to dst. One that has become empty has no turn any more.
func (q *readyQueue[L]) take(dst []L, n int) []L {
	n = min(n, len(q.waiting)-q.head)
	dst = append(dst, q.waiting[q.head:q.head+n]...)
	q.head += n
	switch {
	case q.head == len(q.waiting):
		q.waiting, q.head, q.inRing = q.waiting[:0], 0, false
	// What was taken at the front is dropped once it is the larger half.
	case q.head > 1024 && q.head > len(q.waiting)/2:
		q.waiting = append(q.waiting[:0], q.waiting[q.head:]...)
		q.head = 0
	}
	return dst
}

// leave takes the queue at a place out of the ring.
func (r *rotation[O, L]) leave(at int) {
	last := len(r.ring) - 1
	copy(r.ring[at:], r.ring[at+1:])
	r.ring[last] = nil
	r.ring = r.ring[:last]
}

// forget drops an owner's queue.
// The turn may skip or repeat one queue afterwards, which no fairness depends on.
func (r *rotation[O, L]) forget(owner O) {
	q := r.queues[owner]
	if q == nil {
		return
	}
	delete(r.queues, owner)
	for i, other := range r.ring {
		if other == q {
			r.ring = append(r.ring[:i], r.ring[i+1:]...)
			break
		}
	}
}
