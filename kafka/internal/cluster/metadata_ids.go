package cluster

import (
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

// identity is the topic that a name means. IDs have no order, and a broker that is
// late or cut off continues to name a topic that was deleted.
type identity struct {
	id      transport.TopicID
	since   time.Time                  // when it was said first
	before  map[transport.TopicID]bool // which ones the name meant, and does not any more
	doubted time.Time                  // since when only one of those is said; zero if it is not
}

// settledAfter is how long a topic ID must have been current before it counts as
// agreed on. An older ID that a broker still reports is ignored for this long;
// after that it is believed again.
const settledAfter = time.Minute

// outdated reports whether t describes a topic that was already replaced. If no
// broker names another ID for a minute, the one that was seen first was the
// outdated one, by chance.
func (m *metadata) outdated(t *TopicMeta) bool {
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
	if i.before[t.ID] {
		if i.doubted.IsZero() {
			i.doubted = t.Asked
		}
		if t.Asked.Sub(i.doubted) < settledAfter {
			return true
		}
	}
	if t.Asked.Sub(i.since) >= settledAfter {
		i.before[i.id] = true
	}
	delete(i.before, t.ID)
	i.id, i.since, i.doubted = t.ID, t.Asked, time.Time{}
	return false
}
