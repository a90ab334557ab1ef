package inbox

import (
	"container/list"
	"context"
	"sync"

	"github.com/eventbus-go/eventbus"
)

// Memory returns an inbox that remembers the last n events, in this process alone: enough against
// producers that send twice, not against a restart. 100,000 if n is not
// positive; each takes about 200 bytes.
func Memory(n int) eventbus.Inbox {
	if n <= 0 {
		n = 100_000
	}
	return &memory{most: n, known: make(map[string]*list.Element), busy: make(map[string]chan struct{})}
}

type memory struct {
	most int

	mu    sync.Mutex
	known map[string]*list.Element
	age   list.List // of keys, the oldest first
	busy  map[string]chan struct{}
}

func (m *memory) Once(ctx context.Context, keys []string, do func(context.Context, []int) error) error {
	fresh, end, err := m.begin(ctx, keys)
	if err != nil {
		return err
	}
	done := false
	defer func() { end(done) }() // also when do panics
	if err := do(ctx, fresh); err != nil {
		return err
	}
	done = true
	return nil
}

// begin takes all keys at once, waiting until nobody else has one of them: two
// batches can't hold a part each and wait for the other's.
func (m *memory) begin(ctx context.Context, keys []string) (fresh []int, end func(bool), err error) {
	m.mu.Lock()
	for {
		other := m.taken(keys)
		if other == nil {
			break
		}
		m.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
		m.mu.Lock()
	}
	defer m.mu.Unlock()
	ended := make(chan struct{})
	mine := make(map[string]bool, len(keys))
	for i, key := range keys {
		if m.known[key] == nil && !mine[key] {
			fresh = append(fresh, i)
			mine[key] = true
			m.busy[key] = ended
		}
	}
	return fresh, func(done bool) {
		m.mu.Lock()
		defer m.mu.Unlock()
		for key := range mine {
			delete(m.busy, key)
			if done {
				m.remember(key)
			}
		}
		close(ended)
	}, nil
}

func (m *memory) taken(keys []string) chan struct{} {
	for _, key := range keys {
		if other := m.busy[key]; other != nil {
			return other
		}
	}
	return nil
}

func (m *memory) remember(key string) {
	m.known[key] = m.age.PushBack(key)
	for len(m.known) > m.most {
		oldest := m.age.Front()
		m.age.Remove(oldest)
		delete(m.known, oldest.Value.(string))
	}
}
