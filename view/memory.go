package view

import (
	"context"
	"hash/maphash"
	"maps"
	"sync"
	"sync/atomic"
)

// Memory returns a Store in the process's memory. It is the default.
func Memory() Store { return &memory{} }

// memory is a Store whose tables end with the process.
type memory struct {
	// mu guards the fields below. current is the table that was promoted last, and
	// name its name; made holds the one created since, by name.
	mu      sync.Mutex
	current *memoryTable
	name    string
	made    map[string]*memoryTable
}

// Current implements Store.
func (m *memory) Current(context.Context) (Table, string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.current == nil {
		return nil, "", nil
	}
	return m.current, m.name, nil
}

// Create implements Store.
func (m *memory) Create(_ context.Context, name string) (Table, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := newMemoryTable()
	m.made = map[string]*memoryTable{name: t} // drops an earlier table that was never promoted
	return t, nil
}

// Promote implements Store. Readers of the table before keep it alive until they
// return.
func (m *memory) Promote(_ context.Context, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	// A name that Create did not return changes nothing.
	if t := m.made[name]; t != nil {
		m.current, m.name, m.made = t, name, nil
	}
	return nil
}

// shards is the number of locks of a table. Applying a change blocks the readers of
// only one key in 64.
const shards = 64

// entryOverhead estimates the memory, in bytes, that a key takes beyond its bytes
// and its record: a slot of a map that is two thirds full, and two allocations.
const entryOverhead = 96

// memoryTable is a Table in memory.
type memoryTable struct {
	// seed is random for each table: nobody can choose keys that share a lock.
	seed        maphash.Seed
	shards      [shards]shard
	keys, bytes atomic.Int64

	// mu guards marks alone.
	mu    sync.Mutex
	marks map[int32]Mark
}

// shard is the part of a table that one lock guards.
type shard struct {
	mu      sync.RWMutex
	records map[string][]byte
}

func newMemoryTable() *memoryTable {
	t := &memoryTable{seed: maphash.MakeSeed(), marks: make(map[int32]Mark)}
	for i := range t.shards {
		t.shards[i].records = make(map[string][]byte)
	}
	return t
}

func (t *memoryTable) shard(key []byte) *shard {
	return &t.shards[maphash.Bytes(t.seed, key)%shards]
}

// Apply implements Table.
func (t *memoryTable) Apply(_ context.Context, partition int32, changes []Change, mark Mark) error {
	// A reader may see part of a batch: the view promises no order between keys.
	for i := range changes {
		t.apply(&changes[i])
	}
	t.mu.Lock()
	t.marks[partition] = mark
	t.mu.Unlock()
	return nil
}

func (t *memoryTable) apply(c *Change) {
	s := t.shard(c.Key)
	s.mu.Lock()
	defer s.mu.Unlock()
	old, had := s.records[string(c.Key)]
	own := int64(len(c.Key) + entryOverhead)
	// Removing a key that is not there is no error: the topic may have several
	// tombstones of it.
	switch {
	case c.Record == nil && had:
		delete(s.records, string(c.Key))
		t.keys.Add(-1)
		t.bytes.Add(-own - int64(len(old)))
	case c.Record != nil && had:
		s.records[string(c.Key)] = c.Record
		t.bytes.Add(int64(len(c.Record) - len(old)))
	case c.Record != nil:
		s.records[string(c.Key)] = c.Record
		t.keys.Add(1)
		t.bytes.Add(own + int64(len(c.Record)))
	}
}

// Get implements Table.
func (t *memoryTable) Get(_ context.Context, key []byte) ([]byte, bool, error) {
	s := t.shard(key)
	s.mu.RLock()
	defer s.mu.RUnlock()
	r, ok := s.records[string(key)]
	// A record is replaced and never changed, so it may be read without the lock.
	return r, ok, nil
}

// Range implements Table. It holds no lock while f runs.
func (t *memoryTable) Range(ctx context.Context, f func(key, record []byte) error) error {
	type pair struct {
		key    string
		record []byte
	}
	var pairs []pair
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.RLock()
		pairs = pairs[:0]
		for k, r := range s.records {
			pairs = append(pairs, pair{k, r})
		}
		s.mu.RUnlock()
		for _, p := range pairs {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := f([]byte(p.key), p.record); err != nil {
				return err
			}
		}
	}
	return nil
}

// Marks implements Table.
func (t *memoryTable) Marks(context.Context) (map[int32]Mark, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.marks), nil
}

// Size implements Table.
func (t *memoryTable) Size() (keys, bytes int64) { return t.keys.Load(), t.bytes.Load() }
