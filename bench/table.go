package main

import (
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/eventbus-go/eventbus/bench/internal/peer"
	"github.com/eventbus-go/eventbus/bench/internal/statistic"
)

// writeTables writes Markdown: a table for each workload, the targets, and how
// costs grow.
func writeTables(out io.Writer, l *measurementLog, workloads []workload, rows []row) {
	for _, w := range workloads {
		writeWorkload(out, w, rows)
	}
	writeTargets(out, l)
	writeGrowth(out, l)
}

// writeWorkload writes the table of one workload.
func writeWorkload(out io.Writer, w workload, rows []row) {
	// The head is written with the first row: a workload without rows has no table.
	begun, tools := false, false
	for _, r := range rows {
		if r.Workload != w.name {
			continue
		}
		// These kinds have two more columns.
		timed := w.kind == syncPublish || w.kind == endToEnd || w.kind == starting
		if !begun {
			begun = true
			fmt.Fprintf(out, "\n### %s (`%s`)\n\n", w.title, w.name)
			head, line := "| client | events/s |", "|---|--:|"
			if timed {
				head, line = head+" p50 µs | p99 µs |", line+"--:|--:|"
				if w.kind == starting {
					head = "| client | starts/s | first event µs | close µs |"
				}
			}
			fmt.Fprintf(out, "%s CPU µs/event | allocs/event | bytes/event | live heap MB | RSS MB | %s to franz-go | rounds |\n%s--:|--:|--:|--:|--:|:--|--:|\n", head, headlineName(w), line)
		}
		tools = tools || isTool(r.Peer)
		fmt.Fprintf(out, "| %s | %s |", r.Peer, figure(r.Rate))
		if timed && r.P50 != nil {
			fmt.Fprintf(out, " %s | %s |", figure(*r.P50), figure(*r.P99))
		} else if timed {
			fmt.Fprint(out, " | |")
		}
		// The allocations of a Java tool are not known.
		allocs, bytes, heap := figure(r.Allocs), figure(r.Bytes), figure(r.Heap)
		if isTool(r.Peer) {
			allocs, bytes, heap = "–", "–", "–"
		}
		fmt.Fprintf(out, " %s | %s | %s | %s | %s | %s | %d |\n", figure(r.CPU), allocs, bytes, heap, figure(r.RSS), times(r.ratio), r.Rounds)
	}
	if tools {
		fmt.Fprintf(out, "\n`%s` is %s Its CPU time includes the start of the virtual machine, its rate does not.\n", peer.Java, toolLegend)
	}
}

// headlineName returns the name of the metric that the workload is about.
func headlineName(w workload) string {
	if w.latency {
		return "p50"
	}
	return "rate"
}

// writeTargets writes the targets and the results. As in the other tables, the head
// comes with the first line.
func writeTargets(out io.Writer, l *measurementLog) {
	begun := false
	for _, t := range targets() {
		e := t.estimate(l)
		// Omit what was not measured.
		if math.IsNaN(e.Median) {
			continue
		}
		if !begun {
			begun = true
			fmt.Fprint(out, "\n### What we ask of ourselves\n\n| to franz-go, where nothing else is said | to reach | and beyond | measured | reached |\n|---|---|---|---|---|\n")
		}
		reach, beyond := t.asked()
		measured := times(e)
		// A figure by itself has no unit of a ratio.
		if t.to == "" {
			measured = strings.ReplaceAll(measured, "×", "")
		}
		fmt.Fprintf(out, "| %s | %s | %s | %s | %s |\n", t.what, reach, beyond, measured, t.verdict(e))
	}
}

// writeGrowth writes how the CPU time of an event grows with the size of the
// work.
func writeGrowth(out io.Writer, l *measurementLog) {
	begun := false
	for _, g := range growthSteps {
		// Growth is shown only if it was measured, which takes -growth.
		ours, franz := g.cpuOf(l, peer.Eventbus), g.cpuOf(l, peer.Franz)
		if math.IsNaN(ours.Median) {
			continue
		}
		if !begun {
			begun = true
			fmt.Fprint(out, "\n### How the client CPU of an event grows\n\n| work | eventbus | franz-go |\n|---|---|---|\n")
		}
		fmt.Fprintf(out, "| %s | %s | %s |\n", g.what, times(ours), times(franz))
	}
}

// times returns a ratio with its confidence interval.
func times(e statistic.Estimate) string {
	switch {
	case math.IsNaN(e.Median):
		return "–"
	case e.Sure():
		return fmt.Sprintf("%.2f× [%.2f, %.2f]", e.Median, e.Low, e.High)
	}
	return fmt.Sprintf("%.2f×", e.Median)
}

// figure returns a number with three significant digits and separated
// thousands.
func figure(v float64) string {
	switch a := math.Abs(v); {
	case math.IsNaN(v):
		return "–"
	// Show all digits: rounding would not make the figure shorter.
	case a >= 1000:
		return thousands(int64(math.Round(v)))
	case a >= 100:
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// thousands returns a number with commas between groups of three digits.
func thousands(v int64) string {
	digits := fmt.Sprint(v)
	// No comma follows the sign of a negative number.
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
