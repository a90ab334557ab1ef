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
		{"the zero policy tries eight times", Retry{}, 7, 0, true, 6400 * time.Millisecond},
		{"and no more", Retry{}, 8, 0, false, 0},
		{"within five minutes", Retry{}, 1, 5*time.Minute + 1, false, 0},
		{"the first wait is short", Retry{}, 1, 0, true, 100 * time.Millisecond},
		{"a single attempt", NoRetry(), 1, 0, false, 0},
		{"unlimited", Unlimited(), 1_000_000, 1000 * time.Hour, true, 30 * time.Second},
		{"waits are bounded", Retry{Attempts: math.MaxInt, Initial: time.Second, Max: 3 * time.Second}, 50, 0, true, 3 * time.Second},
		{"a Max below Initial is Initial", Retry{Initial: time.Minute, Max: time.Second}, 3, 0, true, time.Minute},
		{"a constant wait", Retry{Initial: time.Second, Multiplier: 1}, 5, 0, true, time.Second},
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

// No attempt starts later than Elapsed after the first failure.
func TestRetryNeverStartsTooLate(t *testing.T) {
	r := Retry{Attempts: 100, Elapsed: time.Second, Initial: 2 * time.Second}
	refused := 0
	for range 1000 {
		wait, again := r.Next(1, 500*time.Millisecond)
		switch {
		case !again:
			refused++
		case wait > 500*time.Millisecond:
			t.Fatalf("waits %v with 500ms left", wait)
		}
	}
	if refused == 0 || refused == 1000 {
		t.Errorf("refused %d times of 1000", refused)
	}
}

// Full jitter: waits lie all over [0, bound], and their mean is half of it.
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
	if mean := sum / n; mean < bound*48/100 || mean > bound*52/100 {
		t.Errorf("mean %v of waits up to %v", mean, bound)
	}
	if least > bound/100 || most < bound*99/100 {
		t.Errorf("waits lie in [%v, %v]", least, most)
	}
}
