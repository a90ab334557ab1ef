package resilience

// suspects is a bounded set of keys. The oldest makes way for a new one.
//
// The zero set is empty. It is not safe for concurrent use.
type suspects struct {
	places map[uint64]int // of each key in ring
	ring   []uint64       // keys that were removed stay until their place is needed
	next   int
}

// maxSuspects bounds the set's memory: some 300 KiB.
const maxSuspects = 1 << 13

func (s *suspects) has(key uint64) bool {
	_, ok := s.places[key]
	return ok
}

func (s *suspects) add(key uint64) {
	if s.has(key) {
		return
	}
	if s.places == nil {
		s.places = make(map[uint64]int)
	}
	if len(s.ring) < maxSuspects {
		s.ring = append(s.ring, key)
	} else {
		// A key that was removed and added again has another place.
		if before := s.ring[s.next]; s.places[before] == s.next {
			delete(s.places, before)
		}
		s.ring[s.next] = key
	}
	s.places[key] = s.next
	s.next = (s.next + 1) % maxSuspects
}

func (s *suspects) remove(key uint64) { delete(s.places, key) }

func (s *suspects) len() int { return len(s.places) }
