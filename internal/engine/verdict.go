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
	Skip        // a policy's: counted, never silent
	DeadEnd     // dead-letter it, behind the earlier records of its key
	Hold        // keep it and its key until another member owns the partition
	await       // the same, for as long as another member handles its type
)

// Verdict is what an attempt's error means.
type Verdict struct {
	Kind Kind
	// After, if not zero, replaces the policy's wait before a retry. Where the policy
	// ends before, the record is dead-lettered now.
	After time.Duration
	// Wait replaces it too, and is cut to what is left of the policy.
	Wait time.Duration
	// Reason and Stack go into the dead letter; of a Discard, Reason is counted.
	Reason string
	Stack  []byte
	// Each gives the error of a batch's record by index, nil if it was
	// handled. A nil Each means that all failed.
	Each func(i int) error
	// Breaker is how the subscription's breaker counts the attempt.
	Breaker resilience.Outcome

	probe bool // it is that of a probe that failed as the attempts before it did
}

// Kind of a verdict.
type Kind int8

// The kinds.
const (
	Retry   Kind = iota // by the subscription's policy
	Dead                // dead letter now
	Wait                // try again later without having spent an attempt
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

// PanicError is the error of an attempt whose handler did not return. The engine's
// caller turns panics into errors of its own before they get here; this is for
// whatever passes it by, runtime.Goexit above all, which no recover can stop.
type PanicError struct {
	Value any    // of the panic; nil for runtime.Goexit
	Stack []byte // of the handler's goroutine when it ended
}

// NewGoexit returns the error of a handler that ended its goroutine, for a deferred
// function of that goroutine.
func NewGoexit() *PanicError { return &PanicError{Stack: debug.Stack()} }

// Error says how and where the handler ended, without a stack.
func (e *PanicError) Error() string {
	if e.Value == nil {
		return "the handler ended its goroutine at " + stack.Origin(e.Stack) +
			" (runtime.Goexit, or FailNow and Fatal of a test): a handler must return"
	}
	return fmt.Sprintf("the handler panicked at %s: %s", stack.Origin(e.Stack), stack.Value(e.Value))
}
