package wire

import "errors"

// ErrSerialization is the error for a value that can't be encoded. It is here,
// below the root package, so that telemetry can classify it.
var ErrSerialization = errors.New("CloudEvent serialization failed")
