package kerr

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Faults collects everything that is wrong with a configuration, so that one failed start shows
// all of it. The zero value means that nothing is wrong.
type Faults []string

// Add adds a sentence that names a field and what to write instead.
//
//go:noinline
func (f *Faults) Add(format string, args ...any) { *f = append(*f, fmt.Sprintf(format, args...)) }

// Err returns one error for all faults of the configuration called what, or nil if there are
// none.
func (f Faults) Err(what string) error {
	switch len(f) {
	case 0:
		return nil
	case 1:
		return errors.New("kafka: invalid " + what + ": " + f[0])
	}
	return errors.New("kafka: invalid " + what + ":\n  - " + strings.Join(f, "\n  - "))
}

// OneOf adds a fault unless value is one of those, or empty, which means the default.
func OneOf(wrong *Faults, field, value string, those []string) {
	if value != "" && !slices.Contains(those, value) {
		wrong.Add("%s %q is unknown: write %s", field, value, strings.Join(those, ", "))
	}
}
