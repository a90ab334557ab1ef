package engine

import "fmt"

// PanicError is the error of an attempt whose handler did not return. The engine's
// caller turns panics into errors of its own before they get here; this is for
// whatever passes it by, runtime.Goexit above all, which no recover can stop.
type PanicError struct {
	Value any    // of the panic; nil for runtime.Goexit
	Stack []byte // of the handler's goroutine when it ended
}

// Error says how the handler ended, without a stack.
func (e *PanicError) Error() string {
	if e.Value == nil {
		return "the handler ended its goroutine (runtime.Goexit, or FailNow and Fatal of a test): a handler must return"
	}
	return fmt.Sprintf("the handler panicked: %v", e.Value)
}
