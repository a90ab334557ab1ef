package resilience

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"
)

// BreakerConfig configures a Breaker. The zero value is usable.
type BreakerConfig struct {
	// Disabled makes a breaker that allows every attempt.
	Disabled bool
	// Ratio is the share of attempts within Window that must have failed before the
	// breaker opens. The default, 0.98, means an outage; below that the breaker only
	// lowers concurrency (see [Breaker.Limit]).
	Ratio float64
	// MinKeys is how many distinct keys must have failed in their last attempt before the
	// breaker opens, so that one poisonous key can't open it. At least 2. Default 10.
	MinKeys int
	// MinAttempts is the minimum number of attempts within Window. Default twice MinKeys.
	MinAttempts int
	// Window is how far back outcomes count. Default 10 s.
	Window time.Duration
	// After is how far the outcomes must reach back before the breaker opens, which gives
	// events that fail at first time to succeed. Default half of Window. If negative, the
	// breaker opens as soon as the other bounds are met.
	After time.Duration
	// OpenFor is the longest time between two rounds of probes. The first round comes
	// after an eighth of it, and each failed round doubles the time. Default 10 s.
	OpenFor time.Duration
	// Probes is how many attempts the first round allows. Each failed round doubles it,
	// up to eight times as many. The first success closes the breaker. Default 3.
	Probes int
	// OnChange, if not nil, is called for every change of state, in order, one call at a
	// time, on its own goroutine. It may call the breaker, which does not wait for it, so
	// the state may have changed again when it returns. A panic is logged. While a call
	// blocks, up to 64 changes are queued; older ones are merged into one.
	OnChange func(from, to State)
}

func (c BreakerConfig) withDefaults() BreakerConfig {
	if !(c.Ratio > 0 && c.Ratio <= 1) { // nor NaN
		c.Ratio = 0.98
	}
	if c.MinKeys <= 0 {
		c.MinKeys = 10
	}
	// Never on one key: a ratio over a single key is all or nothing.
	c.MinKeys = max(c.MinKeys, 2)
	if c.MinAttempts <= 0 {
		c.MinAttempts = 2 * c.MinKeys
	}
	if c.Window <= 0 {
		c.Window = 10 * time.Second
	}
	if c.After == 0 {
		c.After = c.Window / 2
	}
	if c.OpenFor <= 0 {
		c.OpenFor = 10 * time.Second
	}
	if c.Probes <= 0 {
		c.Probes = 3
	}
	return c
}

// opens reports whether the outcomes in w amount to an outage.
func (c *BreakerConfig) opens(w *window, now time.Time) bool {
	attempts, failures := w.attempts()
	return w.failed() >= c.MinKeys && attempts >= c.MinAttempts &&
		float64(failures) >= c.Ratio*float64(attempts) && now.Sub(w.began) >= c.After
}

// State is the state of a Breaker.
type State int32

// The states.
const (
	Closed State = iota
	HalfOpen
	Open
)

// String returns "closed", "half-open" or "open".
func (s State) String() string {
	return [...]string{"closed", "half-open", "open"}[s]
}

// Breaker is a two-step circuit breaker: Allow asks before an attempt, and the ticket's Done
// reports the outcome. It opens when nearly nothing works any more, never because a single
// key fails, and closes with the first successful probe. It is safe for concurrent use.
type Breaker struct {
	config  BreakerConfig
	circuit *gobreaker.TwoStepCircuitBreaker[struct{}]
	state   atomic.Int32
	changes *changes

	mu       sync.Mutex
	window   window // filled from the first failure on
	suspects suspects
	retired  bool      // another breaker has replaced it
	silent   Mark      // nothing has succeeded since
	silentAt time.Time // when that began, at the latest
	round    *round    // of probes, running
	level    int       // failed rounds since the opening
	askAt    time.Time
	openedAt time.Time
	doubted  time.Time     // when it opened last, even from half-open
	openFor  time.Duration // open and half-open time of past openings, summed

	watched  atomic.Bool   // successes must be recorded
	worked   atomic.Bool   // something has succeeded since the last Mark
	marks    atomic.Uint64 // number of Marks before which something had succeeded
	answered atomic.Bool   // a probe has succeeded since the opening
	trusted  atomic.Int32  // running probes of keys that are not suspects
	limit    atomic.Int32  // of concurrency, in thousandths
}

// NewBreaker returns a closed breaker.
func NewBreaker(name string, config BreakerConfig) *Breaker {
	return newBreaker(config.withDefaults(), &changes{breaker: name, call: config.OnChange})
}

