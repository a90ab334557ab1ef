package engine

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eventbus-go/eventbus/resilience"
)

// Limit bounds the rate at which records are tried. It need not be safe for concurrent use.
type Limit interface {
	// Wait returns how long to wait before the next record; zero or less means not at all.
	Wait(now time.Time) time.Duration
	// Take counts n records as tried. A negative n takes back records that were not tried.
	Take(n int)
}

// NewLimit returns a limit of rate records a second, with bursts of up to burst. A batch may
// take more than there is; the records after it then wait longer.
func NewLimit(rate float64, burst int) Limit {
	return &bucket{rate: rate, burst: float64(burst), tokens: float64(burst)}
}

// bucket is a token bucket.
type bucket struct {
	rate, burst, tokens float64
	last                time.Time
}

// Wait implements Limit. A time too long to represent is cut; the caller asks again.
func (b *bucket) Wait(now time.Time) time.Duration {
	if !b.last.IsZero() {
		b.tokens = min(b.tokens+now.Sub(b.last).Seconds()*b.rate, b.burst)
	}
	b.last = now
	// A missing part of a token too small for the clock counts as none: otherwise a timer would
	// spin.
	if missing := 1 - b.tokens; missing > 1e-9 {
		return time.Duration(min(missing/b.rate, 60)*float64(time.Second)) + 1
	}
	return 0
}

// Take implements Limit.
func (b *bucket) Take(n int) { b.tokens -= float64(n) }

// gate holds the lanes that an open breaker keeps from running, first come first out, so that
// probes come from distinct keys in turn.
//
// A breaker may be shared with other subscriptions and groups, so the gate isn't told about its
// changes. Instead it checks, whenever one of its own attempts has ended and on a timer, by
// letting a few lanes ask.
type gate struct {
	sub     *Subscription
	waiting atomic.Int64 // number of waiting lanes

	mu     sync.Mutex
	waits  []*wait
	timer  *time.Timer
	closed bool
}

// add adds a wait. The caller holds its partition's lock.
func (g *gate) add(w *wait) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waits = append(g.waits, w)
	g.changed()
}

// changed updates the count and the timer. The caller holds mu.
func (g *gate) changed() {
	g.waiting.Store(int64(len(g.waits)))
	switch {
	case len(g.waits) == 0 || g.closed:
		if g.timer != nil {
			g.timer.Stop()
			g.timer = nil
		}
	case g.timer == nil:
		g.timer = time.AfterFunc(g.interval(), g.look)
	}
}

// interval returns the time between checks: a tenth of the shortest pause between rounds of
// probes, so that checking adds at most that much.
func (g *gate) interval() time.Duration {
	return min(max(g.sub.Breaker.Cooldown()/80, 5*time.Millisecond), time.Second)
}

// look lets lanes ask the breaker: all of them if it is closed, otherwise as many as may become
// probes. Refused lanes go back to the end of the queue.
func (g *gate) look() {
	g.mu.Lock()
	asking := g.next()
	if g.timer != nil {
		g.timer.Stop()
		g.timer = nil
	}
	g.changed()
	g.mu.Unlock()
	for _, w := range asking {
		w.resume()
	}
}

// next removes the lanes that ask now from the queue. If the breaker is open, up to half of
// them were tried before, those of the last rounds first: events that fail at first and then
// succeed would keep a breaker open that only probed with new ones. The rest are new lanes if
// there are any: among thousands of failing events, only others can show that the dependency
// works. Suspects come last: their failures don't count, and thousands of them may wait in
// front of a key whose failure does. The caller holds mu.
func (g *gate) next() (asking []*wait) {
	b := g.sub.Breaker
	if b.State() == resilience.Closed {
		asking, g.waits = g.waits, nil
		return asking
	}
	if b.Refuses() {
		return nil
	}
	n := min(len(g.waits), b.Probes())
	take := func(most int, fits func(*wait) bool) {
		g.waits = slices.DeleteFunc(g.waits, func(w *wait) bool {
			if len(asking) >= most || !fits(w) || b.Suspected(w.key) {
				return false
			}
			asking = append(asking, w)
			return true
		})
	}
	take((n+1)/2, func(w *wait) bool { return w.probed })
	take((n+1)/2, func(w *wait) bool { return w.tried && n > 1 })
	take(n, func(w *wait) bool { return w.fresh })
	take(n, func(*wait) bool { return true })
	rest := n - len(asking)
	asking = append(asking, g.waits[:rest]...)
	g.waits = slices.Delete(g.waits, 0, rest)
	return asking
}

// recheck checks at once when an attempt's outcome may have closed the breaker or freed a
// probe's place.
func (g *gate) recheck() {
	if g.waiting.Load() > 0 && g.sub.Breaker.State() != resilience.Open {
		g.look()
	}
}

// forget drops the waits of a partition that goes.
func (g *gate) forget(p *partition) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waits = slices.DeleteFunc(g.waits, func(w *wait) bool { return w.lane.partition == p })
	g.changed()
}

// close drops all waits. Their records stay in their lanes, for the next owner to read.
func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed, g.waits = true, nil
	g.changed()
}
