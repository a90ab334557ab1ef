package grouptypes

import (
	"maps"
	"sort"
	"sync"
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

// Bounds of a book. They apply to what other members send, so that no member can fill
// another's memory.
const (
	// MaxLive is how many types the members of a group may handle together.
	MaxLive = 4096
	// MaxGone is how many types without a handler are remembered; the ones that
	// left first are forgotten first.
	MaxGone = 512
	// memory is how long a type without a handler is remembered. It is longer than any
	// sensible time to hold events for it.
	memory = 24 * time.Hour
)

// Gone is a type whose last handler has left the group, and when that was noticed.
type Gone struct {
	ID ID
	At time.Time
}

// Book is what one member knows. The zero value knows nothing, and is safe for
// concurrent use. Its lock is held only briefly, so it may be called with any other
// lock held.
type Book struct {
	mu   sync.Mutex
	live map[ID]struct{} // nil until the first Update
	gone map[ID]time.Time
	// recalled are types that were handled before the first Update, which finds out
	// whether they still are.
	recalled []ID
}

// Update records what live members handle at the time now, and what others remember
// about types without a handler. A type that was handled at the last Update and is not
// now has lost its last handler in between.
func (b *Book) Update(live []ID, remembered []Gone, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	before := b.live
	b.live = make(map[ID]struct{}, min(len(live), MaxLive))
	for _, id := range live[:min(len(live), MaxLive)] {
		b.live[id] = struct{}{}
	}
	if b.gone == nil {
		b.gone = make(map[ID]time.Time)
	}
	for id := range before {
		b.gone[id] = now
	}
	for _, g := range remembered[:min(len(remembered), MaxGone)] {
		// Of two members' memories the later counts: the other missed a handler
		// that came and left. Clocks differ, so none counts as later than now.
		if at := g.At; at.After(b.gone[g.ID]) {
			b.gone[g.ID] = earlier(at, now)
		}
	}
	b.missed(b.recalled, now)
	b.recalled = nil
	b.prune(now)
}

// Recall records what other members stored while this one was not in the group: the
// types that were handled then, and those that no longer had a handler. A type that
// was handled then and is not now counts as having lost its last handler at the time
// now, or at the first Update if there was none yet.
func (b *Book) Recall(live []ID, gone []Gone, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.gone == nil {
		b.gone = make(map[ID]time.Time)
	}
	for _, g := range gone {
		if at := g.At; at.After(b.gone[g.ID]) {
			b.gone[g.ID] = earlier(at, now)
		}
	}
	live = live[:min(len(live), MaxLive)]
	if b.live == nil {
		b.recalled = append([]ID(nil), live...)
		b.prune(now)
		return
	}
	b.missed(live, now)
	b.prune(now)
}

// missed records the time now for types whose last handler left at an unknown time. It
// also records types that are handled; prune removes them. The caller holds mu.
func (b *Book) missed(types []ID, now time.Time) {
	for _, id := range types {
		if _, known := b.gone[id]; !known {
			b.gone[id] = now
		}
	}
}

// prune forgets the types that are handled, those that left too long ago, and the
// oldest beyond the bound. The caller holds mu.
func (b *Book) prune(now time.Time) {
	maps.DeleteFunc(b.gone, func(id ID, at time.Time) bool {
		_, handled := b.live[id]
		return handled || now.Sub(at) > memory
	})
	if len(b.gone) > MaxGone {
		for _, g := range sorted(b.gone)[MaxGone:] {
			delete(b.gone, g.ID)
		}
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// sorted returns the latest first.
func sorted(gone map[ID]time.Time) []Gone {
	all := make([]Gone, 0, len(gone))
	for id, at := range gone {
		all = append(all, Gone{id, at})
	}
	sort.Slice(all, func(i, k int) bool {
		a, b := all[i], all[k]
		return a.At.After(b.At) || a.At.Equal(b.At) && a.ID < b.ID
	})
	return all
}

// StateFor returns what is known about a type on a topic. A member that handles all
// types of the topic handles this one.
func (b *Book) StateFor(topic, typ string) transport.TypeState {
	one, all := b.State(Of(topic, typ)), b.State(Of(topic, Any))
	if all.Live || !one.Live && all.Left.After(one.Left) {
		return all
	}
	return one
}

// State returns what is known about an ID by itself.
func (b *Book) State(id ID) transport.TypeState {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, handled := b.live[id]; handled {
		return transport.TypeState{Known: true, Live: true}
	}
	return transport.TypeState{Known: true, Left: b.gone[id]}
}

// Live returns the types that members handle, in order.
func (b *Book) Live() []ID {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := make([]ID, 0, len(b.live))
	for id := range b.live {
		all = append(all, id)
	}
	return Sorted(all)
}

// Gone returns the types that are remembered, the ones that left last first.
func (b *Book) Gone() []Gone {
	b.mu.Lock()
	defer b.mu.Unlock()
	return sorted(b.gone)
}
