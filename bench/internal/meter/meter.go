// Package meter measures what this process uses while it works.
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
	// Elapsed is the time from Start to Stop.
	Elapsed time.Duration
	// CPU is user and system time of all threads (getrusage).
	CPU time.Duration
	// Allocs counts Go objects.
	Allocs uint64
	// Bytes is what was allocated in Go objects.
	Bytes uint64
	// Heap is the peak of what a garbage collection found alive, in bytes.
	Heap uint64
	// RSS is the peak resident set since the process began, in bytes; 0 if the
	// system does not say.
	RSS uint64
}

// Meter measures one stretch of work. It is used once.
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
	// What earlier work left behind is not counted as alive.
	runtime.GC()
	m := &Meter{stop: make(chan struct{})}
	m.ended.Go(m.watch)
	// ReadMemStats stops the world, so it comes before the clock starts.
	runtime.ReadMemStats(&m.mem)
	m.cpu = cpu()
	m.begin = time.Now()
	return m
}

// Stop ends the measurement.
func (m *Meter) Stop() Usage {
	// The clock stops first: what follows is not the work.
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

// cpu returns the CPU time of this process, user and system.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
