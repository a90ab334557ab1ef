package engine

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/eventbus-go/eventbus/resilience"
)

// gate holds the lanes that an open breaker keeps from running, first come
// first out: so probes come from distinct keys in turn.
//
// A breaker may be shared with other subscriptions and groups, so the gate does
// not hear of its changes. It looks: whenever an attempt of its own has ended,
// and on a timer, by letting a few lanes ask.
type gate struct {
	sub     *Subscription
	waiting atomic.Int64 // how many lanes

	mu     sync.Mutex
	lanes  []*lane
	timer  *time.Timer
	closed bool
}

// add enters a lane. Its partition's lock is held.
func (g *gate) add(l *lane) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.lanes = append(g.lanes, l)
	g.waiting.Store(int64(len(g.lanes)))
	if g.timer == nil && !g.closed {
		g.timer = time.AfterFunc(g.interval(), g.look)
	}
}

// interval between looks: a tenth of the cooldown, so that an outage's end
// costs at most that much more.
func (g *gate) interval() time.Duration {
	return min(max(g.sub.Breaker.Cooldown()/10, 5*time.Millisecond), time.Second)
}

// look lets lanes ask the breaker: all when it is closed, else as many as may
// become probes. Those that are refused come back to the end of the queue.
func (g *gate) look() {
	g.mu.Lock()
	n := len(g.lanes)
	if g.sub.Breaker.State() != resilience.Closed {
		n = min(n, g.sub.Breaker.Probes())
	}
	asking := append([]*lane(nil), g.lanes[:n]...)
	g.lanes = append(g.lanes[:0], g.lanes[n:]...)
	g.waiting.Store(int64(len(g.lanes)))
	if g.timer != nil {
		g.timer.Stop()
		g.timer = nil
	}
	if len(g.lanes) > 0 && !g.closed {
		g.timer = time.AfterFunc(g.interval(), g.look)
	}
	g.mu.Unlock()
	for _, l := range asking {
		g.sub.engine.resumeLane(l)
	}
}

// settled looks at once when an attempt's outcome may have closed the breaker or
// freed a probe.
func (g *gate) settled() {
	if g.waiting.Load() > 0 && g.sub.Breaker.State() != resilience.Open {
		g.look()
	}
}

func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed, g.lanes = true, nil
	if g.timer != nil {
		g.timer.Stop()
	}
}
