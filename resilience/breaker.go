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
	// opens the breaker. Default 0.5. Between MinKeys and twice as many it must
	// be higher, at MinKeys by three fifths of what is left to 1: of few keys
	// half may fail by chance.
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

// tooMany tells whether so many failed keys among n open the breaker.
func (c *BreakerConfig) tooMany(failed, n int) bool {
	missing := max(float64(2*c.MinKeys-n)/float64(c.MinKeys), 0) // of twice MinKeys
	ratio := c.Ratio + (1-c.Ratio)*0.6*missing
	return failed >= 2 && n >= c.MinKeys && float64(failed) >= ratio*float64(n)
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

	mu           sync.Mutex
	window       window // filled from its first failure on
	suspects     suspects
	workedBefore bool // what worked was at lookedBack
	lookedBack   time.Time
	openedAt     time.Time
	doubted      time.Time     // when it opened last, be it from half-open
	openFor      time.Duration // open and half-open time of past openings, summed

	watched  atomic.Bool  // successes are to be noted
	worked   atomic.Bool  // something has succeeded since lookedBack
	answered atomic.Bool  // a probe has succeeded since the opening
	trusted  atomic.Int32 // probes under way of keys that are no suspects
}

// NewBreaker returns a closed breaker.
func NewBreaker(name string, config BreakerConfig) *Breaker {
	b := &Breaker{config: config.withDefaults()}
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
	if to == Open {
		b.doubted = time.Now()
	}
	b.window.forget()
	b.watch()
	b.mu.Unlock()
	b.state.Store(int32(to))
	if b.config.OnChange != nil {
		b.config.OnChange(from, to)
	}
}

// watch tells successes whether they are to be noted. The caller holds mu.
func (b *Breaker) watch() { b.watched.Store(b.window.failed() > 0 || b.suspects.len() > 0) }

// State of the breaker. An open breaker turns half-open by being asked after
// OpenFor, so an idle one still reads Open.
func (b *Breaker) State() State { return State(b.state.Load()) }

// Refuses tells whether the breaker turns everybody away now: it is open, and its
// cooldown has not passed. One that nobody asks any more does not.
func (b *Breaker) Refuses() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.State() == Open && time.Since(b.doubted) < b.config.OpenFor
}

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
