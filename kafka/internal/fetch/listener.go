package fetch

import (
	"context"

	"github.com/eventbus-go/eventbus/transport"
)

// Listener serialises the calls of a transport.Listener. It uses a channel in place
// of a mutex because waiting must end with a context.
type Listener struct {
	transport.Listener
	turn chan struct{}
}

// NewListener returns a Listener that is free.
func NewListener(l transport.Listener) *Listener {
	return &Listener{Listener: l, turn: make(chan struct{}, 1)}
}

// Enter waits until no other goroutine calls the Listener. It reports false if ctx
// ends first; otherwise the caller must call Leave.
func (l *Listener) Enter(ctx context.Context) bool {
	select {
	case l.turn <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// Leave ends what Enter began. It never blocks.
func (l *Listener) Leave() { <-l.turn }
