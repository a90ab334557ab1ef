package main

import (
	"fmt"
	"math"
	"slices"

	"github.com/eventbus-go/eventbus/bench/internal/peer"
	"github.com/eventbus-go/eventbus/bench/internal/statistic"
)

// target is a bound for a ratio of two peers' figures, or for one figure.
type target struct {
	// what describes the figure in the table. workload names the workload of the figure.
	what     string
	workload string
	// ours is divided by to. If to is empty the target is for the figure of ours.
	ours, to string
	// reach is a lower bound if more of the metric is better, and an upper bound otherwise.
	metric metric
	reach  float64
	// beyond is a further bound; 0 means none.
	beyond float64
	// level asks only that ours is not worse: the confidence interval must include the bound
	// or lie on its good side.
	level bool
}

// targets returns the targets, in the order of the document.
func targets() []target {
	return []target{
		{what: "publish and wait, 1 goroutine: p50", workload: "sync-1", ours: peer.Eventbus, to: peer.Franz, metric: p50, reach: 1, beyond: 0.95, level: true},
		{what: "publish and wait, 64 goroutines: rate", workload: "sync-64", ours: peer.Eventbus, to: peer.Franz, metric: rate, reach: 1.1, beyond: 1.2},
		{what: "publish and wait, 512 goroutines: rate", workload: "sync-512", ours: peer.Eventbus, to: peer.Franz, metric: rate, reach: 1.3, beyond: 1.5},
		{what: "publish without waiting: rate", workload: "async", ours: peer.Eventbus, to: peer.Franz, metric: rate, reach: 1.2, beyond: 1.4},
		{what: "publish without waiting: client CPU per event", workload: "async", ours: peer.Eventbus, to: peer.Franz, metric: cpu, reach: 0.65, beyond: 0.55},
		{what: "publish without waiting: allocations per event", workload: "async", ours: peer.Eventbus, metric: allocs, reach: 10, beyond: 6},
		{what: "consume, encoding/json on both sides: rate", workload: "consume", ours: peer.EventbusJSON, to: peer.Franz, metric: rate, reach: 1.2, beyond: 1.4},
		{what: "consume, encoding/json on both sides: client CPU per event", workload: "consume", ours: peer.EventbusJSON, to: peer.Franz, metric: cpu, reach: 0.85},
		{what: "consume, the default codec: rate", workload: "consume", ours: peer.Eventbus, to: peer.Franz, metric: rate, reach: 1.5, beyond: 2},
		{what: "consume, the default codec: client CPU per event", workload: "consume", ours: peer.Eventbus, to: peer.Franz, metric: cpu, reach: 0.65},
		{what: "end to end, 10 events/s: p50", workload: "e2e-10", ours: peer.Eventbus, to: peer.Franz, metric: p50, reach: 1, level: true},
		{what: "end to end, 10 events/s: p99", workload: "e2e-10", ours: peer.Eventbus, to: peer.Franz, metric: p99, reach: 1, level: true},
		{what: "end to end, 1,000 events/s: p50", workload: "e2e-1000", ours: peer.Eventbus, to: peer.Franz, metric: p50, reach: 1, level: true},
		{what: "end to end, 1,000 events/s: p99", workload: "e2e-1000", ours: peer.Eventbus, to: peer.Franz, metric: p99, reach: 1, level: true},
		{what: "publish without waiting: peak live heap", workload: "async", ours: peer.Eventbus, to: peer.Franz, metric: heap, reach: 1, level: true},
		{what: "publish without waiting: peak RSS", workload: "async", ours: peer.Eventbus, to: peer.Franz, metric: rss, reach: 1.15},
		{what: "consume: peak live heap", workload: "consume", ours: peer.Eventbus, to: peer.Franz, metric: heap, reach: 1, level: true},
		{what: "consume: peak RSS", workload: "consume", ours: peer.Eventbus, to: peer.Franz, metric: rss, reach: 1.15},
		{what: "publish without waiting, to watermill-kafka: rate", workload: "async", ours: peer.Eventbus, to: peer.Watermill, metric: rate, reach: 4},
		{what: "consume, to watermill-kafka: rate", workload: "consume", ours: peer.Eventbus, to: peer.Watermill, metric: rate, reach: 5},
	}
}

// claimed reports whether the documents claim something about a client on a workload, so
// that it is measured in all rounds. They do for this library and franz-go on every workload,
// and for other clients if a target names them.
func claimed(workload, name string) bool {
	return name == peer.Eventbus || name == peer.Franz || slices.ContainsFunc(targets(), func(t target) bool {
		return t.workload == workload && (t.ours == name || t.to == name)
	})
}

// estimate returns the estimate of the target's ratio or figure from the log.
func (t target) estimate(l *measurementLog) statistic.Estimate {
	if t.to == "" {
		return l.estimate(t.workload, t.ours, t.metric)
	}
	return l.ratio(t.workload, t.ours, t.to, t.metric)
}

// verdict returns in words whether an estimate reaches the target.
func (t target) verdict(e statistic.Estimate) string {
	// met reports whether v is on the good side of a bound, or equals it.
	met := func(v, bound float64) bool {
		if t.metric.better > 0 {
			return v >= bound
		}
		return v <= bound
	}
	// best is the value for reach: with level the end of the interval on the good side.
	best := e.Median
	if t.level && e.Sure() {
		best = e.Low
		if t.metric.better > 0 {
			best = e.High
		}
	}
	verdict := "no"
	switch {
	case math.IsNaN(e.Median):
		return "not measured"
	case t.beyond != 0 && met(e.Median, t.beyond):
		verdict = "beyond"
	case met(best, t.reach):
		verdict = "reached"
	}
	// Without an interval the verdict may change with the next round.
	if !e.Sure() {
		verdict += ", preliminary"
	}
	return verdict
}

// asked returns the bounds of the target for the table. beyond is empty if there is none.
func (t target) asked() (reach, beyond string) {
	sign := "≤"
	if t.metric.better > 0 {
		sign = "≥"
	}
	unit := "×"
	// A target without a second client is not for a ratio.
	if t.to == "" {
		unit = ""
	}
	reach = fmt.Sprintf("%s %v%s", sign, t.reach, unit)
	if t.level {
		reach = "not slower"
		// More memory is not slower, but larger.
		if t.metric.name == heap.name {
			reach = "not larger"
		}
	}
	if t.beyond != 0 {
		beyond = fmt.Sprintf("%s %v%s", sign, t.beyond, unit)
	}
	return reach, beyond
}

// growthStep compares the cost of an event in two sizes of the same work. from and to are
// names of workloads that differ only in that size.
type growthStep struct{ what, from, to string }

// growthSteps has the steps in the order of the document.
var growthSteps = []growthStep{
	{"publish: 6 → 600 partitions", "async", "async-600-partitions"},
	{"publish: 6 → 600 partitions, batches of 8 KiB", "async-small-batches", "async-small-batches-600"},
	{"consume: 6 → 600 partitions, batches of 8 KiB", "consume-small-batches", "consume-small-batches-600"},
	{"publish: 10 → 1,000,000 keys", "async-10-keys", "async-1M-keys"},
	{"publish: 100,000 → 10,000,000 events", "async-100k", "async-10M"},
}

// cpuOf returns the ratio of a peer's CPU time per event in the larger size to that in the
// smaller one. Ratios are taken round by round, as between peers.
func (g growthStep) cpuOf(l *measurementLog, name string) statistic.Estimate {
	return statistic.Ratio(l.values(g.to, name, cpu), l.values(g.from, name, cpu))
}
