package config

import (
	"fmt"
	"slices"
	"strings"
)

// Error holds everything that is wrong with a configuration. It never holds the
// value of a secret.
type Error struct {
	// Bus is what keeps eventbus.Config from being used, unreadable files and
	// unknown keys among it; Kafka is what keeps kafka.Config from it. A program
	// that has no use for a cluster, as a test on the memory transport, can do
	// with an empty Bus alone.
	Bus, Kafka []error
}

// Error lists what is wrong, one line each.
func (e *Error) Error() string {
	wrong := e.Unwrap()
	if len(wrong) == 1 {
		return "config: " + wrong[0].Error()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "config: %d faults:", len(wrong))
	for _, err := range wrong {
		b.WriteString("\n  - " + strings.ReplaceAll(err.Error(), "\n", "\n    "))
	}
	return b.String()
}

// Unwrap returns all of them, so that errors.Is and errors.As look into each.
func (e *Error) Unwrap() []error { return slices.Concat(e.Bus, e.Kafka) }
