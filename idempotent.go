package eventbus

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"sync"
)

// Inbox remembers which events were handled, for Idempotent. It is made for a
// database's own transaction: Once begins one, enters the keys, runs do with a
// context that carries it, and commits; whatever fails rolls back all of it.
//
// An Inbox is used concurrently. Two calls with one key must not both run do
// with it: the second waits for the first, or fails and is retried.
type Inbox interface {
	// Once runs do with the indexes of the keys that are new (none of them
	// may mean not running it at all) and remembers all keys if do returns
	// nil. It returns do's error as it is.
	Once(ctx context.Context, keys []string, do func(ctx context.Context, fresh []int) error) error
}

// Idempotent is middleware that handles each event once per group, told apart by
// CloudEvents source and id: what a crash repeats, or a producer sent twice, is
// let through to the end without its handler. How long it remembers is the
// inbox's to say.
//
// Within a batch, an error fails the whole batch, also one that marks single
// events: what the inbox rolled back must be handled again.
func Idempotent(inbox Inbox) Middleware {
	return func(next Handler) Handler {
		return func(ctx context.Context, d *Delivery) error {
			keys := make([]string, len(d.Events))
			for i, e := range d.Events {
				keys[i] = inboxKey(d.Group, e)
			}
			err := inbox.Once(ctx, keys, func(ctx context.Context, fresh []int) error {
				if len(fresh) == 0 {
					return nil
				}
				if len(fresh) == len(d.Events) {
					return next(ctx, d)
				}
				rest := *d
				rest.Events = make([]*Envelope, len(fresh))
				for i, j := range fresh {
					rest.Events[i] = d.Events[j]
				}
				return next(ctx, &rest)
			})
			if _, ok := errors.AsType[*BatchError](err); ok {
				return fmt.Errorf("the batch was rolled back: %v", err) //nolint:errorlint // its marks no longer hold
			}
			return err
		}
	}
}

// inboxKey identifies an event within a group. A tombstone that is no
// CloudEvent has no id: its place in the log is one.
func inboxKey(group string, e *Envelope) string {
	if e.ID == "" {
		return fmt.Sprintf("%s\x00%s/%d@%d", group, e.Topic, e.Partition, e.Offset)
	}
	return group + "\x00" + e.Source + "\x00" + e.ID
}

// MemoryInbox remembers the last n events, in this process alone: enough against
// producers that send twice, not against a restart. 100,000 if n is not
// positive; each takes about 200 bytes.
func MemoryInbox(n int) Inbox {
	if n <= 0 {
		n = 100_000
	}
	return &memoryInbox{most: n, known: make(map[string]*list.Element), busy: make(map[string]chan struct{})}
}

type memoryInbox struct {
	most int

	mu    sync.Mutex
	known map[string]*list.Element
	age   list.List // of keys, the oldest first
	busy  map[string]chan struct{}
}

func (m *memoryInbox) Once(ctx context.Context, keys []string, do func(context.Context, []int) error) error {
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
func (m *memoryInbox) begin(ctx context.Context, keys []string) (fresh []int, end func(bool), err error) {
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

func (m *memoryInbox) taken(keys []string) chan struct{} {
	for _, key := range keys {
		if other := m.busy[key]; other != nil {
			return other
		}
	}
	return nil
}

func (m *memoryInbox) remember(key string) {
	m.known[key] = m.age.PushBack(key)
	for len(m.known) > m.most {
		oldest := m.age.Front()
		m.age.Remove(oldest)
		delete(m.known, oldest.Value.(string))
	}
}
