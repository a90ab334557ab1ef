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
	// Ratio is the share of attempts within Window that must have failed before
	// the breaker opens. The default, 0.98, is an outage: short of that the
	// breaker lowers concurrency (see [Breaker.Limit]) and holds nothing back.
	Ratio float64
	// MinKeys is how many distinct keys must have failed in their last attempt
	// before the breaker opens: one poisonous key can't open it. At least 2.
	// Default 10.
	MinKeys int
	// MinAttempts is how many attempts within Window there must be. Default twice
	// MinKeys.
	MinAttempts int
	// Window is how far back outcomes count. Default 10 s.
	Window time.Duration
	// After is how long the outcomes must reach back before the breaker opens.
	// Events that fail at first and then succeed have time to do so. Default
	// half of Window; a negative one opens as soon as the other bounds are met.
	After time.Duration
	// OpenFor is the longest time between two rounds of probes. The first round
	// comes after an eighth of it, and each round that fails doubles the time.
	// Default 10 s.
	OpenFor time.Duration
	// Probes is how many attempts the first round lets through; each round that
	// fails doubles it, up to eight times as many. The first success closes the
	// breaker. Default 3.
	Probes int
	// OnChange, if not nil, is called with every change of state, in order, one call
	// at a time, on a goroutine of its own. It may call the breaker, which does not
	// wait for it: when it returns the state may be another. A panic in it is logged
	// and ends nothing. Of the changes that wait for one that blocks, all but the
	// newest 64 become one.
	OnChange func(from, to State)
}

func (c BreakerConfig) withDefaults() BreakerConfig {
	if !(c.Ratio > 0 && c.Ratio <= 1) { // nor NaN
		c.Ratio = 0.98
	}
	if c.MinKeys <= 0 {
		c.MinKeys = 10
	}
	// Never on one key (a ratio over a single key is all or nothing).
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

// opens reports whether the outcomes in w are those of an outage.
func (c *BreakerConfig) opens(w *window, now time.Time) bool {
	attempts, failures := w.attempts()
	return w.failed() >= c.MinKeys && attempts >= c.MinAttempts &&
		float64(failures) >= c.Ratio*float64(attempts) && now.Sub(w.began) >= c.After
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
// ticket's Done reports how it went. It is safe for concurrent use. It opens when
// nearly nothing works any more, never because one key fails, and closes with the
// first probe that succeeds.
type Breaker struct {
	config  BreakerConfig
	circuit *gobreaker.TwoStepCircuitBreaker[struct{}]
	state   atomic.Int32
	changes *changes

	mu       sync.Mutex
	window   window // filled from its first failure on
	suspects suspects
	retired  bool      // another breaker is in its place
	silent   Mark      // nothing has worked since
	silentAt time.Time // when that began, at the latest
	round    *round    // of probes, under way
	level    int       // rounds that failed since the opening
	askAt    time.Time
	openedAt time.Time
	doubted  time.Time     // when it opened last, be it from half-open
	openFor  time.Duration // open and half-open time of past openings, summed

	watched  atomic.Bool   // successes are to be noted
	worked   atomic.Bool   // something has succeeded since the last Mark
	marks    atomic.Uint64 // Marks that found that something had
	answered atomic.Bool   // a probe has succeeded since the opening
	trusted  atomic.Int32  // probes under way of keys that are no suspects
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
		// To the circuit a round of probes is one request, and when the next one
		// may begin is decided here, so that both can grow.
		MaxRequests: 1,
		Timeout:     1,
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

// changed follows the circuit, which calls it under its lock.
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

// Renew returns a closed breaker with the same configuration, to go on with in
// place of this one. OnChange is told that the breaker is closed, if it was not, then
// of the changes of the new one, and of none of this one any more.
func (b *Breaker) Renew() *Breaker {
	b.mu.Lock()
	defer b.mu.Unlock()
	if from := b.State(); !b.retired && from != Closed {
		b.changes.report(from, Closed)
	}
	b.retired = true
	return newBreaker(b.config, b.changes)
}

// watch decides whether successes are noted, and how much concurrency there is. The
// caller holds mu.
func (b *Breaker) watch() {
	b.watched.Store(b.window.failed() > 0 || b.suspects.len() > 0)
	b.limit.Store(b.window.limit(b.config.MinKeys))
}

// Limit returns how many of n attempts may run at once: n, and down to half of it
// while most attempts fail. It never falls further, so that lowering it costs a
// dependency that works less than a factor of two, and it rises with the successes
// in the window.
func (b *Breaker) Limit(n int) int {
	share := int(b.limit.Load())
	// By parts, since n may be as large as an int, which is to be no limit.
	return max(n/thousand*share+(n%thousand*share+thousand-1)/thousand, 1)
}

// pause returns the time until the next round of probes. The caller holds mu.
func (b *Breaker) pause() time.Duration {
	return b.config.OpenFor >> max(firstPause-b.level, 0)
}

// firstPause says that the first pause is OpenFor/2³; maxRound that a round grows
// to Probes×2³.
const (
	firstPause = 3
	maxRound   = 3
)

// State of the breaker. An open breaker turns half-open by being asked after
// OpenFor, so an idle one still reads Open.
func (b *Breaker) State() State { return State(b.state.Load()) }

// Refuses reports whether the breaker refuses every attempt now: it is open, and
// the pause before the next round of probes has not passed.
func (b *Breaker) Refuses() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.State() == Open && time.Now().Before(b.askAt)
}

// OpenFor returns how long the breaker has not been closed, summed over its life:
// retry clocks that must stand still meanwhile subtract the growth of it.
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

// Probes returns how many attempts the next round of probes lets through, or how
// many more the one under way does.
func (b *Breaker) Probes() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.round != nil {
		return b.round.places
	}
	return b.roundSize()
}

func (b *Breaker) roundSize() int { return b.config.Probes << min(b.level, maxRound) }

// Mark is a moment in a breaker's life, by the successes that it has seen.
type Mark uint64

// Mark returns the present moment.
func (b *Breaker) Mark() Mark {
	if b.worked.Swap(false) {
		return Mark(b.marks.Add(1))
	}
	return Mark(b.marks.Load())
}

// Silent reports whether nothing at all has succeeded for After, nor since a mark.
// Only then does a failed retry of a record that failed first at that mark say
// anything of the dependency: else the record may be the one at fault.
func (b *Breaker) Silent(since Mark) bool {
	if b.WorkedSince(since) {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.silence(time.Now()) >= b.config.After
}

// silence returns for how long nothing has succeeded, as far as failures tell. The
// caller holds mu.
func (b *Breaker) silence(now time.Time) time.Duration {
	if b.silentAt.IsZero() || b.WorkedSince(b.silent) {
		b.silent, b.silentAt = b.Mark(), now
	}
	return now.Sub(b.silentAt)
}

// WorkedSince reports whether any attempt has succeeded since m.
func (b *Breaker) WorkedSince(m Mark) bool { return b.worked.Load() || b.marks.Load() > uint64(m) }
