package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// leastSoak is the shortest soak: growth needs time to show.
const leastSoak = time.Minute

// steadyLoad is a soak: a load that lasts a long time, without faults.
func steadyLoad(length time.Duration) scenario {
	const rate = 2000
	s := scenario{
		name:  "soak",
		about: fmt.Sprintf("%d events a second for %s and no faults: no process may grow", rate, length),
		clean: true,
		soak:  length,
		load:  load{Events: int(length.Seconds() * rate), Rate: rate},
		plan:  func(*plan) {},
	}
	// There are no faults, but a host has bad moments: no standstill may be longer
	// than one after the loss of a member.
	s.stall = s.afterKills
	return s
}

// How much more a process may have at the end of a soak than after the warm-up:
// goroutines, and bytes in addition to a tenth of the heap and 15 % of the resident
// set.
const (
	goroutineSlack = 5
	heapSlack      = 2 << 20
	rssSlack       = 8 << 20
	megabyte       = 1 << 20
)

// tenths is the number of parts that the time of the load is divided into. The
// first is the warm-up; the second is compared with the last.
const tenths = 10

// lifetime has the samples of one process, by tenth of the load's duration.
type lifetime struct {
	name  string
	parts [tenths][]sample
}

// lifetimes sorts the samples in the ledger by process, whose number is the
// index of its name, and by time. Samples before and after the load are left
// out.
func lifetimes(entries []entry, names []string) []lifetime {
	all := make([]lifetime, len(names))
	// Processes have consecutive numbers in the ledger.
	for i, name := range names {
		all[i].name = name
	}
	// The load lasts from the first offered event to the last.
	var from, to int64
	for i := range entries {
		if e := &entries[i]; e.deed == offered {
			from, to = cmp.Or(from, e.at), e.at
		}
	}
	for i := range entries {
		if e := &entries[i]; e.deed == sampled && int(e.owner) < len(all) && e.at >= from && e.at < to {
			// The index is below tenths, since e.at is below to.
			part := &all[e.owner].parts[(e.at-from)*tenths/(to-from)]
			*part = append(*part, e.sample())
		}
	}
	return all
}

// median returns the median of each figure, zero without samples.
func median(samples []sample) sample {
	if len(samples) == 0 {
		return sample{}
	}
	return sample{
		goroutines: int(middle(samples, func(s sample) int64 { return int64(s.goroutines) })),
		heap:       middle(samples, func(s sample) int64 { return s.heap }),
		rss:        middle(samples, func(s sample) int64 { return s.rss }),
	}
}

// middle returns the median of one figure.
func middle(samples []sample, of func(sample) int64) int64 {
	values := make([]int64, len(samples))
	for i, s := range samples {
		values[i] = of(s)
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// grown returns, as sentences, in what a process is larger at the end than after
// the warm-up. It compares medians, since one sample says little.
func (l *lifetime) grown() (wrong []string) {
	if len(l.parts[1]) == 0 || len(l.parts[tenths-1]) == 0 {
		return []string{l.name + " told too little of itself"}
	}
	first, last := median(l.parts[1]), median(l.parts[tenths-1])
	if last.goroutines > first.goroutines+goroutineSlack {
		wrong = append(wrong, fmt.Sprintf("%s has %d goroutines, and had %d", l.name, last.goroutines, first.goroutines))
	}
	if last.heap > first.heap+first.heap/10+heapSlack {
		wrong = append(wrong, fmt.Sprintf("%s has a live heap of %.1f MB, and had %.1f", l.name, megabytes(last.heap), megabytes(first.heap)))
	}
	if last.rss > first.rss+first.rss*15/100+rssSlack {
		wrong = append(wrong, fmt.Sprintf("%s has a resident set of %.1f MB, and had %.1f", l.name, megabytes(last.rss), megabytes(first.rss)))
	}
	return wrong
}

// change is the median size of a kind of process in the second tenth of a soak
// and in the last.
type change struct {
	First figures `json:"first"`
	Last  figures `json:"last"`
}

// figures is a sample in megabytes, for people.
type figures struct {
	Goroutines int     `json:"goroutines"`
	Heap       float64 `json:"heap_mb"`
	RSS        float64 `json:"rss_mb"`
}

// figures returns the sample for people.
func (s sample) figures() figures {
	return figures{Goroutines: s.goroutines, Heap: megabytes(s.heap), RSS: megabytes(s.rss)}
}

// megabytes returns bytes in megabytes, to one decimal.
func megabytes(bytes int64) float64 { return float64(bytes*10/megabyte) / 10 }

// growth compares every process with what it was after the warm-up. It adds the
// figures to the result and prints them.
func (t *stage) growth(e *evidence, r *result) (wrong []string) {
	names := make([]string, len(t.all))
	for i, p := range t.all {
		names[i] = p.Name
	}
	var kinds []string
	byKind := make(map[string]*lifetime)
	for _, l := range lifetimes(e.entries, names) {
		// Judge each process: one may grow although its kind does not on average.
		wrong = append(wrong, l.grown()...)
		kind, _, _ := strings.Cut(l.name, "-")
		if byKind[kind] == nil {
			kinds, byKind[kind] = append(kinds, kind), &lifetime{name: kind}
		}
		for i := range l.parts {
			byKind[kind].parts[i] = append(byKind[kind].parts[i], l.parts[i]...)
		}
	}
	r.Processes = make(map[string]change)
	table := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprint(table, "minute\t")
	for _, kind := range kinds {
		parts := &byKind[kind].parts
		r.Processes[kind] = change{median(parts[1]).figures(), median(parts[tenths-1]).figures()}
		_, _ = fmt.Fprintf(table, "%s: goroutines\theap MB\trss MB\t", kind)
	}
	_, _ = fmt.Fprintln(table)
	for i := range tenths {
		_, _ = fmt.Fprintf(table, "%.1f\t", t.scenario.soak.Minutes()*float64(i)/tenths)
		for _, kind := range kinds {
			f := median(byKind[kind].parts[i]).figures()
			_, _ = fmt.Fprintf(table, "%d\t%.1f\t%.1f\t", f.Goroutines, f.Heap, f.RSS)
		}
		_, _ = fmt.Fprintln(table)
	}
	_ = table.Flush() // what people don't see is in the result
	return wrong
}
