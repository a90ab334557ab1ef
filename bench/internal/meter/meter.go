// Package meter tells what this process uses while it works.
package meter

import (
	"runtime"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Usage is what the process used between Start and Stop, and its peaks.
type Usage struct {
	Elapsed time.Duration
	CPU     time.Duration // user and system, of all threads (getrusage)
	Allocs  uint64        // Go objects
	Bytes   uint64        // in Go objects
	Heap    uint64        // peak of what a garbage collection found alive, in bytes
	RSS     uint64        // peak resident set since the process began, in bytes; 0 if the system does not tell
}

// Meter measures one stretch of work.
type Meter struct {
	begin time.Time
	cpu   time.Duration
	mem   runtime.MemStats
	heap  atomic.Uint64
	stop  chan struct{}
	ended sync.WaitGroup
}

// Start begins the measurement with a collected heap. Stop must follow.
func Start() *Meter {
	runtime.GC()
	m := &Meter{stop: make(chan struct{})}
	m.ended.Go(m.watch)
	runtime.ReadMemStats(&m.mem)
	m.cpu = cpu()
	m.begin = time.Now()
	return m
}

// Stop ends the measurement.
func (m *Meter) Stop() Usage {
	u := Usage{Elapsed: time.Since(m.begin), CPU: cpu() - m.cpu, RSS: peakRSS()}
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	close(m.stop)
	m.ended.Wait()
	u.Allocs, u.Bytes, u.Heap = mem.Mallocs-m.mem.Mallocs, mem.TotalAlloc-m.mem.TotalAlloc, m.heap.Load()
	return u
}

// watch keeps the highest live heap. The runtime sets the figure at the end of
// each collection, and tells nobody: it is looked at more often than that.
func (m *Meter) watch() {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		metrics.Read(sample)
		m.heap.Store(max(m.heap.Load(), sample[0].Value.Uint64()))
		select {
		case <-tick.C:
		case <-m.stop:
			return
		}
	}
}

func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
