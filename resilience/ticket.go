package resilience

import (
	"errors"
	"time"
)

// Outcome is the outcome of an attempt, as the breaker counts it.
type Outcome int8

// The outcomes. Ignored says nothing about the dependency's state (an invalid event, a
// cancelled attempt); a probe that ends this way frees its place.
const (
	Success Outcome = iota
	Failure
	Ignored
)

// Ticket is the right to one attempt. Done must be called exactly once.
type Ticket struct {
	b       *Breaker
	key     uint64
	round   *round // set for a probe
	suspect bool   // of a probe: its key's failure says nothing
}

// round is the set of probes that a half-open breaker allows together. The first success closes
// the breaker; if the last probe ends without one, the breaker opens again. The breaker's
// lock guards it.
type round struct {
	done    func(error) // ends the round at the circuit
	places  int         // remaining
	running int
	failed  bool // a failure that counts
	over    bool
}

// Allow asks for an attempt on behalf of a key. A refusal costs nothing: ask again when the
// breaker has changed, or when Refuses returns false.
func (b *Breaker) Allow(key uint64) (Ticket, bool) {
	if b.config.Disabled || b.State() == Closed {
		return Ticket{b: b, key: key}, true
	}
	suspect := b.Suspected(key)
	if suspect && b.doubtful() {
		return Ticket{}, false
	}
	r := b.join()
	if r == nil {
		return Ticket{}, false
	}
	if !suspect {
		b.trusted.Add(1)
	}
	return Ticket{b: b, key: key, round: r, suspect: suspect}, true
}

// join takes a place in the round of probes, beginning one if it is time. It returns nil if
// there is none.
func (b *Breaker) join() *round {
	b.mu.Lock()
	r := b.round
	if r != nil && r.places > 0 {
		r.places--
		r.running++
		b.mu.Unlock()
		return r
	}
	wait := r != nil || time.Now().Before(b.askAt)
	b.mu.Unlock()
	if wait {
		return nil
	}
	done, err := b.circuit.Allow() // takes mu by OnStateChange
	if err != nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.round = &round{done: done, places: b.roundSize() - 1, running: 1}
	return b.round
}

// Probe reports whether a breaker that is not closed allowed the attempt.
func (t Ticket) Probe() bool { return t.round != nil }

// Blameless reports whether a failure of this attempt says nothing about the record: it is a
// probe, and no probe has succeeded since the breaker opened, so the dependency may still be
// down. A suspect's failure is its own.
func (t Ticket) Blameless() bool { return t.round != nil && !t.suspect && !t.b.answered.Load() }

var (
	errFailed  = errors.New("failed")
	errIgnored = errors.New("ignored")
)

// Done reports the outcome of the attempt.
func (t Ticket) Done(o Outcome) {
	b := t.b
	switch {
	case b.config.Disabled:
	case o == Success:
		b.succeeded(t.key)
		if t.round != nil {
			b.answered.Store(true)
			t.end(o)
		}
	case t.round != nil:
		if t.suspect {
			o = Ignored
		}
		t.end(o)
	// A failure from before the opening says nothing about the dependency now, and must not take
	// a probe's place.
	case o == Failure && b.failed(t.key) && b.State() == Closed:
		if done, err := b.circuit.Allow(); err == nil {
			done(errFailed)
		}
	}
}

// end ends a probe. Suspects may ask only once its failure is recorded: it may have been the
// last one that counts.
func (t Ticket) end(o Outcome) {
	if done, err := t.b.endProbe(t.round, o); done != nil {
		done(err)
	}
	if !t.suspect {
		t.b.trusted.Add(-1)
	}
}

// endProbe records the outcome of a probe. If that decides the round, it returns how to end it.
func (b *Breaker) endProbe(r *round, o Outcome) (done func(error), err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r.running--
	switch {
	case r.over:
		return nil, nil
	case o == Success:
	case o == Ignored && !r.failed:
		r.places++ // its place is free for another key
		err = errIgnored
	default:
		r.failed, err = true, errFailed
	}
	if o != Success && r.running > 0 {
		return nil, nil
	}
	r.over, b.round = true, nil
	if r.failed && o != Success {
		b.level++
	}
	return r.done, err
}

// succeeded records a success. As long as all is well this costs two atomic loads.
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
	// A success counts only in the ratio to failures.
	if b.window.failed() > 0 && b.State() == Closed {
		b.window.note(key, false, time.Now(), b.config.Window)
	}
	b.watch()
}

// failed records a failure, and reports whether the breaker must open.
func (b *Breaker) failed(key uint64) (open bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.suspects.has(key) || b.State() != Closed {
		return false
	}
	now := time.Now()
	b.silence(now)
	b.window.note(key, true, now, b.config.Window)
	b.watch()
	return b.config.opens(&b.window, now)
}

// Suspect says that work on a key was given up after failing again and again, for the first time
// at since. If other keys worked meanwhile, the key becomes a suspect: until it succeeds once,
// its failures are no evidence against the dependency. If nothing else worked, the dependency
// may have been down, and Suspect does nothing. The newest suspects, some thousands, are
// remembered.
//
// While the breaker is not closed, a suspect waits like any key but is not asked to probe, so an
// outage costs it nothing as long as there are keys whose failures count: those probe, and fail
// at least once in two cooldowns. If there are none, waiting would never end, so a suspect may
// try, and fails at its own expense.
func (b *Breaker) Suspect(key uint64, since Mark) {
	if b.config.Disabled {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	others := b.answered.Load()
	if b.State() == Closed {
		others = b.WorkedSince(since)
	}
	if others {
		b.suspects.add(key)
		b.window.remove(key)
		b.watch()
	}
}

// Suspected reports whether the key's failures are no evidence.
func (b *Breaker) Suspected(key uint64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.suspects.has(key)
}

// doubtful reports whether a key whose failures count has failed recently, or is being tried now.
func (b *Breaker) doubtful() bool {
	if b.trusted.Load() > 0 {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return time.Since(b.doubted) < 2*b.config.OpenFor
}
