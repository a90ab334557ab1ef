package wire

import "errors"

// ErrSerialization: a value can't be encoded.
var ErrSerialization = errors.New("CloudEvent serialization failed")
