package engine

// rotation holds ready elements in queues, one per owner. Non-empty queues take turns, so that
// a long one does not keep others waiting. The zero value is ready to use. It has no lock; its
// user's lock guards it. Queues of owners that have nothing ready stay in the map until forget,
// since most will have something again soon.
type rotation[O comparable, L any] struct {
	queues map[O]*readyQueue[L]
	ring   []*readyQueue[L] // the non-empty ones, taken in turn
	turn   int
}

// readyQueue is the queue of one owner. Elements before head were taken. inRing is set if it
// has a turn.
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

// next appends up to n elements of the queue whose turn it is to dst. It takes from one queue
// only, since an attempt is of one partition. The rotation must not be empty.
func (r *rotation[O, L]) next(dst []L, n int) []L {
	// The ring may have become shorter.
	if r.turn >= len(r.ring) {
		r.turn = 0
	}
	q := r.ring[r.turn]
	dst = q.take(dst, n)
	if q.inRing {
		r.turn++
	} else {
		r.leave(r.turn) // keep the turn: the queue that moves into this place is next
	}
	return dst
}

// of appends the next element of an owner's queue to dst, out of turn, if there is one. It
// leaves the last one, so that the queue keeps its turn.
func (r *rotation[O, L]) of(owner O, dst []L) []L {
	if r.waiting(owner) < 2 {
		return dst
	}
	return r.queues[owner].take(dst, 1)
}

// waiting returns how many elements of an owner are ready.
func (r *rotation[O, L]) waiting(owner O) int {
	q := r.queues[owner]
	if q == nil {
		return 0
	}
	return len(q.waiting) - q.head
}

// take appends up to n elements to dst. A queue that is then empty loses its turn.
func (q *readyQueue[L]) take(dst []L, n int) []L {
	n = min(n, len(q.waiting)-q.head)
	dst = append(dst, q.waiting[q.head:q.head+n]...)
	q.head += n
	switch {
	case q.head == len(q.waiting):
		q.waiting, q.head, q.inRing = q.waiting[:0], 0, false
	// Drop the taken elements once they are the larger half.
	case q.head > 1024 && q.head > len(q.waiting)/2:
		q.waiting = append(q.waiting[:0], q.waiting[q.head:]...)
		q.head = 0
	}
	return dst
}

// leave removes the queue at an index from the ring.
func (r *rotation[O, L]) leave(at int) {
	last := len(r.ring) - 1
	copy(r.ring[at:], r.ring[at+1:])
	r.ring[last] = nil
	r.ring = r.ring[:last]
}

// forget drops an owner's queue. The turn may then skip or repeat one queue, on which no
// fairness depends.
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
