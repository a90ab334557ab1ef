package eventbus

import (
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/eventbus-go/eventbus/resilience"
	"github.com/eventbus-go/eventbus/transport"
)

// What can go wrong, for errors.Is. ErrSerialization is beside the codecs.
var (
	// ErrClosed: the bus is closed.
	ErrClosed = transport.ErrClosed
	// ErrCircuitOpen: the publishing circuit breaker of the partition's broker
	// is open. Nothing was written.
	ErrCircuitOpen = resilience.ErrOpen
	// ErrTopicMissing: the topic does not exist, and the bus may not create it.
	ErrTopicMissing = transport.ErrTopicMissing
	// ErrTooLarge: the event is larger than the cluster or the bus allows. The
	// text has both sizes. Nothing was written.
	ErrTooLarge = transport.ErrTooLarge
	// ErrOutcomeUnknown: the event may or may not have been written. Publishing
	// it again makes a second event.
	ErrOutcomeUnknown = transport.ErrOutcomeUnknown
)

// Error is the error of an operation of the bus. Its cause is intact for
// errors.Is and errors.As, and it never holds data of an event.
type Error struct {
	Op      string // "publish", "subscribe", "start", "drain", "close", …
	Topic   string // the full name, where one topic is concerned
	EventID string // where one event is
	Err     error
}

// Error is "eventbus: publish dev.sales.public.customers.v1 (event 0192…): cause".
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("eventbus: ")
	b.WriteString(e.Op)
	if e.Topic != "" {
		b.WriteString(" " + e.Topic)
	}
	if e.EventID != "" {
		b.WriteString(" (event " + e.EventID + ")")
	}
	b.WriteString(": ")
	b.WriteString(e.Err.Error())
	return b.String()
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

func publishError(topic, id string, err error) error {
	e := &Error{Op: "publish", Topic: topic, EventID: id, Err: err}
	if errors.Is(err, ErrTopicMissing) {
		e.Err = topicMissing(topic, err)
	}
	return e
}

// topicMissing says what to do about a topic that is not there.
func topicMissing(topic string, cause error) error {
	return fmt.Errorf("topic does not exist and auto-creation is disabled: create %s, or set AutoProvision: %w", topic, cause)
}

// Permanent marks an error that trying again can't mend: the event goes to the
// dead-letter topic at once. Permanent(nil) is nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

type permanentError struct{ err error }

func (e *permanentError) Error() string { return e.err.Error() }

func (e *permanentError) Unwrap() error { return e.err }

// RetryAfter asks for the next attempt after d, in place of the policy's
// backoff; the policy still bounds attempts and time. RetryAfter(d, nil) is nil.
func RetryAfter(d time.Duration, err error) error {
	if err == nil {
		return nil
	}
	return &retryAfterError{d, err}
}

type retryAfterError struct {
	after time.Duration
	err   error
}

func (e *retryAfterError) Error() string { return e.err.Error() }

func (e *retryAfterError) Unwrap() error { return e.err }

// BatchError tells which of a batch's events failed, by their index: of a
// PublishBatch, or as the error of an OnBatch handler. Events that it does not
// name succeeded.
//
// From a handler, an event behind a failed one of the same key counts as failed
// too, whatever the error says, and is handled again: anything else would give
// up the key's order.
type BatchError struct {
	Errors map[int]error
}

// Error names the first few.
func (e *BatchError) Error() string {
	const most = 3
	indexes := make([]int, 0, len(e.Errors))
	for i := range e.Errors {
		indexes = append(indexes, i)
	}
	slices.Sort(indexes)
	parts := make([]string, 0, most+1)
	for _, i := range indexes[:min(len(indexes), most)] {
		parts = append(parts, fmt.Sprintf("[%d] %v", i, e.Errors[i]))
	}
	if more := len(indexes) - most; more > 0 {
		parts = append(parts, fmt.Sprintf("and %d more", more))
	}
	return fmt.Sprintf("%d of the batch failed: %s", len(indexes), strings.Join(parts, "; "))
}

// Unwrap gives the errors, in order of their indexes.
func (e *BatchError) Unwrap() []error {
	errs := make([]error, 0, len(e.Errors))
	for _, i := range slices.Sorted(func(yield func(int) bool) {
		for i := range e.Errors {
			if !yield(i) {
				return
			}
		}
	}) {
		errs = append(errs, e.Errors[i])
	}
	return errs
}

// PanicError is a handler's panic as an error.
type PanicError struct {
	Value any
	Stack []byte
}

// Error shows the panic's value, not the stack.
func (e *PanicError) Error() string { return fmt.Sprintf("handler panicked: %v", e.Value) }

// Unwrap gives the value, if it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// rescue turns a panic into err.
func rescue(err *error) {
	if v := recover(); v != nil {
		*err = &PanicError{Value: v, Stack: debug.Stack()}
	}
}

// undecodableError is a record that no attempt can ever handle.
type undecodableError struct{ err error }

func (e *undecodableError) Error() string { return e.err.Error() }

func (e *undecodableError) Unwrap() error { return e.err }

// spread notes in failed what err says of a part of a batch whose events have those
// places in it. An error that is of all of the part it returns.
func spread(err error, at []int, failed map[int]error) error {
	marked, ok := errors.AsType[*BatchError](err)
	if !ok {
		return err
	}
	for i, e := range marked.Errors {
		if i < 0 || i >= len(at) {
			return fmt.Errorf("BatchError marks index %d of %d events", i, len(at))
		}
		failed[at[i]] = e
	}
	return nil
}
