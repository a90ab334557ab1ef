package main

import (
	"fmt"
	"io"
	"math"

	"github.com/eventbus-go/eventbus/bench/internal/statistic"
)

// results holds the figures of one workload: for each name one per round, in the order of
// the rounds, so that ratios are taken between figures of the same round.
type results struct {
	workload string
	names    []string // in the order in which they were added first
	values   map[string][]float64
	unit     map[string]string
	ratios   [][3]string // the name, the name to compare it with, and the text of the line
}

func newResults(workload string) *results {
	return &results{workload: workload, values: make(map[string][]float64), unit: make(map[string]string)}
}

// add adds a figure of the current round.
func (r *results) add(name, unit string, value float64) {
	// Names are printed in the order of the first round.
	if _, known := r.values[name]; !known {
		r.names = append(r.names, name)
	}
	r.values[name] = append(r.values[name], value)
	// A name has the same unit in all rounds.
	r.unit[name] = unit
}

// compare has print write the ratio of name to with in a line below the figures. The
// line is written once, even if every round asks for it.
func (r *results) compare(name, with, says string) {
	for _, known := range r.ratios {
		if known[0] == name && known[1] == with {
			return
		}
	}
	r.ratios = append(r.ratios, [3]string{name, with, says})
}

// print writes the medians, and the ratios below them.
func (r *results) print(w io.Writer) {
	fmt.Fprintf(w, "\n%s\n", r.workload)
	for _, name := range r.names {
		fmt.Fprintf(w, "  %-44s %s %s\n", name, interval(statistic.Median(r.values[name]), "%.4g"), r.unit[name])
	}
	for _, x := range r.ratios {
		fmt.Fprintf(w, "  %-44s %s\n", x[2], interval(statistic.Ratio(r.values[x[0]], r.values[x[1]]), "%.3f"))
	}
}

// interval formats a median and, if there is one, its 95 % confidence interval.
func interval(e statistic.Estimate, format string) string {
	// Fewer than six rounds give no interval.
	if math.IsNaN(e.Low) {
		return fmt.Sprintf(format, e.Median)
	}
	return fmt.Sprintf(format+" ("+format+" to "+format+")", e.Median, e.Low, e.High)
}
