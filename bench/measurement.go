package main

import (
	"time"

	"github.com/eventbus-go/eventbus/bench/internal/meter"
	"github.com/eventbus-go/eventbus/bench/internal/peer"
)

// task is what a child process is asked to measure.
type task struct {
	Peer     string        `json:"peer"`
	Workload string        `json:"workload"`
	Round    int           `json:"round"`
	Quick    bool          `json:"quick,omitempty"`
	Fill     bool          `json:"fill,omitempty"` // only write what consumers will read
	Settings peer.Settings `json:"settings"`
	Profile  string        `json:"profile,omitempty"` // a file for a CPU profile
}

// measurement is what came of it.
type measurement struct {
	Peer     string  `json:"peer"`
	Workload string  `json:"workload"`
	Round    int     `json:"round"`
	Events   int     `json:"events"`
	Rate     float64 `json:"rate"` // events per second
	P50      float64 `json:"p50_us,omitempty"`
	P99      float64 `json:"p99_us,omitempty"`
	CPU      float64 `json:"cpu_us"` // of this process, per event
	Allocs   float64 `json:"allocs"` // per event
	Bytes    float64 `json:"bytes"`  // allocated per event
	Heap     float64 `json:"heap_mb"`
	RSS      float64 `json:"rss_mb"`
	Error    string  `json:"error,omitempty"`
}

// per divides what was used by the events; elapsed is the time that the rate
// counts.
func (t task) per(events int, elapsed time.Duration, u meter.Usage) measurement {
	n := float64(max(events, 1))
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

func (m *measurement) latencies(h *meter.Histogram) {
	m.P50 = float64(h.Quantile(0.50).Nanoseconds()) / 1e3
	m.P99 = float64(h.Quantile(0.99).Nanoseconds()) / 1e3
}
