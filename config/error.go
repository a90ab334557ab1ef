package config

import (
	"fmt"
	"slices"
	"strings"
)

// Error lists everything that is wrong with a configuration. It never contains the
// value of a secret.
type Error struct {
	// Bus lists what is wrong with eventbus.Config, including unreadable files and
	// unknown keys. Kafka lists what is wrong with kafka.Config. A program that does
	// not use a cluster, such as a test on the memory transport, needs only Bus to
	// be empty.
	Bus, Kafka []error
}

// Error lists the errors, one per line.
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

// Unwrap returns all errors, for errors.Is and errors.As.
func (e *Error) Unwrap() []error { return slices.Concat(e.Bus, e.Kafka) }
