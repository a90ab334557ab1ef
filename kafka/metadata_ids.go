package kafka

import (
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

// identity is which topic a name means. Ids have no order, and a broker that is
// cut off, or late, goes on naming a topic that was deleted.
type identity struct {
	id      transport.TopicID
	since   time.Time                  // when it was said first
	before  map[transport.TopicID]bool // which ones the name meant, and does not any more
	doubted time.Time                  // since when only one of those is said; zero if it is not
}

// settledAfter is after how long an id is taken for the one that brokers agree
// on: what took its place is not given up for it, and what took the place of that
// is doubted only as long as somebody still says it.
const settledAfter = time.Minute

// outdated tells whether what a broker says is of a topic that was replaced
// already. If for a minute no broker says anything else, it was the other one that
// was outdated, seen first by chance.
func (m *metadata) outdated(t *topicMeta) bool {
	if t.id == (transport.TopicID{}) {
		return false
	}
	i := m.ids[t.name]
	if i == nil {
		i = &identity{id: t.id, since: t.asked, before: make(map[transport.TopicID]bool)}
		m.ids[t.name] = i
	}
	if i.id == t.id {
		i.doubted = time.Time{}
		return false
	}
	if i.before[t.id] {
		if i.doubted.IsZero() {
			i.doubted = t.asked
		}
		if t.asked.Sub(i.doubted) < settledAfter {
			return true
		}
	}
	if t.asked.Sub(i.since) >= settledAfter {
		i.before[i.id] = true
	}
	delete(i.before, t.id)
	i.id, i.since, i.doubted = t.id, t.asked, time.Time{}
	return false
}
