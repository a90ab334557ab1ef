package main

import (
	"slices"
	"sync"
	"time"
)

// pulse measures how late a timer fires on this host while a scenario runs. A
// host that is too busy makes everything late; then a stall says little.
type pulse struct {
	stop chan struct{}
	work sync.WaitGroup
	late []time.Duration
}

// beat is the time between two measurements.
const beat = 20 * time.Millisecond

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

// end returns the 99th percentile of the delays, and the longest.
func (p *pulse) end() (p99, most time.Duration) {
	close(p.stop)
	p.work.Wait()
	if len(p.late) == 0 {
		return 0, 0
	}
	slices.Sort(p.late)
	return p.late[len(p.late)*99/100], p.late[len(p.late)-1]
}
