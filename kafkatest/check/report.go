package check

import (
	"fmt"
	"strings"
)

// Kind is a way in which a promise is broken.
type Kind string

// The kinds of broken promises.
const (
	// Lost: neither handled nor dead-lettered, and the group is past it.
	Lost Kind = "lost"
	// Duplicated: handled or in effect more often than crashes excuse.
	Duplicated Kind = "duplicated"
	// OutOfOrder: handled or in effect before an earlier event of its key was
	// finished.
	OutOfOrder Kind = "out of order"
	// Stuck: still waiting, although everything works again.
	Stuck Kind = "stuck"
	// DeadLettered: given up although a retry would have succeeded.
	DeadLettered Kind = "dead-lettered"
)

// Finding is one broken promise about one event.
type Finding struct {
	Kind Kind
	// N is the number of the event within the key.
	Key, N int
	// Why says what happened and why it breaks the promise.
	Why string

	// records are the record and those of its key around it.
	records []*recordHistory
}

// Report is the outcome of a trial.
type Report struct {
	// Seed repeats the trial.
	Seed uint64
	// Schedule has a line for each fault that was injected, with its time.
	Schedule []string
	// Published counts the records, copies included; each is Handled or
	// DeadLettered. Repeated is how often handled ones were handled again.
	Published, Handled, DeadLettered, Repeated int
	// Findings are sorted by key and event.
	Findings []Finding

	history *history
}

// Clean reports whether no promise was broken.
func (r *Report) Clean() bool { return len(r.Findings) == 0 }

// Count returns the number of findings of a kind.
func (r *Report) Count(k Kind) (n int) {
	for _, f := range r.Findings {
		if f.Kind == k {
			n++
		}
	}
	return n
}

// find adds a finding about a record; around are other records of its key that explain
// the finding.
func (r *Report) find(k Kind, s *recordHistory, why string, around ...*recordHistory) {
	r.Findings = append(r.Findings, Finding{Kind: k, Key: s.key, N: s.n, Why: why, records: append(around, s)})
}

// shown bounds the findings that String prints.
const shown = 5

// String returns the whole report: the figures, the findings with their histories,
// and the schedule.
func (r *Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "check, seed %d: %d records, %d handled, %d dead-lettered, %d repeated", r.Seed, r.Published, r.Handled, r.DeadLettered, r.Repeated)
	if r.Clean() {
		b.WriteString("; no promise broken")
		return b.String()
	}
	for _, k := range []Kind{Lost, Duplicated, OutOfOrder, Stuck, DeadLettered} {
		if n := r.Count(k); n > 0 {
			fmt.Fprintf(&b, "; %d %s", n, k)
		}
	}
	for i, f := range r.Findings {
		if i == shown {
			fmt.Fprintf(&b, "\n\n… and %d more", len(r.Findings)-shown)
			break
		}
		fmt.Fprintf(&b, "\n\nkey %d, event %d is %s: %s", f.Key, f.N, f.Kind, f.Why)
		for _, s := range f.records {
			r.history.print(&b, s)
		}
	}
	b.WriteString("\n\nwhat was done:")
	for _, line := range r.history.events {
		b.WriteString("\n  " + line)
	}
	return b.String()
}

// print writes what happened to a record. h.mu is not held: the trial is over.
func (h *history) print(b *strings.Builder, s *recordHistory) {
	fmt.Fprintf(b, "\n  event %d at partition %d, offset %d", s.n, s.partition, s.offset)
	for _, a := range s.attempts {
		fmt.Fprintf(b, "\n    %8.3fs  member %d begins", a.begun.Sub(h.begun).Seconds(), a.member)
		switch {
		case a.ended.IsZero():
			b.WriteString(" and never ends")
		case a.err == nil:
			fmt.Fprintf(b, ", %.3fs handled", a.ended.Sub(h.begun).Seconds())
		default:
			fmt.Fprintf(b, ", %.3fs fails: %v", a.ended.Sub(h.begun).Seconds(), a.err)
		}
		if crash, dead := h.crashes[a.member]; dead {
			fmt.Fprintf(b, " (it crashed at %.3fs)", crash.Sub(h.begun).Seconds())
		}
	}
	if s.letters > 0 {
		fmt.Fprintf(b, "\n    %d dead letters", s.letters)
	}
}
