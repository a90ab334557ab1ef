package resilience

import (
	"math/rand/v2"
	"testing"
	"time"
)

// The window against a list of all outcomes: it has those younger than half its
// length and none older than its length, and its counts are right.
func TestWindow(t *testing.T) {
	const length = 10 * time.Second
	type outcome struct {
		at     time.Time
		failed bool
	}
	rng := rand.New(rand.NewPCG(1, 2))
	var w window
	all := make(map[uint64]outcome)
	now := time.Unix(1, 0)
	for range 20_000 {
		now = now.Add(time.Duration(rng.Int64N(int64(length) / (1 + 40*rng.Int64N(2)))))
		key, failed := rng.Uint64N(30), rng.IntN(3) == 0
		if rng.IntN(10) == 0 {
			w.remove(key)
			delete(all, key)
			continue
		}
		w.note(key, failed, now, length)
		all[key] = outcome{now, failed}
		bad := 0
		for k, o := range all {
			known, is := w.newer.outcomes[k]
			older, was := w.older.outcomes[k]
			age := now.Sub(o.at)
			switch {
			case is && was:
				t.Fatalf("key %d is in both halves", k)
			case age < length/2 && !is && !was, age > length && (is || was):
				t.Fatalf("of %v ago: known %v, %v", age, is, was)
			case is && known != o.failed, was && older != o.failed:
				t.Fatalf("key %d failed: %v is wrong", k, !o.failed)
			}
			if known || older {
				bad++
			}
		}
		if bad != w.failed() {
			t.Fatalf("%d failed, counted %d", bad, w.failed())
		}
	}
}

func TestWindowIsBounded(t *testing.T) {
	var w window
	for k := range uint64(10 * maxOutcomes) {
		w.note(k, true, time.Unix(1, 0), time.Hour)
	}
	if n := w.keys(); n > 2*maxOutcomes || n < maxOutcomes || w.failed() != n {
		t.Errorf("%d keys, %d failed", n, w.failed())
	}
}

// One key in ten is poison: whatever minute one looks at, the window is never
// judged by the few keys that come first after it has forgotten.
func TestBreakerWindowSlides(t *testing.T) {
	var w window
	now := time.Unix(1, 0)
	for i := range uint64(200_000) {
		key := i * 7919 % 1000
		w.note(key, key%10 == 0, now, 10*time.Second)
		now = now.Add(time.Millisecond)
		if i > 1000 && (w.keys() < 900 || w.failed() > 110) {
			t.Fatalf("after %d: %d of %d failed", i, w.failed(), w.keys())
		}
	}
}
