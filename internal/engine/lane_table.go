package engine

import "iter"

// laneTable finds the lanes of a partition by key. Keys are hashes already; lanes whose keys
// end alike are chained. A record costs one lookup when it comes and one when its lane empties,
// so the overhead of a map would show. The zero value is ready to use. Its partition's lock
// guards it.
type laneTable struct {
	chains []*lane // their number is a power of two
	count  int
}

// leastChains is the minimum number of chains.
const leastChains = 64

// chain returns the start of the chain of a key. There must be chains.
func (t *laneTable) chain(key uint64) *(*lane) {
	// The lowest bit only distinguishes keys from offsets.
	return &t.chains[key>>1&uint64(len(t.chains)-1)]
}

// get returns the lane of key, nil if it has none.
func (t *laneTable) get(key uint64) *lane {
	if t.count == 0 {
		return nil
	}
	l := *t.chain(key)
	for l != nil && l.key != key {
		l = l.next
	}
	return l
}

// add adds a lane whose key has none.
func (t *laneTable) add(l *lane) {
	if t.count == len(t.chains) {
		t.grow()
	}
	t.count++
	first := t.chain(l.key)
	l.next, *first = *first, l
}

// remove removes a lane, which must be there.
func (t *laneTable) remove(l *lane) {
	t.count--
	at := t.chain(l.key)
	for *at != l {
		at = &(*at).next
	}
	*at, l.next = l.next, nil
}

// grow doubles the chains, so that there is one per lane. They never shrink: a partition that
// once had many keys at a time is likely to have them again.
func (t *laneTable) grow() {
	old := t.chains
	t.chains = make([]*lane, max(2*len(old), leastChains))
	for _, l := range old {
		for l != nil {
			next := l.next
			first := t.chain(l.key)
			l.next, *first = *first, l
			l = next
		}
	}
}

// all yields the lanes, in no order. None may be added or removed meanwhile.
func (t *laneTable) all() iter.Seq[*lane] {
	return func(yield func(*lane) bool) {
		for _, l := range t.chains {
			for ; l != nil; l = l.next {
				if !yield(l) {
					return
				}
			}
		}
	}
}
