package kerr

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Faults gathers what is wrong with a configuration.
type Faults []string

func (f *Faults) Add(format string, args ...any) { *f = append(*f, fmt.Sprintf(format, args...)) }

func (f Faults) Err(what string) error {
	switch len(f) {
	case 0:
		return nil
	case 1:
		return errors.New("kafka: invalid " + what + ": " + f[0])
	}
	return errors.New("kafka: invalid " + what + ":\n  - " + strings.Join(f, "\n  - "))
}

// OneOf checks that value is empty or one of those.
func OneOf(wrong *Faults, field, value string, those []string) {
	if value != "" && !slices.Contains(those, value) {
		wrong.Add("%s %q is unknown: write %s", field, value, strings.Join(those, ", "))
	}
}
