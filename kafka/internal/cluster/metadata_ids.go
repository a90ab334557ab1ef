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

// agreedAfter is how long a topic ID must have been current before it counts as
// agreed on. An older ID that a broker still reports is ignored for this long;
// after that it is believed again.
const agreedAfter = time.Minute

// superseded reports whether t describes a topic that was already replaced. If no
// broker names another ID for a minute, the one that was seen first was the
// outdated one, by chance.
func (m *metadata) superseded(t *TopicMeta) bool {
	// Brokers before 2.8 name no IDs.
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
	// The broker is late, unless all brokers stay with this ID for a while.
	if i.before[t.ID] {
		if i.doubted.IsZero() {
			i.doubted = t.Asked
		}
		if t.Asked.Sub(i.doubted) < agreedAfter {
			return true
		}
	}
	// Only an ID that was current for so long is remembered as replaced: one that a
	// single late broker named was never agreed on.
	if t.Asked.Sub(i.since) >= agreedAfter {
		i.before[i.id] = true
	}
	delete(i.before, t.ID)
	i.id, i.since, i.doubted = t.ID, t.Asked, time.Time{}
	return false
}
