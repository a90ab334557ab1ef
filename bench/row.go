package main

import (
	"math"
	"slices"

	"github.com/eventbus-go/eventbus/bench/internal/peer"
	"github.com/eventbus-go/eventbus/bench/internal/statistic"
)

// metric is one figure of a measurement.
type metric struct {
	// name is the figure's name in JSON; of returns the figure of a measurement.
	name string
	of   func(measurement) float64
	// better is 1 if more is better, -1 if less is.
	better int
}

// These are the metrics of tables and targets, by the names of JSON.
var (
	rate   = metric{"rate", func(m measurement) float64 { return m.Rate }, 1}
	p50    = metric{"p50_us", func(m measurement) float64 { return m.P50 }, -1}
	p99    = metric{"p99_us", func(m measurement) float64 { return m.P99 }, -1}
	cpu    = metric{"cpu_us", func(m measurement) float64 { return m.CPU }, -1}
	allocs = metric{"allocs", func(m measurement) float64 { return m.Allocs }, -1}
	octets = metric{"bytes", func(m measurement) float64 { return m.Bytes }, -1}
	heap   = metric{"heap_mb", func(m measurement) float64 { return m.Heap }, -1}
	rss    = metric{"rss_mb", func(m measurement) float64 { return m.RSS }, -1}
)

// values returns a metric by round; a round without a measurement is NaN.
func (l *measurementLog) values(workload, peer string, of metric) []float64 {
	var v []float64
	for _, m := range l.measurements {
		if m.Workload != workload || m.Peer != peer {
			continue
		}
		// Each round has its place even if earlier ones are missing, since ratios are
		// taken by round.
		for len(v) < m.Round {
			v = append(v, math.NaN())
		}
		v[m.Round-1] = of.of(m)
	}
	return v
}

// estimate returns the median of a metric over the rounds.
func (l *measurementLog) estimate(workload, peer string, of metric) statistic.Estimate {
	return statistic.Median(slices.DeleteFunc(l.values(workload, peer, of), math.IsNaN))
}

// ratio returns the median of a metric's ratio between two peers, taken round
// by round.
// Rounds that only one of the two has are left out.
func (l *measurementLog) ratio(workload, of, to string, m metric) statistic.Estimate {
	return statistic.Ratio(l.values(workload, of, m), l.values(workload, to, m))
}

// row is one peer on one workload. Its ratios are to franz-go in the same
// rounds.
type row struct {
	// Workload, Peer and Version identify the row; Rounds is the number of rounds it is
	// based on.
	Workload string `json:"workload"`
	Peer     string `json:"peer"`
	Version  string `json:"version"`
	Rounds   int    `json:"rounds"`

	// These are medians over the rounds. P50 and P99 are nil for workloads without
	// latencies.
	Rate   float64  `json:"rate"`
	P50    *float64 `json:"p50_us,omitempty"`
	P99    *float64 `json:"p99_us,omitempty"`
	CPU    float64  `json:"cpu_us"`
	Allocs float64  `json:"allocs"`
	Bytes  float64  `json:"bytes"`
	Heap   float64  `json:"heap_mb"`
	RSS    float64  `json:"rss_mb"`

	// RatioOf names the metric that Ratio compares.
	RatioOf string `json:"ratio_of"`
	// A ratio is nil if franz-go has no measurement in the same rounds, a range if there
	// are too few rounds.
	Ratio       *float64    `json:"ratio_to_franz"`
	RatioRange  *[2]float64 `json:"ratio_to_franz_95,omitempty"`
	CPURatio    *float64    `json:"cpu_ratio_to_franz,omitempty"`
	CPURange    *[2]float64 `json:"cpu_ratio_to_franz_95,omitempty"`
	AllocsRatio *float64    `json:"allocs_ratio_to_franz,omitempty"`
	HeapRatio   *float64    `json:"heap_ratio_to_franz,omitempty"`
	RSSRatio    *float64    `json:"rss_ratio_to_franz,omitempty"`

	// ratio is Ratio with its interval, for tables.
	ratio statistic.Estimate
}

// rows returns the rows of all workloads and peers that were measured, in their
// order.
func (l *measurementLog) rows(workloads []workload) []row {
	var rows []row
	for _, w := range workloads {
		for _, p := range peer.All() {
			// Every measurement has a rate, so this counts the rounds.
			n := len(slices.DeleteFunc(l.values(w.name, p.Name, rate), math.IsNaN))
			if n == 0 {
				continue
			}
			rows = append(rows, l.row(w, p, n))
		}
	}
	return rows
}

// row returns the row of a peer on a workload, of which the log has n rounds.
func (l *measurementLog) row(w workload, p peer.Peer, n int) row {
	median := func(of metric) float64 { return l.estimate(w.name, p.Name, of).Median }
	toFranz := func(of metric) statistic.Estimate { return l.ratio(w.name, p.Name, peer.Franz, of) }
	// The figure that the workload is about is the one that is compared.
	headline := rate
	if w.latency {
		headline = p50
	}
	r := row{
		Workload: w.name, Peer: p.Name, Version: p.Version(), Rounds: n,
		Rate: median(rate), CPU: median(cpu), Allocs: median(allocs), Bytes: median(octets), Heap: median(heap), RSS: median(rss),
		RatioOf: headline.name, ratio: toFranz(headline),
	}
	// NaN is not above zero either.
	if v := median(p50); v > 0 {
		tail := median(p99)
		r.P50, r.P99 = &v, &tail
	}
	// Only rate or latency and CPU time have a range; the others are side figures.
	r.Ratio, r.RatioRange = pointers(r.ratio)
	r.CPURatio, r.CPURange = pointers(toFranz(cpu))
	r.AllocsRatio, _ = pointers(toFranz(allocs))
	r.HeapRatio, _ = pointers(toFranz(heap))
	r.RSSRatio, _ = pointers(toFranz(rss))
	return r
}

// pointers returns an estimate for JSON, which has no NaN.
func pointers(e statistic.Estimate) (median *float64, interval *[2]float64) {
	if math.IsNaN(e.Median) {
		return nil, nil
	}
	// An interval of few rounds would claim more than they show.
	if e.Sure() {
		interval = &[2]float64{e.Low, e.High}
	}
	return &e.Median, interval
}
