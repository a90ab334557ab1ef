package main

import (
	"cmp"
	"context"
	"time"

	"github.com/eventbus-go/eventbus/chaos/internal/cluster"
)

// losesBroker reports whether an action takes a broker away without an orderly
// shutdown. Until the cluster notices no client can go on: that takes the
// broker's session, after the election of a controller if it was the controller.
func (a action) losesBroker() bool {
	return a.verb == killBroker || a.verb == freezeBroker || a.verb == fillDisk
}

// awaitFencing measures how long the cluster takes to depose the broker that a
// takes away, as another client sees it. It gives up when the broker comes
// back.
func (t *stage) awaitFencing(ctx context.Context, a action, from time.Time) {
	within, cancel := context.WithTimeout(ctx, cmp.Or(a.lasts, time.Minute))
	defer cancel()
	// Wait for GroupsTopic too: the group can't go on before it has another
	// coordinator.
	err := t.cluster.Deposed(within, int32(a.target), t.topic.topic(), cluster.GroupsTopic) //nolint:gosec // small
	took := time.Since(from)
	if err != nil {
		t.say("broker %d was not deposed within %s: %v", a.target, a.lasts, err)
	} else {
		t.say("broker %d was deposed after %s", a.target, took.Round(10*time.Millisecond))
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	// Even after an error: the cluster took at least that long.
	t.fencing = max(t.fencing, took)
}
