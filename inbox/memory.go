package inbox

import (
	"container/list"
	"context"
	"sync"

	"github.com/eventbus-go/eventbus"
)

// Memory returns an inbox that remembers the last n events in this process: enough against
// producers that send twice, but not across a restart. If n is not positive it is 100,000. Each
// event takes about 200 bytes. The inbox is safe for concurrent use.
func Memory(n int) eventbus.Inbox {
	if n <= 0 {
		n = 100_000
	}
	return &memory{most: n, known: make(map[string]*list.Element), busy: make(map[string]chan struct{})}
}

// memory is the inbox returned by Memory. A key is fresh, then busy while its event is handled, and
// known once that has succeeded; a failure makes it fresh again.
type memory struct {
	// most is how many known keys are kept.
	most int

	// mu guards the fields below. It is never held while an event is handled.
	mu sync.Mutex
	// known has the element of each key in age.
	known map[string]*list.Element
	// age has the known keys in the order in which they were handled, oldest first.
	age list.List
	// busy has a channel for each key whose event is being handled, closed when
	// that ends. The keys of one batch share one.
	busy map[string]chan struct{}
}

// Once implements eventbus.Inbox.
func (m *memory) Once(ctx context.Context, keys []string, do func(context.Context, []int) error) error {
	fresh, end, err := m.begin(ctx, keys)
	if err != nil {
		return err
	}
	// If do fails or panics, done stays false, and the keys are fresh for another
	// attempt.
	done := false
	defer func() { end(done) }()
	if len(fresh) > 0 {
		if err := do(ctx, fresh); err != nil {
			return err
		}
	}
	done = true
	return nil
}

// begin takes all keys at once, waiting until none of them is busy, so that two batches can't
// each hold some and wait for the other's. It returns the indexes of fresh keys, and end, which
// releases the keys and, if done, remembers them. Its error is ctx's.
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
		// A key that occurs twice in a batch is fresh once.
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

// taken returns the channel of a busy key, or nil if there is none. m.mu is held.
func (m *memory) taken(keys []string) chan struct{} {
	for _, key := range keys {
		if other := m.busy[key]; other != nil {
			return other
		}
	}
	return nil
}

// remember adds a key and forgets the oldest ones. m.mu is held.
func (m *memory) remember(key string) {
	m.known[key] = m.age.PushBack(key)
	for len(m.known) > m.most {
		oldest := m.age.Front()
		m.age.Remove(oldest)
		delete(m.known, oldest.Value.(string))
	}
}
