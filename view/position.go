package view

import (
	"context"
	"maps"
	"sync"
)

// position holds, for each partition, the offset that the view's live table has
// reached. It is safe for concurrent use.
type position struct {
	mu   sync.Mutex
	next map[int32]int64
	// moved is closed, and made again, when next changes while somebody waits; nil
	// while nobody does.
	moved chan struct{}
}

// set replaces all positions when a table becomes the live one.
func (p *position) set(next map[int32]int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next = maps.Clone(next)
	p.wake()
}

// advance sets the position of one partition. It does nothing before the first set.
func (p *position) advance(partition int32, next int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.next != nil {
		p.next[partition] = next
		p.wake()
	}
}

func (p *position) wake() {
	if p.moved != nil {
		close(p.moved)
		p.moved = nil
	}
}

// reached reports whether an offset is applied, and if not, returns a channel that
// is closed at the next change.
func (p *position) reached(partition int32, offset int64) (bool, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if next, ok := p.next[partition]; ok && next > offset {
		return true, nil
	}
	if p.moved == nil {
		p.moved = make(chan struct{})
	}
	return false, p.moved
}

// await waits until an offset is applied, ctx ends or over is closed.
func (p *position) await(ctx context.Context, partition int32, offset int64, over <-chan struct{}) error {
	// A change doesn't say which partition moved, so check after each one.
	for {
		ok, moved := p.reached(partition, offset)
		if ok {
			return nil
		}
		select {
		case <-moved:
		case <-over:
			return errEnded
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
