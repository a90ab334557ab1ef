package main

import (
	"runtime/metrics"
	"sync"
	"time"

	"github.com/eventbus-go/eventbus/chaos/internal/child"
)

// sample is the size of a process at one time.
type sample struct {
	// goroutines is their number.
	goroutines int
	// heap is the bytes that the last garbage collection found reachable, rss
	// the resident set in bytes.
	heap int64
	rss  int64
}

// entry returns the sample as a line of the ledger: owner is the process's
// number, key its goroutines, offset its heap, epoch its resident set.
func (s sample) entry(process uint16) entry {
	return entry{deed: sampled, owner: process, key: uint32(s.goroutines), offset: s.heap, epoch: uint64(s.rss)} //nolint:gosec // none is negative
}

// sample reads what sample.entry wrote.
func (e *entry) sample() sample {
	return sample{goroutines: int(e.key), heap: e.offset, rss: int64(e.epoch)} //nolint:gosec // went the same way
}

// takeSample measures this process.
func takeSample() sample {
	of := []metrics.Sample{{Name: "/sched/goroutines:goroutines"}, {Name: "/gc/heap/live:bytes"}}
	// Both are read without stopping the process or collecting garbage.
	metrics.Read(of)
	return sample{
		goroutines: int(of[0].Value.Uint64()), heap: int64(of[1].Value.Uint64()), //nolint:gosec // smaller than memory
		rss: child.Memory("self", "VmRSS:") << 10,
	}
}

// startSampling records samples of this process in the ledger until stop is
// called.
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
	// Wait until nothing writes into the ledger, which is closed next.
	return func() {
		close(stopped)
		work.Wait()
	}
}

// sampling returns how often processes are sampled in a soak of a given length:
// every 10 s, and more often if a tenth of the soak would have few samples. 0
// is not a soak.
func sampling(length time.Duration) time.Duration { return min(length/100, 10*time.Second) }
