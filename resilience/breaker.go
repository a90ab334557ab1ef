package resilience

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"
)

// BreakerConfig configures a Breaker. The zero value works.
type BreakerConfig struct {
	// Disabled makes a breaker that always lets through.
	Disabled bool
	// Ratio is the share of distinct keys whose last attempt failed that
	// opens the breaker. Default 0.5.
	Ratio float64
	// MinKeys is how many distinct keys must have been seen within Window
	// before the ratio counts, so one poisonous key can't open it. Default 10.
	MinKeys int
	// Window is how far back outcomes count. Default 10 s.
	Window time.Duration
	// OpenFor is how long it stays open before it lets probes through. Default 10 s.
	OpenFor time.Duration
	// Probes is how many attempts a half-open breaker lets through, and how
	// many successes close it. Default 3.
	Probes int
	// OnChange, if not nil, hears every change of state. It must not block or
	// call the breaker.
	OnChange func(from, to State)
}

func (c BreakerConfig) withDefaults() BreakerConfig {
	if c.Ratio <= 0 || c.Ratio > 1 {
		c.Ratio = 0.5
	}
	if c.MinKeys <= 0 {
		c.MinKeys = 10
	}
	// Never on one key (a ratio over a single key is all or nothing).
	c.MinKeys = max(c.MinKeys, 2)
	if c.Window <= 0 {
		c.Window = 10 * time.Second
	}
	if c.OpenFor <= 0 {
		c.OpenFor = 10 * time.Second
	}
	if c.Probes <= 0 {
		c.Probes = 3
	}
	return c
}

// State of a Breaker.
type State int32

// The states.
const (
	Closed State = iota
	HalfOpen
	Open
)

// String is "closed", "half-open" or "open".
func (s State) String() string {
	return [...]string{"closed", "half-open", "open"}[s]
}

// Breaker is a two-step circuit breaker: Allow asks before an attempt, the
// ticket's Done tells how it went. It is safe for concurrent use. It opens when
// enough distinct keys fail, never because one key does.
type Breaker struct {
	config  BreakerConfig
	circuit *gobreaker.TwoStepCircuitBreaker[struct{}]
	state   atomic.Int32

	mu       sync.Mutex
	outcomes map[uint64]bool // key → its last attempt failed; kept from the window's first failure on
	failed   int
	since    time.Time // start of the window
	tracking atomic.Bool
	openedAt time.Time
	openFor  time.Duration // open and half-open time of past openings, summed
	answered atomic.Bool   // a probe has succeeded since the opening
}

// maxOutcomes bounds the memory of a window. A full one starts over.
const maxOutcomes = 1 << 14

// NewBreaker returns a closed breaker.
func NewBreaker(name string, config BreakerConfig) *Breaker {
	b := &Breaker{config: config.withDefaults(), outcomes: make(map[uint64]bool)}
	b.circuit = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		Name:        name,
		MaxRequests: uint32(b.config.Probes),
		Timeout:     b.config.OpenFor,
		// Consulted under the circuit's lock right after a failure that record
		// judged; that call is made only when the keys say trip.
		ReadyToTrip:   func(gobreaker.Counts) bool { return true },
		OnStateChange: func(_ string, from, to gobreaker.State) { b.changed(stateOf(from), stateOf(to)) },
		IsExcluded:    func(err error) bool { return errors.Is(err, errIgnored) },
	})
	return b
}

func stateOf(s gobreaker.State) State {
	switch s {
	case gobreaker.StateOpen:
		return Open
	case gobreaker.StateHalfOpen:
		return HalfOpen
	}
	return Closed
}

func (b *Breaker) changed(from, to State) {
	b.mu.Lock()
	switch {
	case from == Closed:
		b.openedAt = time.Now()
	case to == Closed:
		b.openFor += time.Since(b.openedAt)
		b.openedAt = time.Time{}
		b.answered.Store(false)
	}
	b.forget()
	b.mu.Unlock()
	b.state.Store(int32(to))
	if b.config.OnChange != nil {
		b.config.OnChange(from, to)
	}
}

