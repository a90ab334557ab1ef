// Package doctor examines a cluster, and this machine's connection to it.
package doctor

import (
	"fmt"
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

// counted returns a number with its noun, such as "1 broker" and "2 brokers".
func counted[N int | int32 | int64](n N, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}
