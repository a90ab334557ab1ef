package resilience

import (
	"math"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// Retry is a policy: exponential backoff with full jitter, bounded in attempts
// and in time. The zero Retry is the default policy: 8 attempts within 5
// minutes, the backoff growing from 100 ms to 30 s.
//
// Full jitter draws each wait evenly between zero and the exponential bound
// ("Exponential Backoff And Jitter", M. Brooker, AWS Architecture Blog, 2015):
// what failed together does not come back together.
type Retry struct {
	// Attempts is how often to try in all, the first attempt included.
	// Default 8. NoRetry gives a policy of one attempt.
	Attempts int
	// Elapsed bounds the time since the first failure: no attempt starts
	// later. Default 5 minutes.
	Elapsed time.Duration
	// Initial is the bound of the first wait, Max that of every wait. Defaults
	// 100 ms and 30 s.
	Initial, Max time.Duration
	// Multiplier is the bound's growth per attempt. Default 2.
	Multiplier float64
}

// NoRetry is the policy of a single attempt.
func NoRetry() Retry { return Retry{Attempts: 1} }

// Unlimited is the default backoff without a bound on attempts or time: for
// work that must not be given up, such as writing a dead letter.
func Unlimited() Retry { return Retry{Attempts: math.MaxInt, Elapsed: math.MaxInt64} }

func (r Retry) withDefaults() Retry {
	if r.Attempts <= 0 {
		r.Attempts = 8
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
	if r.Multiplier < 1 {
		r.Multiplier = 2
	}
	return r
}

// Next decides after a failed attempt: how long to wait before the next one,
// and whether there is a next one at all. attempt counts from 1, elapsed is the
// time since the first failure.
func (r Retry) Next(attempt int, elapsed time.Duration) (wait time.Duration, again bool) {
	r = r.withDefaults()
	if attempt >= r.Attempts {
		return 0, false
	}
	wait = r.draw(attempt)
	if r.Elapsed-elapsed < wait {
		return 0, false
	}
	return wait, true
}

// draw takes the attempt's wait from the exponential sequence. The library
// jitters by ±100 % around an interval, so half the bound as interval gives a
// wait spread evenly over [0, bound].
func (r Retry) draw(attempt int) time.Duration {
	b := backoff.ExponentialBackOff{
		InitialInterval:     r.Initial / 2,
		RandomizationFactor: 1,
		Multiplier:          r.Multiplier,
		MaxInterval:         r.Max / 2,
	}
	var wait time.Duration
	// Past 64 doublings every sequence is at its maximum.
	for range min(attempt, 64) {
		wait = b.NextBackOff()
	}
	return min(wait, r.Max)
}
