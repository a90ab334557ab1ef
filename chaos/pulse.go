package main

import (
	"slices"
	"sync"
	"time"
)

// pulse measures how late timers fire on this host while a scenario runs. On a
// host that is too busy everything is late, and a stall says little about this
// library.
type pulse struct {
	// stop ends the measuring; late is read only after work has ended.
	stop chan struct{}
	work sync.WaitGroup
	late []time.Duration
}

// beat is the time between two measurements.
const beat = 20 * time.Millisecond

// startPulse starts measuring.
func startPulse() *pulse {
	p := &pulse{stop: make(chan struct{})}
	p.work.Go(func() {
		for {
			began := time.Now()
			timer := time.NewTimer(beat)
			select {
			case <-timer.C:
				p.late = append(p.late, time.Since(began)-beat)
			case <-p.stop:
				timer.Stop()
				return
			}
		}
	})
	return p
}

// end stops measuring, and returns the 99th percentile of the delays and the
// longest.
// It must be called once. Both are 0 if nothing was measured.
func (p *pulse) end() (p99, most time.Duration) {
	close(p.stop)
	p.work.Wait()
	if len(p.late) == 0 {
		return 0, 0
	}
	slices.Sort(p.late)
	return p.late[len(p.late)*99/100], p.late[len(p.late)-1]
}

// busyFactor is how many times as long a bound on a time is on a busy host.
const busyFactor = 3

// busy reports whether timers were so late that times say little about this library. On a
// host that does nothing else they are late by 10 ms (p99) and 30 ms (most).
func busy(p99, most time.Duration) bool {
	return p99 > 20*time.Millisecond || most > 100*time.Millisecond
}

// bound returns how long something may take on this host that may take d on an idle one.
func (t *stage) bound(d time.Duration) time.Duration {
	if t.busy {
		return busyFactor * d
	}
	return d
}
