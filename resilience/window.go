package resilience

import "time"

// window has the outcome of each key's last attempt within a period. It has two halves and forgets
// them one at a time, so that it never becomes empty all at once, and is never judged by the first
// few keys after that.
//
// The zero window is empty. It is not safe for concurrent use.
type window struct {
	newer, older half      // no key is in both
	since        time.Time // when newer began
	began        time.Time // when the oldest outcome that counts was recorded
}

// half has the outcomes of one half of the period: key → whether its last attempt failed.
type half struct {
	outcomes map[uint64]bool
	failed   int // keys
	attempts int // of all keys
	failures int // among them
}

// maxOutcomes bounds one half, and so its memory. A full one becomes the older half early.
const maxOutcomes = 1 << 13

func (h *half) set(key uint64, failed bool) {
	h.remove(key)
	if h.outcomes == nil {
		h.outcomes = make(map[uint64]bool)
	}
	h.outcomes[key] = failed
	if failed {
		h.failed++
	}
}

func (h *half) remove(key uint64) {
	if h.outcomes[key] {
		h.failed--
	}
	delete(h.outcomes, key)
}

// note records an outcome. length is the period of the whole window.
func (w *window) note(key uint64, failed bool, now time.Time, length time.Duration) {
	w.pass(now, length)
	w.older.remove(key)
	w.newer.set(key, failed)
	w.newer.attempts++
	if failed {
		w.newer.failures++
	}
}

// pass forgets outcomes that are older than length, and possibly some half as old.
func (w *window) pass(now time.Time, length time.Duration) {
	switch age := now.Sub(w.since); {
	case w.keys() == 0 || age >= length:
		w.forget()
		w.since, w.began = now, now
	case age >= length/2:
		w.began = w.since
		w.turn(w.since.Add(length / 2))
	case len(w.newer.outcomes) >= maxOutcomes:
		w.turn(now)
	}
}

// turn starts a new half.
func (w *window) turn(since time.Time) {
	clear(w.older.outcomes)
	w.newer, w.older = half{outcomes: w.older.outcomes}, w.newer
	w.since = since
}

func (w *window) forget() {
	clear(w.newer.outcomes)
	clear(w.older.outcomes)
	w.newer = half{outcomes: w.newer.outcomes}
	w.older = half{outcomes: w.older.outcomes}
}

// remove forgets a key.
func (w *window) remove(key uint64) {
	w.newer.remove(key)
	w.older.remove(key)
}

func (w *window) keys() int   { return len(w.newer.outcomes) + len(w.older.outcomes) }
func (w *window) failed() int { return w.newer.failed + w.older.failed }

// attempts returns how many outcomes count, and how many of them are failures.
func (w *window) attempts() (all, failures int) {
	return w.newer.attempts + w.older.attempts, w.newer.failures + w.older.failures
}

// thousand is the limit that limits nothing, in thousandths.
const thousand = 1000

// limit returns the share of concurrency that the outcomes allow, in thousandths: all of it if
// half of the attempts succeed, and half of it if a quarter or fewer do.
func (w *window) limit(minKeys int) int32 {
	all, failures := w.attempts()
	if w.keys() < minKeys || all < 2*minKeys {
		return thousand
	}
	return int32(min(max(2*thousand*(all-failures)/all, thousand/2), thousand))
}
