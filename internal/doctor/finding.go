// Package doctor examines a cluster, and the connection from this machine to it.
package doctor

import (
	"fmt"
)

// The verdicts. Unknown means that these credentials don't suffice to check it, which
// is not a failure.
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

// Findings collects the results in the order of the checks.
// The zero value has none. It is not safe for concurrent use: the checks run one after
// another, so that the list reads the same each time.
type Findings []Finding

// Add appends a finding, whose text is made as by fmt.Sprintf. The texts may contain
// names from the cluster, so pass them through package visible before showing them.
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
