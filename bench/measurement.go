package main

import (
	"time"

	"github.com/eventbus-go/eventbus/bench/internal/meter"
	"github.com/eventbus-go/eventbus/bench/internal/peer"
)

// task says what a child process should measure.
type task struct {
	// Peer, Workload and Round identify the measurement.
	Peer     string `json:"peer"`
	Workload string `json:"workload"`
	Round    int    `json:"round"`
	// Quick asks for the small sizes of the workload.
	Quick bool `json:"quick,omitempty"`
	// Fill only writes the topic that consumers will read.
	Fill bool `json:"fill,omitempty"`
	// Settings have a topic and a group that nobody else uses.
	Settings peer.Settings `json:"settings"`
	// Profile is the file for a CPU profile; empty for none.
	Profile string `json:"profile,omitempty"`
}

// measurement is the result of a task. CPU time and allocations are those of
// the child process per event; P50 and P99 are microseconds, memory is
// megabytes.
type measurement struct {
	Peer     string `json:"peer"`
	Workload string `json:"workload"`
	Round    int    `json:"round"`
	// Events is how many were measured.
	Events int `json:"events"`
	// Rate is in events per second.
	Rate float64 `json:"rate"`
	// P50 and P99 are zero for workloads without latencies.
	P50 float64 `json:"p50_us,omitempty"`
	P99 float64 `json:"p99_us,omitempty"`
	// CPU is in microseconds, Allocs a number of objects, both per event.
	CPU    float64 `json:"cpu_us"`
	Allocs float64 `json:"allocs"`
	// Bytes is what was allocated, not what is in use.
	Bytes float64 `json:"bytes"`
	// Heap is the peak of the live heap, RSS that of the resident set.
	Heap float64 `json:"heap_mb"`
	RSS  float64 `json:"rss_mb"`
	// Error says why there is no measurement; the other figures are then zero.
	Error string `json:"error,omitempty"`
}

// per returns the measurement of a number of events, with the rate over elapsed.
func (t task) per(events int, elapsed time.Duration, u meter.Usage) measurement {
	// No events is an error elsewhere; here it must not divide by zero.
	n := float64(max(events, 1))
	// Memory is a peak of the whole process, so it is not divided by the events.
	return measurement{
		Peer: t.Peer, Workload: t.Workload, Round: t.Round, Events: events,
		Rate:   float64(events) / elapsed.Seconds(),
		CPU:    float64(u.CPU.Nanoseconds()) / 1e3 / n,
		Allocs: float64(u.Allocs) / n,
		Bytes:  float64(u.Bytes) / n,
		Heap:   float64(u.Heap) / (1 << 20),
		RSS:    float64(u.RSS) / (1 << 20),
	}
}

// latencies sets the percentiles.
// An empty histogram leaves them zero, which JSON omits.
func (m *measurement) latencies(h *meter.Histogram) {
	m.P50 = float64(h.Quantile(0.50).Nanoseconds()) / 1e3
	m.P99 = float64(h.Quantile(0.99).Nanoseconds()) / 1e3
}
