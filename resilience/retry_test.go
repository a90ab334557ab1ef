package resilience

import (
	"math"
	"testing"
	"time"
)

func TestRetryBounds(t *testing.T) {
	for _, c := range []struct {
		name    string
		retry   Retry
		attempt int
		elapsed time.Duration
		again   bool
		most    time.Duration // of the wait
	}{
		{"the zero policy counts no attempts", Retry{}, 1000, 0, true, 30 * time.Second},
		{"it ends after five minutes", Retry{}, 1, 5 * time.Minute, false, 0},
		{"and lasts them", Retry{}, 50, 5*time.Minute - 1, true, 1},
		{"the first wait is short", Retry{}, 1, 0, true, 100 * time.Millisecond},
		{"a single attempt", NoRetry(), 1, 0, false, 0},
		{"unlimited", Unlimited(), 1_000_000, 1000 * time.Hour, true, 30 * time.Second},
		{"waits are bounded", Retry{Attempts: math.MaxInt, Initial: time.Second, Max: 3 * time.Second}, 50, 0, true, 3 * time.Second},
		{"a Max below Initial is Initial", Retry{Initial: time.Minute, Max: time.Second}, 3, 0, true, time.Minute},
		{"a constant wait", Retry{Initial: time.Second, Multiplier: 1}, 5, 0, true, time.Second},
		{"a multiplier that is no number", Retry{Multiplier: math.NaN()}, 5, 0, true, 1600 * time.Millisecond},
		{"no attempt after the last one", Retry{Attempts: 3}, 4, 0, false, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			for range 1000 {
				wait, again := c.retry.Next(c.attempt, c.elapsed)
				if again != c.again || wait < 0 || wait > c.most {
					t.Fatalf("%v, %v; want %v, at most %v", wait, again, c.again, c.most)
				}
			}
		})
	}
}

// The last attempt starts when Elapsed has passed, and none later: a policy lasts
// its whole time, however the jitter falls.
func TestRetryLastsItsTime(t *testing.T) {
	for _, r := range []Retry{{}, {Elapsed: time.Second, Initial: 2 * time.Second}, {Elapsed: time.Hour, Max: time.Minute}} {
		for range 100 {
			var elapsed time.Duration
			attempts := 1
			for {
				wait, again := r.Next(attempts, elapsed)
				if !again {
					break
				}
				elapsed += wait
				attempts++
			}
			if want := r.withDefaults().Elapsed; elapsed != want {
				t.Fatalf("%+v: the last attempt of %d starts after %v, want %v", r, attempts, elapsed, want)
			}
			if r == (Retry{}) && (attempts < 20 || attempts > 27) {
				t.Fatalf("%d attempts, the documentation says 20 to 27", attempts)
			}
		}
	}
}

// Equal jitter: waits lie all over [bound/2, bound], and their mean is in the middle.
func TestRetryJitter(t *testing.T) {
	const n = 20_000
	bound := 800 * time.Millisecond // of the fourth wait
	var sum, least, most time.Duration
	least = time.Hour
	for range n {
		wait, _ := Retry{}.Next(4, 0)
		sum += wait
		least, most = min(least, wait), max(most, wait)
	}
	if mean := sum / n; mean < bound*74/100 || mean > bound*76/100 {
		t.Errorf("mean %v of waits up to %v", mean, bound)
	}
	if least < bound/2 || least > bound*51/100 || most < bound*99/100 {
		t.Errorf("waits lie in [%v, %v]", least, most)
	}
}
