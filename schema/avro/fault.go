package avro

import (
	"errors"

	"github.com/twmb/avro"
)

// structural reports whether an error of encoding a zero value is one of every
// value: a field without a place in the Go type. A zero value may be refused for
// its own sake, as a nil where a union has no null.
func structural(err error) bool {
	var fault *avro.SemanticError
	return errors.As(err, &fault) && fault.GoType != nil
}
