package wire

import (
	"maps"
	"sync"
	"sync/atomic"
)

// interned holds the strings that come back with every record: sources, types,
// content types, names of extensions. Looking one up takes no lock and no
// allocation. It is bounded, and what came first stays: producers that put
// something new into every record cost an allocation each, and nothing else.
var interned internTable

const (
	internMost   = 1024
	internLength = 256
)

type internTable struct {
	known atomic.Pointer[map[string]string]
	mu    sync.Mutex // held by whoever replaces known
}

func (t *internTable) get(b []byte) string {
	if m := t.known.Load(); m != nil {
		if s, ok := (*m)[string(b)]; ok {
			return s
		}
	}
	return t.add(string(b))
}

// getString is get for text that may lie in borrowed memory.
func (t *internTable) getString(b string) string {
	if m := t.known.Load(); m != nil {
		if s, ok := (*m)[b]; ok {
			return s
		}
	}
	return t.add(string([]byte(b)))
}

func (t *internTable) add(s string) string {
	if len(s) > internLength {
		return s
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	// Readers hold the old map, so a new one takes its place.
	next := map[string]string{}
	if m := t.known.Load(); m != nil {
		if len(*m) >= internMost {
			return s
		}
		next = maps.Clone(*m)
	}
	next[s] = s
	t.known.Store(&next)
	return s
}
