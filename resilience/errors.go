package resilience

import "errors"

// ErrOpen: the breaker is open.
var ErrOpen = errors.New("circuit breaker is open")
