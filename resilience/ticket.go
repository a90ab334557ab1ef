package resilience

import (
	"errors"
	"time"
)

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
	b       *Breaker
	key     uint64
	done    func(error) // set for a probe
	suspect bool        // of a probe: its key's failure says nothing
}

// Allow asks for an attempt on behalf of a key. A refused one costs nothing: try
// again when the breaker has changed, or after Cooldown.
func (b *Breaker) Allow(key uint64) (Ticket, bool) {
	if b.config.Disabled || b.State() == Closed {
		return Ticket{b: b, key: key}, true
	}
	suspect := b.Suspected(key)
	if suspect && b.doubtful() {
		return Ticket{}, false
	}
	done, err := b.circuit.Allow()
	if err != nil {
		return Ticket{}, false
	}
	if !suspect {
		b.trusted.Add(1)
	}
	return Ticket{b: b, key: key, done: done, suspect: suspect}, true
}

// Probe tells whether the attempt was let through by a breaker that is not closed.
func (t Ticket) Probe() bool { return t.done != nil }

// Blameless tells whether a failure of this attempt says nothing of what was
// attempted: it probes, and since the breaker opened no probe has succeeded, so
// the dependency may still be down. A suspect's failure is its own.
func (t Ticket) Blameless() bool { return t.done != nil && !t.suspect && !t.b.answered.Load() }

var (
	errFailed  = errors.New("failed")
	errIgnored = errors.New("ignored")
)

// Done reports how the attempt went.
func (t Ticket) Done(o Outcome) {
	b := t.b
	switch {
	case b.config.Disabled:
	case o == Success:
		b.succeeded(t.key)
		if t.done != nil {
			b.answered.Store(true)
			t.end(nil)
		}
	case t.done != nil && (o == Ignored || t.suspect):
		t.end(errIgnored)
	case t.done != nil:
		t.end(errFailed)
	// A failure of before the opening says nothing of the dependency now: it
	// must not take a probe's place.
	case b.failed(t.key, o) && b.State() == Closed:
		if done, err := b.circuit.Allow(); err == nil {
			done(errFailed)
		}
	}
}

// end ends a probe. Only then may suspects ask: should it have been the last
// that counts, its failure is known before.
func (t Ticket) end(err error) {
	t.done(err)
	if !t.suspect {
		t.b.trusted.Add(-1)
	}
}

// succeeded notes a success. As long as all is well this costs two atomic loads.
func (b *Breaker) succeeded(key uint64) {
	if !b.worked.Load() {
		b.worked.Store(true)
	}
	if !b.watched.Load() {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.suspects.remove(key)
	// What worked counts in the ratio beside what failed, not by itself.
	if b.window.failed() > 0 && b.State() == Closed {
		b.window.note(key, false, time.Now(), b.config.Window)
	}
	b.watch()
}

// failed notes a failure, and tells whether enough keys fail now to open.
func (b *Breaker) failed(key uint64, o Outcome) (trip bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	if now.Sub(b.lookedBack) >= b.config.Window/2 {
		b.workedBefore, b.lookedBack = b.worked.Swap(false), now
	}
	if o != Failure || b.suspects.has(key) || b.State() != Closed {
		return false
	}
	b.window.note(key, true, now, b.config.Window)
	b.watch()
	return b.config.tooMany(b.window.failed(), b.window.keys())
}

// Suspect tells that work of a key was given up after failing again and again.
// If other keys worked meanwhile, that key is a suspect from then on: its
// failures are no evidence against the dependency, until it succeeds once. If
// nothing else worked, the dependency may have been down, and Suspect does
// nothing. Some thousands of suspects are remembered, the newest.
//
// While the breaker is not closed a suspect waits as all keys do, and is not
// asked to probe, so an outage costs it nothing, as long as there are keys whose
// word counts: those probe, and fail again at least once in two cooldowns. If
// there are none, waiting would never end. A suspect may try then, and fails at
// its own expense.
func (b *Breaker) Suspect(key uint64) {
	if b.config.Disabled {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	others := b.answered.Load()
	if b.State() == Closed {
		others = b.worked.Load() || b.workedBefore
	}
	if others {
		b.suspects.add(key)
		b.window.remove(key)
		b.watch()
	}
}

// Suspected tells whether a key's failures are no evidence.
func (b *Breaker) Suspected(key uint64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.suspects.has(key)
}

// doubtful tells whether a key whose word counts has failed lately, or is asked
// just now.
func (b *Breaker) doubtful() bool {
	if b.trusted.Load() > 0 {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return time.Since(b.doubted) < 2*b.config.OpenFor
}
