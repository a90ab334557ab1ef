package kafka

import (
	"context"

	"github.com/eventbus-go/eventbus/transport"
)

// listener lets one goroutine at a time call the Listener. It is a channel and
// not a mutex so that waiting can end.
type listener struct {
	transport.Listener
	turn chan struct{}
}

func newListener(l transport.Listener) *listener {
	return &listener{Listener: l, turn: make(chan struct{}, 1)}
}

// enter waits for the Listener to be free, and tells whether it is, or ctx has
// ended.
func (l *listener) enter(ctx context.Context) bool {
	select {
	case l.turn <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (l *listener) leave() { <-l.turn }
