package main

import (
	"fmt"
	"io"
	"math"

	"github.com/eventbus-go/eventbus/bench/internal/statistic"
)

// results are the figures of one workload by what was measured, one per round.
// The figures of a name stand in the order of the rounds, so that ratios are taken
// between figures of one round.
type results struct {
	workload string
	names    []string // in the order in which they came
	values   map[string][]float64
	unit     map[string]string
	ratios   [][3]string // a name, what it is compared with, and what that says
}

func newResults(workload string) *results {
	return &results{workload: workload, values: make(map[string][]float64), unit: make(map[string]string)}
}

// add notes a figure of this round.
func (r *results) add(name, unit string, value float64) {
	// The first round decides the order in which names are printed.
	if _, known := r.values[name]; !known {
		r.names = append(r.names, name)
	}
	r.values[name] = append(r.values[name], value)
	// A name has the same unit in all rounds.
	r.unit[name] = unit
}

// compare asks for the ratio of two figures below the table.
// It may be asked for in every round, and is printed once.
func (r *results) compare(name, with, says string) {
	for _, known := range r.ratios {
		if known[0] == name && known[1] == with {
			return
		}
	}
	r.ratios = append(r.ratios, [3]string{name, with, says})
}

// print writes the medians, and below them the ratios.
func (r *results) print(w io.Writer) {
	fmt.Fprintf(w, "\n%s\n", r.workload)
	for _, name := range r.names {
		fmt.Fprintf(w, "  %-44s %s %s\n", name, interval(statistic.Median(r.values[name]), "%.4g"), r.unit[name])
	}
	for _, x := range r.ratios {
		fmt.Fprintf(w, "  %-44s %s\n", x[2], interval(statistic.Ratio(r.values[x[0]], r.values[x[1]]), "%.3f"))
	}
}

// interval prints a median with its 95 % interval, where there is one.
func interval(e statistic.Estimate, format string) string {
	// Few rounds give a median alone: an interval would claim more than they show.
	if math.IsNaN(e.Low) {
		return fmt.Sprintf(format, e.Median)
	}
	return fmt.Sprintf(format+" ("+format+" to "+format+")", e.Median, e.Low, e.High)
}
