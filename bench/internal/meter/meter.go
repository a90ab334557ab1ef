// Package meter measures the latencies of a process, and the CPU time and the memory that
// it uses.
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
	// Elapsed is the wall-clock time from Start to Stop.
	Elapsed time.Duration
	// CPU is the user and system time of all threads (getrusage).
	CPU time.Duration
	// Allocs is the number of Go objects that were allocated.
	Allocs uint64
	// Bytes is the size of these objects.
	Bytes uint64
	// Heap is the largest live heap that a garbage collection found, in bytes.
	Heap uint64
	// RSS is the peak resident set since the process began, in bytes, or 0 if the system does
	// not say.
	RSS uint64
}

// Meter measures one stretch of work. It is created by Start and used once.
type Meter struct {
	begin time.Time
	cpu   time.Duration
	mem   runtime.MemStats
	heap  atomic.Uint64
	stop  chan struct{}
	ended sync.WaitGroup
}

// Start collects garbage and starts a measurement. The caller must call Stop, which also
// ends a goroutine of the Meter.
func Start() *Meter {
	// Garbage of earlier work must not count as live.
	runtime.GC()
	m := &Meter{stop: make(chan struct{})}
	m.ended.Go(m.watch)
	// ReadMemStats stops the world, so it comes before the clock starts.
	runtime.ReadMemStats(&m.mem)
	m.cpu = cpu()
	m.begin = time.Now()
	return m
}

// Stop ends the measurement and returns the usage since Start. It must be called once.
func (m *Meter) Stop() Usage {
	// The clock is read first, because the rest is not the work.
	u := Usage{Elapsed: time.Since(m.begin), CPU: cpu() - m.cpu, RSS: peakRSS()}
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	close(m.stop)
	m.ended.Wait()
	u.Allocs, u.Bytes, u.Heap = mem.Mallocs-m.mem.Mallocs, mem.TotalAlloc-m.mem.TotalAlloc, m.heap.Load()
	return u
}

// watch keeps the largest live heap until stop is closed. The runtime updates the figure at
// the end of each collection without a signal, so watch reads it more often than that.
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

// cpu returns the user and system time of this process, or 0 if the system does not say.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