// forget starts a new window. The caller holds mu.
func (b *Breaker) forget() {
	clear(b.outcomes)
	b.failed = 0
	b.tracking.Store(false)
}

// State of the breaker. An open breaker turns half-open by being asked after
// OpenFor, so an idle one still reads Open.
func (b *Breaker) State() State { return State(b.state.Load()) }

// OpenFor is how long the breaker has not been closed, summed over its life:
// retry clocks that must stand still meanwhile subtract the growth of it.
func (b *Breaker) OpenFor() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.openedAt.IsZero() {
		return b.openFor
	}
	return b.openFor + time.Since(b.openedAt)
}

// Cooldown is how long an open breaker stays open.
func (b *Breaker) Cooldown() time.Duration { return b.config.OpenFor }

// Probes is how many attempts a half-open breaker lets through.
func (b *Breaker) Probes() int { return b.config.Probes }

// Outcome of an attempt, as the breaker counts it.
type Outcome int8

// The outcomes. Ignored says nothing of the dependency's state (an invalid
// event, a cancelled attempt); a probe that ends so frees its place.
const (
	Success Outcome = iota
	Failure
	Ignored
)

// Ticket is the right to one attempt. Done must be called exactly once.
type Ticket struct {
	b    *Breaker
	key  uint64
	done func(error) // set for a probe
}

// Allow asks for an attempt on behalf of a key. A refused one costs nothing: try
// again when the breaker has changed, or after Cooldown.
func (b *Breaker) Allow(key uint64) (Ticket, bool) {
	if b.config.Disabled || b.State() == Closed {
		return Ticket{b: b, key: key}, true
	}
	done, err := b.circuit.Allow()
	if err != nil {
		return Ticket{}, false
	}
	return Ticket{b: b, key: key, done: done}, true
}

// Probe tells whether the attempt was let through by a breaker that is not closed.
func (t Ticket) Probe() bool { return t.done != nil }

// Blameless tells whether a failure of this attempt says nothing of what was
// attempted: it probes, and since the breaker opened no probe has succeeded, so
// the dependency may still be down.
func (t Ticket) Blameless() bool { return t.done != nil && !t.b.answered.Load() }

var (
	errFailed  = errors.New("failed")
	errIgnored = errors.New("ignored")
)

// Done reports how the attempt went.
func (t Ticket) Done(o Outcome) {
	switch {
	case t.b.config.Disabled:
	case t.done != nil:
		if o == Success {
			t.b.answered.Store(true)
		}
		t.done([...]error{Success: nil, Failure: errFailed, Ignored: errIgnored}[o])
	case o == Failure:
		// A failure of before the opening says nothing of the dependency now:
		// it must not take a probe's place.
		if t.b.recordFailure(t.key) && t.b.State() == Closed {
			if done, err := t.b.circuit.Allow(); err == nil {
				done(errFailed)
			}
		}
	case o == Success && t.b.tracking.Load():
		t.b.recordSuccess(t.key)
	}
}

// recordFailure notes a failed key and tells whether enough of them fail now.
//
// Successes are noted only once a window has seen a failure: as long as all is
// well, an attempt costs one atomic load.
func (b *Breaker) recordFailure(key uint64) (trip bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	if b.failed == 0 || now.Sub(b.since) > b.config.Window || len(b.outcomes) >= maxOutcomes {
		b.forget()
		b.since = now
		b.tracking.Store(true)
	}
	if !b.outcomes[key] {
		b.outcomes[key] = true
		b.failed++
	}
	n := len(b.outcomes)
	return b.failed >= 2 && n >= b.config.MinKeys && float64(b.failed) >= b.config.Ratio*float64(n)
}

func (b *Breaker) recordSuccess(key uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.tracking.Load() || len(b.outcomes) >= maxOutcomes {
		return
	}
	if b.outcomes[key] {
		b.failed--
	}
	b.outcomes[key] = false
}
