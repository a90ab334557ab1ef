package registry

import (
	"sync"
	"time"
)

// unknownFor is how long the answer "there is none" is believed at most: a stream of
// events with one bad id must not become a stream of requests. During the wait for an id
// the registry is asked at least eight times; the last answer decides.
const (
	unknownFor = 30 * time.Second
	asked      = 8
)

// cache remembers schemas by id, which registries never change, and which ids are
// unknown. Both are bounded: ids come with events, and somebody may make them up.
type cache struct {
	mu      sync.RWMutex
	most    int
	schemas map[ID]*Schema
	unknown map[ID]unknown
}

// unknown is what is known of an id that the registry does not know.
type unknown struct {
	err   error
	first time.Time // when it was asked for first
	until time.Time // until when the answer is believed
}

func newCache(most int) *cache {
	return &cache{most: most, schemas: make(map[ID]*Schema), unknown: make(map[ID]unknown)}
}

// get returns nil and the zero unknown for an id that was not asked for.
func (c *cache) get(id ID) (*Schema, unknown) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.schemas[id], c.unknown[id]
}

// put keeps a schema. Its id is unknown no longer.
func (c *cache) put(id ID, s *Schema) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.unknown, id)
	makeRoom(c.schemas, c.most)
	c.schemas[id] = s
}

// missing notes that id is unknown now, and returns since when. It is waited for during
// wait.
func (c *cache) missing(id ID, err error, now time.Time, wait time.Duration) unknown {
	c.mu.Lock()
	defer c.mu.Unlock()
	u, ok := c.unknown[id]
	if !ok {
		makeRoom(c.unknown, c.most)
		u.first = now
	}
	u.err, u.until = err, now.Add(unknownFor)
	if now.Sub(u.first) < wait {
		u.until = now.Add(min(unknownFor, wait/asked))
	}
	c.unknown[id] = u
	return u
}

// makeRoom forgets any one entry of a full map: which one does not matter, as
// long as memory is bounded.
func makeRoom[V any](m map[ID]V, most int) {
	for id := range m {
		if len(m) < most {
			return
		}
		delete(m, id)
	}
}
