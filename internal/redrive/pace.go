package redrive

import (
	"context"
	"time"
)

// pace spreads events evenly over time: one per interval, after a burst at the
// start or after a pause. The zero pace does not wait.
type pace struct {
	interval time.Duration
	burst    time.Duration // the interval times the burst
	next     time.Time     // when the previous event was due; the next is due an interval later
}

// newPace returns the pace of a rate in events per second; 0 means no bound.
func newPace(rate float64, burst int) pace {
	if rate <= 0 {
		return pace{}
	}
	interval := time.Duration(float64(time.Second) / rate)
	return pace{interval: interval, burst: interval * time.Duration(burst)}
}

// wait waits until the next event is due, but no longer than most, and reports
// whether it is due.
func (p *pace) wait(ctx context.Context, most time.Duration) (bool, error) {
	now := time.Now()
	// Unused time beyond a burst is lost.
	if saved := now.Add(-p.burst); p.next.Before(saved) {
		p.next = saved
	}
	// The caller has other things to do meanwhile, and calls again.
	left := p.next.Add(p.interval).Sub(now)
	if left > most {
		return false, sleep(ctx, most)
	}
	if left > 0 {
		if err := sleep(ctx, left); err != nil {
			return false, err
		}
	}
	// Count from when it was due, not from now, so that a late wake-up does not
	// lower the rate.
	p.next = p.next.Add(p.interval)
	return true, nil
}

// sleep waits for d, and returns the error of ctx if that ends first.
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
