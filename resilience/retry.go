package resilience

import (
	"math"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// Retry is a retry policy: exponential backoff with equal jitter, bounded in time and, if
// set, in attempts. The zero Retry is the default policy: as many attempts as fit into 5
// minutes, with waits whose bound grows from 100 ms to 30 s. A handler that fails at once gets
// 20 to 27 attempts, so an event survives an outage of a dependency of a minute, whether the
// service has one key or a thousand.
//
// Equal jitter draws each wait evenly between half the exponential bound and the bound
// ("Exponential Backoff And Jitter", M. Brooker, AWS Architecture Blog, 2015). Events that
// failed together do not come back together, and no run of short draws uses up a policy in a
// few seconds.
//
// A Retry is a value without state. It is safe for concurrent use.
type Retry struct {
	// Attempts is the total number of attempts, including the first. Zero means no bound, so
	// that only Elapsed ends the policy.
	Attempts int
	// Elapsed bounds the time since the first failure: no attempt starts later. Time in which
	// nobody could try (a stopped service, an open breaker) does not count. Default 5
	// minutes.
	Elapsed time.Duration
	// Initial bounds the first wait, and Max every wait. Defaults 100 ms and 30 s.
	Initial, Max time.Duration
	// Multiplier is the growth of the bound per attempt. Default 2.
	Multiplier float64
}

// NoRetry returns the policy of a single attempt.
func NoRetry() Retry { return Retry{Attempts: 1} }

// Unlimited returns the default backoff without a bound on attempts or time, for work that
// must not be given up, such as writing a dead letter.
func Unlimited() Retry { return Retry{Elapsed: math.MaxInt64} }

// Constant returns waits of equal length, for eventbus.RetryWait. They have no jitter: events
// that failed together come back together.
func Constant(wait time.Duration) func(attempt int, err error) time.Duration { return Steps(wait) }

// Steps returns waits from a list, for eventbus.RetryWait: the first is used after the first
// attempt, and the last one after all later attempts. They have no jitter. Without waits,
// RetryWait's minimum applies.
func Steps(waits ...time.Duration) func(attempt int, err error) time.Duration {
	waits = slices.Clone(waits)
	return func(attempt int, _ error) time.Duration {
		if len(waits) == 0 {
			return 0
		}
		return waits[min(max(attempt, 1), len(waits))-1]
	}
}

func (r Retry) withDefaults() Retry {
	if r.Attempts <= 0 {
		r.Attempts = math.MaxInt
	}
	if r.Elapsed <= 0 {
		r.Elapsed = 5 * time.Minute
	}
	if r.Initial <= 0 {
		r.Initial = 100 * time.Millisecond
	}
	if r.Max <= 0 {
		r.Max = 30 * time.Second
	}
	if r.Max < r.Initial {
		r.Max = r.Initial
	}
	if !(r.Multiplier >= 1) { // nor NaN
		r.Multiplier = 2
	}
	return r
}

// Next decides after a failed attempt: how long to wait before the next one,
// and whether there is a next one at all. attempt counts from 1, elapsed is the
// time since the first failure. A wait that would pass Elapsed is cut to end
// there, so that a policy lasts its whole time.
func (r Retry) Next(attempt int, elapsed time.Duration) (wait time.Duration, again bool) {
	left := r.Left(attempt, elapsed)
	if left <= 0 {
		return 0, false
	}
	return min(r.withDefaults().draw(attempt), left), true
}

// Left returns how long the wait after a failed attempt may be at most, and zero
// if the policy has no further attempt. Its arguments are those of Next.
func (r Retry) Left(attempt int, elapsed time.Duration) time.Duration {
	r = r.withDefaults()
	if attempt >= r.Attempts {
		return 0
	}
	return max(r.Elapsed-elapsed, 0)
}

// draw takes the attempt's wait from the exponential sequence. The library
// jitters symmetrically around an interval, so an interval of three quarters of
// the bound and a third of it as jitter spread the wait evenly over
// [bound/2, bound].
func (r Retry) draw(attempt int) time.Duration {
	b := backoff.ExponentialBackOff{
		InitialInterval:     r.Initial - r.Initial/4,
		RandomizationFactor: 1.0 / 3,
		Multiplier:          r.Multiplier,
		MaxInterval:         r.Max - r.Max/4,
	}
	var wait time.Duration
	// 64 steps bound the loop: sequences that double are at their maximum by then, and the
	// wait of slower ones stays at that of the 64th attempt.
	for range min(attempt, 64) {
		wait = b.NextBackOff()
	}
	return min(wait, r.Max)
}
