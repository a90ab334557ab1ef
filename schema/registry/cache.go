package registry

import (
	"sync"
	"time"
)

// unknownFor is how long at most an answer "unknown" is cached: a stream of events
// with a bad id must not become a stream of requests. While an id is waited for, the
// registry is asked at least asked times; the last answer decides.
const (
	unknownFor = 30 * time.Second
	asked      = 8
)

// cache remembers schemas by id, which registries never change, and unknown ids. Both
// are bounded, since events may have arbitrary ids.
type cache struct {
	mu      sync.RWMutex
	most    int
	schemas map[ID]*Schema
	unknown map[ID]unknown
}

// unknown is an id that the registry does not know.
type unknown struct {
	err   error
	first time.Time // when the id was first requested
	until time.Time // when the registry is asked again
}

func newCache(most int) *cache {
	return &cache{most: most, schemas: make(map[ID]*Schema), unknown: make(map[ID]unknown)}
}

// get returns nil and the zero unknown for an id that was not requested yet.
func (c *cache) get(id ID) (*Schema, unknown) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.schemas[id], c.unknown[id]
}

// put keeps a schema. Its id is no longer unknown.
func (c *cache) put(id ID, s *Schema) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.unknown, id)
	makeRoom(c.schemas, c.most)
	c.schemas[id] = s
}

// missing notes that the registry does not know id now. wait is how long the id is
// waited for.
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

// makeRoom deletes entries of a full map, no matter which, so that there is room for
// another.
func makeRoom[V any](m map[ID]V, most int) {
	for id := range m {
		if len(m) < most {
			return
		}
		delete(m, id)
	}
}
