package fetch

import (
	"context"

	"github.com/eventbus-go/eventbus/transport"
)

// Listener lets one goroutine at a time call the Listener. It is a channel and
// not a mutex so that waiting can end.
type Listener struct {
	transport.Listener
	turn chan struct{}
}

func NewListener(l transport.Listener) *Listener {
	return &Listener{Listener: l, turn: make(chan struct{}, 1)}
}

// Enter waits for the Listener to be free, and tells whether it is, or ctx has
// ended.
func (l *Listener) Enter(ctx context.Context) bool {
	select {
	case l.turn <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (l *Listener) Leave() { <-l.turn }
