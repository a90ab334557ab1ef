package catalog

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Level says how harmful a change can be.
type Level string

// The levels, the worst first. A change that this package does not understand is
// Undecided, and never counts as safe.
const (
	Breaking  Level = "breaking"  // somebody's events are lost, refused, misread or out of order
	Undecided Level = "undecided" // a person has to decide
	Dangerous Level = "dangerous" // works for most readers, but may harm some
	Safe      Level = "safe"
)

// rank returns a level's place in the order of harm, 0 for the worst. An unknown level
// ranks as the worst, so that it can't pass as safe.
func (l Level) rank() int {
	// Undecided ranks above Dangerous, since it may be a break.
	for i, known := range []Level{Breaking, Undecided, Dangerous, Safe} {
		if l == known {
			return i
		}
	}
	return 0
}

// Change is one difference between two documents.
type Change struct {
	// Path leads to what changed: topic, topic/type, or topic/type#/properties/x.
	Path string `json:"path"`
	// Rule names the kind of change, such as field-removed.
	Rule string `json:"rule"`
	// Level says how harmful the change can be.
	Level Level `json:"level"`
	// Old and New are the values before and after, for people; empty if there is none.
	Old string `json:"old,omitempty"`
	New string `json:"new,omitempty"`
	// Why says who or what breaks, and Fix what to do instead.
	Why string `json:"why"`
	Fix string `json:"fix,omitempty"`
	// Groups are the consumer groups that the old document names for the topic.
	Groups []string `json:"groups,omitempty"`
	// Allowed is the reason of the allowance that covers the change.
	Allowed string `json:"allowed,omitempty"`
}

// String returns the change in a few words, with what breaks and what to do.
func (c Change) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s %s", c.Level, c.Path, c.Rule)
	if c.Old != "" || c.New != "" {
		fmt.Fprintf(&b, " (%s → %s)", orNothing(c.Old), orNothing(c.New))
	}
	fmt.Fprintf(&b, ": %s", c.Why)
	if len(c.Groups) > 0 {
		fmt.Fprintf(&b, ". Handled by %s", strings.Join(c.Groups, ", "))
	}
	if c.Fix != "" {
		fmt.Fprintf(&b, ". %s", c.Fix)
	}
	if c.Allowed != "" {
		fmt.Fprintf(&b, ". Allowed: %s", c.Allowed)
	}
	return b.String()
}

// orNothing returns s, or "nothing" if it is empty.
func orNothing(s string) string {
	if s == "" {
		return "nothing"
	}
	return s
}

// withArticle returns a type's name for a sentence: an integer, a string. Several types
// are a list in brackets.
func withArticle(name string) string {
	switch {
	case strings.HasPrefix(name, "["):
		return "one of " + name
	case strings.IndexAny(name, "aeioAEIO") == 0: // not u, which most often sounds as in user
		return "an " + name
	}
	return "a " + name
}

// period returns a retention in milliseconds in words.
func period(ms int64) string {
	const day = 24 * 60 * 60 * 1000
	switch {
	case ms < 0:
		return "no limit"
	case ms == 0:
		return "the broker's default"
	case ms == day:
		return "1 day"
	case ms%day == 0:
		return fmt.Sprintf("%d days", ms/day)
	}
	return (time.Duration(ms) * time.Millisecond).String()
}

// Failing returns the changes of a level or worse that no allowance covers. It always
// includes undecided changes, and never safe ones.
func Failing(changes []Change, level Level) (failing []Change) {
	// Undecided changes fail at every level, since nobody knows what they break;
	// safe ones fail at none.
	most := max(level.rank(), Undecided.rank())
	for _, c := range changes {
		if c.Allowed == "" && c.Level != Safe && c.Level.rank() <= most {
			failing = append(failing, c)
		}
	}
	return failing
}

// Allowance permits one change: the one at Path under Rule, whatever its values.
type Allowance struct {
	Path, Rule string
	// Date is the day on which it was given.
	Date time.Time
	// Reason says why the change does no harm. It is shown with the change.
	Reason string
}

// maxAllowances bounds a file of allowances, in bytes.
const maxAllowances = 1 << 20

// ReadAllowances reads lines of a path, a rule, a date and a reason:
//
//	sales.public.customers.v1/CustomerCreated field-removed 2026-11-26 nobody ever set it
//
// A line that begins with # is a comment. Reason and date are required. Only the first
// MiB is read: changes whose lines come later fail rather than pass.
func ReadAllowances(r io.Reader) (all []Allowance, err error) {
	lines := bufio.NewScanner(io.LimitReader(r, maxAllowances))
	var wrong []error
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		fields := strings.Fields(line)
		if len(fields) < 4 {
			wrong = append(wrong, fmt.Errorf("line %d: write path, rule, date and reason, as %q", n, "sales.public.customers.v1/CustomerCreated field-removed 2026-11-26 nobody set it"))
			continue
		}
		// A path may contain spaces, since a field's name may; a rule contains none.
		// So the first date after at least two fields counts.
		at := 2
		for i := at; i < len(fields)-1; i++ {
			if _, err := time.Parse(time.DateOnly, fields[i]); err == nil {
				at = i
				break
			}
		}
		date, err := time.Parse(time.DateOnly, fields[at])
		if err != nil {
			// Reading goes on, so that one run shows every mistake.
			wrong = append(wrong, fmt.Errorf("line %d: %q is not a date: write it as 2026-11-26", n, fields[at]))
		}
		all = append(all, Allowance{Path: strings.Join(fields[:at-1], " "), Rule: fields[at-1], Date: date, Reason: strings.Join(fields[at+1:], " ")})
	}
	return all, errors.Join(append(wrong, lines.Err())...)
}

// Allow marks the changes that an allowance covers, and returns the allowances that
// cover none and can be deleted. It modifies only the elements of changes.
func Allow(changes []Change, allowances []Allowance) (unused []Allowance) {
	for _, a := range allowances {
		used := false
		// One allowance covers every change with its path and rule.
		for i := range changes {
			if changes[i].Path == a.Path && changes[i].Rule == a.Rule {
				changes[i].Allowed, used = a.Reason+" ("+a.Date.Format(time.DateOnly)+")", true
			}
		}
		if !used {
			unused = append(unused, a)
		}
	}
	return unused
}