func newBreaker(config BreakerConfig, changes *changes) *Breaker {
	b := &Breaker{config: config, changes: changes}
	b.limit.Store(thousand)
	b.circuit = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		Name: changes.breaker,
		// For the circuit a round of probes is one request. When the next round may begin is
		// decided here, so that both can grow.
		MaxRequests: 1,
		Timeout:     1,
		// The circuit calls this under its lock after a failure. While it is closed, Done
		// reports a failure to it only if the breaker must open.
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

// changed follows a change of the circuit, which calls it under its lock.
func (b *Breaker) changed(from, to State) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case from == Closed:
		b.openedAt = time.Now()
		b.level = 0
	case to == Closed:
		b.openFor += time.Since(b.openedAt)
		b.openedAt = time.Time{}
		b.answered.Store(false)
	}
	if to == Open {
		b.doubted = time.Now()
		b.askAt = b.doubted.Add(b.pause())
	}
	b.window.forget()
	b.watch()
	b.state.Store(int32(to))
	if !b.retired {
		b.changes.report(from, to)
	}
}

// Renew returns a closed breaker with the same configuration that replaces this one. OnChange
// is told that the breaker is closed, if it was not, and from then on gets only the changes
// of the new one.
func (b *Breaker) Renew() *Breaker {
	b.mu.Lock()
	defer b.mu.Unlock()
	if from := b.State(); !b.retired && from != Closed {
		b.changes.report(from, Closed)
	}
	b.retired = true
	return newBreaker(b.config, b.changes)
}

// watch decides whether successes are recorded, and how much concurrency is allowed. The
// caller holds mu.
func (b *Breaker) watch() {
	b.watched.Store(b.window.failed() > 0 || b.suspects.len() > 0)
	b.limit.Store(b.window.limit(b.config.MinKeys))
}

// Limit returns how many of n attempts may run at the same time: n, or down to half of it
// while most attempts fail. It falls no further, so that a working dependency loses less than
// a factor of two, and it rises again with the successes in the window.
func (b *Breaker) Limit(n int) int {
	share := int(b.limit.Load())
	// In parts, to avoid overflow: n may be the largest int, which means no limit.
	return max(n/thousand*share+(n%thousand*share+thousand-1)/thousand, 1)
}

// pause returns the time until the next round of probes. The caller holds mu.
func (b *Breaker) pause() time.Duration {
	return b.config.OpenFor >> max(firstPause-b.level, 0)
}

// firstPause means that the first pause is OpenFor/2³, and maxRound that a round grows to
// Probes×2³.
const (
	firstPause = 3
	maxRound   = 3
)

// State returns the breaker's state. An open breaker turns half-open only when asked after its
// pause, so an idle one still returns Open.
func (b *Breaker) State() State { return State(b.state.Load()) }

// Refuses reports whether the breaker now refuses every attempt: it is open, and the pause
// before the next round of probes has not passed.
func (b *Breaker) Refuses() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.State() == Open && time.Now().Before(b.askAt)
}

// OpenFor returns how long, over its life, the breaker has not been closed. Retry clocks that
// must stand still meanwhile subtract its growth.
func (b *Breaker) OpenFor() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.openedAt.IsZero() {
		return b.openFor
	}
	return b.openFor + time.Since(b.openedAt)
}

// Cooldown returns the longest time between two rounds of probes.
func (b *Breaker) Cooldown() time.Duration { return b.config.OpenFor }

// Probes returns how many attempts the next round of probes allows, or how many more the
// running round does.
func (b *Breaker) Probes() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.round != nil {
		return b.round.places
	}
	return b.roundSize()
}

func (b *Breaker) roundSize() int { return b.config.Probes << min(b.level, maxRound) }

// Mark is a moment in a breaker's life, identified by the successes so far.
type Mark uint64

// Mark returns the present moment.
func (b *Breaker) Mark() Mark {
	if b.worked.Swap(false) {
		return Mark(b.marks.Add(1))
	}
	return Mark(b.marks.Load())
}

// Silent reports whether nothing at all has succeeded for After, nor since a mark. Only then
// does a failed retry of a record that first failed at that mark say anything about the
// dependency; otherwise the record itself may be at fault.
func (b *Breaker) Silent(since Mark) bool {
	if b.WorkedSince(since) {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.silence(time.Now()) >= b.config.After
}

// silence returns for how long nothing has succeeded, as far as failures show. The caller
// holds mu.
func (b *Breaker) silence(now time.Time) time.Duration {
	if b.silentAt.IsZero() || b.WorkedSince(b.silent) {
		b.silent, b.silentAt = b.Mark(), now
	}
	return now.Sub(b.silentAt)
}

// WorkedSince reports whether any attempt has succeeded since m.
func (b *Breaker) WorkedSince(m Mark) bool { return b.worked.Load() || b.marks.Load() > uint64(m) }
