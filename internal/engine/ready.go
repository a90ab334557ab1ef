package engine

import "time"

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
	n = min(n, len(q.waiting)-q.head)
	dst = append(dst, q.waiting[q.head:q.head+n]...)
	q.head += n
	if q.head < len(q.waiting) {
		r.turn++
		// What was taken at the front is dropped once it is the larger half.
		if q.head > 1024 && q.head > len(q.waiting)/2 {
			q.waiting = append(q.waiting[:0], q.waiting[q.head:]...)
			q.head = 0
		}
		return dst
	}
	q.waiting, q.head, q.inRing = q.waiting[:0], 0, false
	last := len(r.ring) - 1
	// The turn stays: what moves up into this place is next.
	copy(r.ring[r.turn:], r.ring[r.turn+1:])
	r.ring[last] = nil
	r.ring = r.ring[:last]
	return dst
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

// gathering is what waits in one partition for a batch of a subscription to become
// full. The partition's lock guards it. Its lanes are ready and in no queue, so a drain
// leaves them to the next owner as it does those.
type gathering struct {
	lanes []gathered // by time
	timer *time.Timer
}

// gathered is a lane that nothing but the size of its batch holds up, since a time.
type gathered struct {
	lane  *lane
	since time.Time
}

// Gatherer has lanes wait for full batches. It is an interface, so that a program whose
// batches don't wait does not link it.
type Gatherer interface {
	arrive(s *Subscription, p *partition, lanes []*lane)
	gather(s *Subscription, p *partition, g *gathering, now time.Time)
}

// NewGatherer returns what waits until a batch is full, or its first record has waited
// for so long and nothing else held it up.
func NewGatherer(wait time.Duration) Gatherer { return batchWait(wait) }

type batchWait time.Duration

// arrive enters lanes into the subscription's queue, or has them wait for a full batch.
// What was tried before, and what waited for a breaker, does not come here: it has
// waited already. The partition's lock is held, and the partition is active.
func (s *Subscription) arrive(p *partition, lanes ...*lane) {
	if s.Gatherer == nil {
		s.ready(p, lanes...)
		return
	}
	s.Gatherer.arrive(s, p, lanes)
}

// arrive implements Gatherer.
func (w batchWait) arrive(s *Subscription, p *partition, lanes []*lane) {
	if p.gathering == nil {
		p.gathering = make(map[*Subscription]*gathering)
	}
	g := p.gathering[s]
	if g == nil {
		g = new(gathering)
		p.gathering[s] = g
	}
	now := time.Now()
	for _, l := range lanes {
		g.lanes = append(g.lanes, gathered{l, now})
	}
	w.gather(s, p, g, now)
}

// gather sends lanes on their way for as long as they fill batches, or have waited long
// enough, and sets the timer for the rest. The partition's lock is held.
func (w batchWait) gather(s *Subscription, p *partition, g *gathering, now time.Time) {
	full, n := 0, 0 // so many lanes fill batches, and n records are in those behind
	for i := range g.lanes {
		n += g.lanes[i].lane.runnable(s, s.BatchSize)
		if n >= s.BatchSize || now.Sub(g.lanes[i].since) >= time.Duration(w) {
			full, n = i+1, 0
		}
	}
	for _, ready := range g.lanes[:full] {
		s.ready(p, ready.lane)
	}
	g.lanes = append(g.lanes[:0], g.lanes[full:]...)
	if g.timer != nil {
		g.timer.Stop()
		g.timer = nil
	}
	if len(g.lanes) > 0 {
		g.timer = time.AfterFunc(g.lanes[0].since.Add(time.Duration(w)).Sub(now), func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			if p.state == partitionActive {
				w.gather(s, p, g, time.Now())
			}
		})
	}
}

// runnable returns how many of the lane's first records an attempt of s may have, up to
// most. The partition's lock is held.
func (l *lane) runnable(s *Subscription, most int) (n int) {
	for it := l.head; it != nil && it.sub == s && (n == 0 || it.retry == nil) && n < most; it = it.next {
		n++
	}
	return n
}

// regather looks at what waits for full batches after more has come, which may have
// come into lanes that wait already. The caller holds mu, and the partition is active.
func (p *partition) regather(now time.Time) {
	for s, g := range p.gathering {
		if len(g.lanes) > 0 {
			s.Gatherer.gather(s, p, g, now)
		}
	}
}
