// Package doctor examines a cluster, and this machine's connection to it.
package doctor

import (
	"fmt"
	"strings"
)

// The verdicts. Unknown is for what can't be examined with these credentials, which is not
// a failure.
const (
	Fine    = "ok"
	Warning = "warn"
	Bad     = "fail"
	Unknown = "unknown"
)

// Finding is the result of one check.
type Finding struct {
	// Check names what was checked, such as "broker 1" or a topic.
	Check   string `json:"check"`
	Verdict string `json:"verdict"`
	Finding string `json:"finding"`
	// Remedy says what to do; empty if the verdict is fine.
	Remedy string `json:"remedy,omitempty"`
}

// Findings collects results in the order of the checks, which run one after another, so that
// the list reads the same each time. The zero value is empty. It is not safe for concurrent
// use.
type Findings []Finding

// Add appends a finding, with a text formatted as by fmt.Sprintf. The texts may hold names
// from the cluster: make them visible before showing them.
func (f *Findings) Add(check, verdict, remedy, format string, args ...any) {
	*f = append(*f, Finding{check, verdict, fmt.Sprintf(format, args...), remedy})
}

// named is how many checks a folded finding names besides its own.
const named = 3

// Folded returns the findings for a person to read: of warnings that differ only in the check, as
// those of every topic of a cluster may, only the first is left. It counts the others, and names
// a few of them.
func (f Findings) Folded() Findings {
	var all Findings
	alike := make(map[Finding][]string) // the checks of a warning, by the rest of it
	for _, one := range f {
		check := one.Check
		one.Check = ""
		if one.Verdict == Warning {
			alike[one] = append(alike[one], check)
		}
		if len(alike[one]) < 2 {
			one.Check = check
			all = append(all, one)
		}
	}
	for i := range all {
		one := all[i]
		one.Check = ""
		checks := alike[one]
		if len(checks) < 2 {
			continue
		}
		others := strings.Join(checks[1:min(len(checks), 1+named)], ", ")
		if len(checks) > 1+named {
			others += ", …"
		}
		all[i].Finding += fmt.Sprintf(" (the same for %s: %s)", counted(len(checks)-1, "other"), others)
	}
	return all
}

// counted returns a number with its noun, such as "1 broker" and "2 brokers".
func counted[N int | int32 | int64](n N, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}
