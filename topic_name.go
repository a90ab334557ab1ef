package eventbus

import (
	"fmt"

	"github.com/eventbus-go/eventbus/internal/naming"
)

// Scope tells whom a topic is for; it is the third part of its name.
type Scope int8

const (
	// Public topics carry integration events, a contract with other services.
	Public Scope = iota
	// Internal topics carry the domain events of one service.
	Internal
)

// String is "public" or "internal", as it stands in names.
func (s Scope) String() string {
	switch s {
	case Public:
		return "public"
	case Internal:
		return "internal"
	}
	return fmt.Sprintf("Scope(%d)", int8(s))
}

// EnvironmentSegment is the first part of topic names in an environment: dev,
// prod, test and stag for Development, Production, Test and Staging, in any case
// of letters; any other name as it stands, in lower case. Names that can't be
// part of a topic's are an error.
func EnvironmentSegment(name string) (string, error) { return naming.Environment(name) }
