package main

import (
	"runtime/metrics"
	"sync"
	"time"
)

// sample is what a process is like at a time.
type sample struct {
	goroutines int
	heap       int64 // bytes that the last garbage collection found alive
	rss        int64 // bytes
}

// entry is a sample's line in the ledger: owner is the process's number, key its
// goroutines, offset its heap, epoch its resident set.
func (s sample) entry(process uint16) entry {
	return entry{deed: sampled, owner: process, key: uint32(s.goroutines), offset: s.heap, epoch: uint64(s.rss)} //nolint:gosec // none is negative
}

func (e *entry) sample() sample {
	return sample{goroutines: int(e.key), heap: e.offset, rss: int64(e.epoch)} //nolint:gosec // went the same way
}

// takeSample is what this process is like now.
func takeSample() sample {
	of := []metrics.Sample{{Name: "/sched/goroutines:goroutines"}, {Name: "/gc/heap/live:bytes"}}
	metrics.Read(of)
	return sample{
		goroutines: int(of[0].Value.Uint64()), heap: int64(of[1].Value.Uint64()), //nolint:gosec // smaller than memory
		rss: memory("self", "VmRSS:") << 10,
	}
}

// startSampling enters samples of this process into the ledger, until it is told
// to stop.
func startSampling(t *task, l *ledger) (stop func()) {
	ticker, stopped := time.NewTicker(t.Sampling), make(chan struct{})
	var work sync.WaitGroup
	work.Go(func() {
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				l.add(takeSample().entry(t.Number))
			case <-stopped:
				return
			}
		}
	})
	return func() {
		close(stopped)
		work.Wait()
	}
}

// sampling is how often processes are sampled in a soak of that length: every 10 s,
// and more often if there were few samples in a tenth of the time. A length of 0
// is no soak.
func sampling(length time.Duration) time.Duration { return min(length/100, 10*time.Second) }
