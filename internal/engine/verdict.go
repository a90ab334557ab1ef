package engine

import (
	"fmt"
	"runtime/debug"
	"time"

	"github.com/eventbus-go/eventbus/internal/stack"
	"github.com/eventbus-go/eventbus/resilience"
	"github.com/eventbus-go/eventbus/transport"
)

// End is what becomes of a record.
type End int8

// The ends of a route.
const (
	Handle  End = iota
	Skip        // by a policy: counted, never silent
	DeadEnd     // dead-letter it, behind the earlier records of its key
	Hold        // keep it and its key until another member owns the partition
	await       // the same, as long as another member handles its type
)

// Verdict is what an attempt's error means.
type Verdict struct {
	Kind Kind
	// After, if not zero, replaces the policy's wait before a retry. If the policy ends
	// earlier, the record is dead-lettered at once.
	After time.Duration
	// Wait replaces it too, but is shortened to what is left of the policy.
	Wait time.Duration
	// Reason and Stack go into the dead letter. For Discard, Reason is counted.
	Reason string
	Stack  []byte
	// Each returns the error of a batch's record by index, nil if it was handled. If Each is
	// nil, all failed.
	Each func(i int) error
	// Breaker says how the subscription's breaker counts the attempt.
	Breaker resilience.Outcome

	probe bool // of a probe that failed as the attempts before it did
}

// Kind is the kind of a verdict.
type Kind int8

// The kinds.
const (
	Retry   Kind = iota // by the subscription's policy
	Dead                // dead letter now
	Wait                // try again later; this attempt doesn't count
	Discard             // finished without a dead letter, and counted
)

// Failure is a record on its way to the dead-letter topic.
type Failure struct {
	Record      *transport.Record
	Reason      string
	Err         error
	Stack       []byte
	Attempts    int
	First, Last time.Time
	// Refused is the error of the last attempt to write this dead letter.
	Refused error
}

// PanicError is the error of an attempt whose handler did not return. The engine's caller turns
// panics into its own errors before they get here. This is for what escapes that, above all
// runtime.Goexit, which no recover can stop.
type PanicError struct {
	Value any    // of the panic; nil for runtime.Goexit
	Stack []byte // of the handler's goroutine when it ended
}

// NewGoexit returns the error of a handler that called runtime.Goexit. Call it in a deferred
// function of that goroutine.
func NewGoexit() *PanicError { return &PanicError{Stack: debug.Stack()} }

// Error says how and where the handler ended, without the stack.
func (e *PanicError) Error() string {
	if e.Value == nil {
		return "the handler ended its goroutine at " + stack.Origin(e.Stack) +
			" (runtime.Goexit, or FailNow and Fatal of a test): a handler must return"
	}
	return fmt.Sprintf("the handler panicked at %s: %s", stack.Origin(e.Stack), stack.Value(e.Value))
}
