package fetch

import (
	"context"

	"github.com/eventbus-go/eventbus/transport"
)

// Listener serializes calls of a transport.Listener. It uses a channel instead of a mutex, since
// waiting must end with a context.
type Listener struct {
	transport.Listener
	turn chan struct{}
}

// NewListener returns a Listener that nobody has entered.
func NewListener(l transport.Listener) *Listener {
	return &Listener{Listener: l, turn: make(chan struct{}, 1)}
}

// Enter waits until no other goroutine is calling the Listener, and reports whether the caller
// may call it now. It reports false if ctx ends first. After true the caller must call Leave.
func (l *Listener) Enter(ctx context.Context) bool {
	select {
	case l.turn <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// Leave lets the next goroutine enter. It never blocks.
func (l *Listener) Leave() { <-l.turn }
