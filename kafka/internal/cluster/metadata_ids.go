package cluster

import (
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

// identity is the topic that a name means. IDs have no order, and a broker that is late or cut
// off keeps naming a deleted topic.
type identity struct {
	id      transport.TopicID
	since   time.Time                  // when id was first reported
	before  map[transport.TopicID]bool // ids that the name meant before
	doubted time.Time                  // since when only one of those is reported; zero if none is
}

// superseded reports whether t describes a topic that has been replaced. If no broker names
// another ID for a minute, the one seen first was in fact the outdated one.
func (m *metadata) superseded(t *TopicMeta) bool {
	// Brokers before 2.8 report no IDs.
	if t.ID == (transport.TopicID{}) {
		return false
	}
	i := m.ids[t.Name]
	if i == nil {
		i = &identity{id: t.ID, since: t.Asked, before: make(map[transport.TopicID]bool)}
		m.ids[t.Name] = i
	}
	if i.id == t.ID {
		i.doubted = time.Time{}
		return false
	}
	// The broker is late, unless all brokers keep reporting this ID for a while.
	if i.before[t.ID] {
		if i.doubted.IsZero() {
			i.doubted = t.Asked
		}
		if t.Asked.Sub(i.doubted) < agreedAfter {
			return true
		}
	}
	// Remember only an ID that was current for long enough as replaced: one that a single late
	// broker reported was never agreed on.
	if t.Asked.Sub(i.since) >= agreedAfter {
		i.before[i.id] = true
	}
	delete(i.before, t.ID)
	i.id, i.since, i.doubted = t.ID, t.Asked, time.Time{}
	return false
}
