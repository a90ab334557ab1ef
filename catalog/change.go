package catalog

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Level is how much a change can hurt.
type Level string

// The levels, the worst first. A change whose meaning this package does not know is
// Undecided, and never passes for safe.
const (
	Breaking  Level = "breaking"  // somebody's events are lost, refused, misread or out of order
	Undecided Level = "undecided" // a person has to look
	Dangerous Level = "dangerous" // works for most, and may hurt somebody
	Safe      Level = "safe"
)

// rank orders levels: 0 is the worst.
func (l Level) rank() int {
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
	// Rule names the kind of change, as field-removed.
	Rule  string `json:"rule"`
	Level Level  `json:"level"`
	Old   string `json:"old,omitempty"`
	New   string `json:"new,omitempty"`
	// Why says who or what breaks, and Fix what to do instead.
	Why string `json:"why"`
	Fix string `json:"fix,omitempty"`
	// Groups are the consumer groups that the old document names for the topic.
	Groups []string `json:"groups,omitempty"`
	// Allowed is the reason of the allowance that covers the change.
	Allowed string `json:"allowed,omitempty"`
}

// String is the change in a few words, with who breaks and what to do.
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

func orNothing(s string) string {
	if s == "" {
		return "nothing"
	}
	return s
}

// Failing returns the changes of a level or a worse one that no allowance covers,
// and always the undecided ones among them.
func Failing(changes []Change, level Level) (failing []Change) {
	most := max(level.rank(), Undecided.rank())
	for _, c := range changes {
		if c.Allowed == "" && c.Level != Safe && c.Level.rank() <= most {
			failing = append(failing, c)
		}
	}
	return failing
}

// Allowance lets one change pass.
type Allowance struct {
	Path, Rule string
	Date       time.Time // when it was given
	Reason     string
}

// maxAllowances bounds a file of allowances, in bytes.
const maxAllowances = 1 << 20

// ReadAllowances reads lines of a path, a rule, a date and a reason:
//
//	sales.public.customers.v1/CustomerCreated field-removed 2026-11-26 nobody ever set it
//
// A line that begins with # is a comment. Reason and date are required.
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
		date, err := time.Parse(time.DateOnly, fields[2])
		if err != nil {
			wrong = append(wrong, fmt.Errorf("line %d: %q is no date: write it as 2026-11-26", n, fields[2]))
		}
		all = append(all, Allowance{Path: fields[0], Rule: fields[1], Date: date, Reason: strings.Join(fields[3:], " ")})
	}
	return all, errors.Join(append(wrong, lines.Err())...)
}

// Allow notes in changes which of them an allowance covers, and returns the
// allowances that cover none and can go.
func Allow(changes []Change, allowances []Allowance) (unused []Allowance) {
	for _, a := range allowances {
		used := false
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
