package engine

// readyQueue holds the lanes of one partition that may run. The subscription's
// lock guards it.
type readyQueue struct {
	partition *partition
	lanes     []*lane
	head      int
	inRing    bool
}

// enter appends lanes of one partition to its queue. The caller holds mu.
func (s *Subscription) enter(p *partition, lanes ...*lane) {
	if s.closed {
		return
	}
	q := s.queues[p]
	if q == nil {
		q = &readyQueue{partition: p}
		s.queues[p] = q
	}
	q.lanes = append(q.lanes, lanes...)
	if !q.inRing {
		q.inRing = true
		s.ring = append(s.ring, q)
	}
}

// next takes lanes of the partition whose turn it is: one, or up to n. The
// caller holds mu, and there are some.
func (s *Subscription) next(dst []*lane, n int) []*lane {
	if s.turn >= len(s.ring) {
		s.turn = 0
	}
	q := s.ring[s.turn]
	n = min(n, len(q.lanes)-q.head)
	dst = append(dst, q.lanes[q.head:q.head+n]...)
	s.taken += uint64(n)
	q.head += n
	if q.head < len(q.lanes) {
		s.turn++
		// Taken lanes at the front are dropped once they are the larger half.
		if q.head > 1024 && q.head > len(q.lanes)/2 {
			q.lanes = append(q.lanes[:0], q.lanes[q.head:]...)
			q.head = 0
		}
		return dst
	}
	q.lanes, q.head, q.inRing = q.lanes[:0], 0, false
	last := len(s.ring) - 1
	copy(s.ring[s.turn:], s.ring[s.turn+1:])
	s.ring[last] = nil
	s.ring = s.ring[:last]
	return dst
}

// forget drops what is ready of a partition that goes.
func (s *Subscription) forget(p *partition) {
	s.gated.forget(p)
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queues[p]
	if q == nil {
		return
	}
	delete(s.queues, p)
	for i, other := range s.ring {
		if other == q {
			s.ring = append(s.ring[:i], s.ring[i+1:]...)
			break
		}
	}
}
