package cluster

import (
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

// Identity is which topic a name means. IDs have no order, and a broker that is
// cut off, or late, goes on naming a topic that was deleted.
type Identity struct {
	id      transport.TopicID
	since   time.Time                  // when it was said first
	before  map[transport.TopicID]bool // which ones the name meant, and does not any more
	doubted time.Time                  // since when only one of those is said; zero if it is not
}

// settledAfter is after how long an id is taken for the one that brokers agree
// on: what took its place is not given up for it, and what took the place of that
// is doubted only as long as somebody still says it.
const SettledAfter = time.Minute

// Outdated tells whether what a broker says is of a topic that was replaced
// already. If for a minute no broker says anything else, it was the other one that
// was outdated, seen first by chance.
func (m *Metadata) Outdated(t *TopicMeta) bool {
	if t.ID == (transport.TopicID{}) {
		return false
	}
	i := m.IDs[t.Name]
	if i == nil {
		i = &Identity{id: t.ID, since: t.Asked, before: make(map[transport.TopicID]bool)}
		m.IDs[t.Name] = i
	}
	if i.id == t.ID {
		i.doubted = time.Time{}
		return false
	}
	if i.before[t.ID] {
		if i.doubted.IsZero() {
			i.doubted = t.Asked
		}
		if t.Asked.Sub(i.doubted) < SettledAfter {
			return true
		}
	}
	if t.Asked.Sub(i.since) >= SettledAfter {
		i.before[i.id] = true
	}
	delete(i.before, t.ID)
	i.id, i.since, i.doubted = t.ID, t.Asked, time.Time{}
	return false
}
