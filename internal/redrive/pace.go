package redrive

import (
	"context"
	"time"
)

// pace spreads events evenly over time: one each interval, after at most burst at once. The
// zero pace does not wait.
type pace struct {
	interval time.Duration
	burst    time.Duration // interval times the number of events in a burst
	next     time.Time     // when the last event was due
}

// newPace returns the pace of a rate in events per second; 0 means no bound.
func newPace(rate float64, burst int) pace {
	if rate <= 0 {
		return pace{}
	}
	interval := time.Duration(float64(time.Second) / rate)
	return pace{interval: interval, burst: interval * time.Duration(burst)}
}

// wait waits until the next event may be sent, but not longer than most, and reports whether
// it may.
func (p *pace) wait(ctx context.Context, most time.Duration) (bool, error) {
	now := time.Now()
	// Unused time is lost, except for a burst.
	if saved := now.Add(-p.burst); p.next.Before(saved) {
		p.next = saved
	}
	// The caller has other work to do meanwhile, and asks again.
	left := p.next.Add(p.interval).Sub(now)
	if left > most {
		return false, sleep(ctx, most)
	}
	if left > 0 {
		if err := sleep(ctx, left); err != nil {
			return false, err
		}
	}
	// Counted from the due time rather than now, so that a late wake-up does not lower the rate.
	p.next = p.next.Add(p.interval)
	return true, nil
}

// sleep waits for d. It returns ctx's error if ctx ends first.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
