package eventbus

import (
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/eventbus-go/eventbus/internal/errtree"
	"github.com/eventbus-go/eventbus/internal/stack"
	"github.com/eventbus-go/eventbus/internal/telemetry"
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
	// ErrBufferFull: the buffer of what is accepted and not acknowledged had no room
	// until the context ended. Nothing was written.
	ErrBufferFull = transport.ErrBufferFull
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
	if e == nil {
		return "eventbus: no error"
	}
	var b strings.Builder
	b.WriteString("eventbus: ")
	b.WriteString(e.Op)
	if e.Topic != "" {
		b.WriteString(" " + e.Topic)
	}
	if e.EventID != "" {
		b.WriteString(" (event " + telemetry.ClippedName(e.EventID) + ")")
	}
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error {
	if e == nil {
		return nil
	}
	return e.Err
}

func publishError(topic, id string, err error) error {
	return &Error{Op: "publish", Topic: topic, EventID: id, Err: err}
}

// missingTopic is the error of topics that do not exist, and that the bus may not
// create. Its cause says no more, so its text is left out.
type missingTopic struct {
	topics []string
	cause  error
}

// Error says what to do.
func (e *missingTopic) Error() string {
	if len(e.topics) == 1 {
		return "Topic does not exist and auto-creation is disabled: create " + e.topics[0] + ", or set AutoProvision"
	}
	return "Topics do not exist and auto-creation is disabled: create " + strings.Join(e.topics, ", ") + ", or set AutoProvision"
}

// Unwrap returns the cause.
func (e *missingTopic) Unwrap() error { return e.cause }

// Permanent marks an error that no retry can change: the event goes to the
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

// Discard marks an error whose event is given up without a dead letter: it is
// finished at once, counted in the metric eventbus.discarded and by Inspect, and the
// first of each kind of error is logged. Nothing keeps it, so it is for events that
// nobody will miss. In a [BatchError] it holds for the events that it marks, and as the
// error of a whole batch for all of them, as [Permanent] does; of two marks around one
// error the outer one counts, and joined with another error neither does. The circuit
// breaker does not count such an attempt. Middleware sees a failed attempt, so a
// transaction is rolled back. Discard(nil) is nil.
func Discard(err error) error {
	if err == nil {
		return nil
	}
	return &discardError{err}
}

type discardError struct{ err error }

func (e *discardError) Error() string { return e.err.Error() }

func (e *discardError) Unwrap() error { return e.err }

// BatchError is the error of an OnBatch handler that handled a part of its batch:
// it marks the events that failed by their index. Events that it does not mark
// are handled, also those behind a marked one of the same key; a handler that
// stops at an event says so with [StoppedAt]. An event marked Permanent goes to
// the dead-letter topic at once, any other is tried again by itself.
//
// It marks events only when it is the handler's error or the one error that this
// wraps. Joined with another error, or without an index of the batch, it fails
// the whole batch, as every other error does. The error of PublishBatch is a
// [PublishBatchError]: what became of published events says nothing of the
// events handled.
type BatchError struct {
	// Errors has the errors of the failed events by index. Nil errors count
	// for nothing.
	Errors map[int]error

	stopped *stop
}

// stop is where a handler stopped.
type stop struct {
	at  int
	err error
}

// StoppedAt is the error of an OnBatch handler that handled the events before
// index i, failed at i with err, and did not try those behind it: the event at i
// follows err, and those behind it are handled again, one by one. StoppedAt(i,
// nil) is nil.
func StoppedAt(i int, err error) error {
	if err == nil {
		return nil
	}
	return &BatchError{stopped: &stop{i, err}}
}

// Of returns the error of the event at index i, or nil if the event is handled.
func (e *BatchError) Of(i int) error {
	switch {
	case e == nil:
		return nil
	case e.stopped == nil || i < e.stopped.at:
		return e.Errors[i]
	case i == e.stopped.at:
		return e.stopped.err
	}
	return &untriedError{e.stopped.at}
}

// untriedError is the error of an event behind the one that its batch stopped at.
type untriedError struct{ stopped int }

func (e *untriedError) Error() string {
	return fmt.Sprintf("not handled yet: the handler stopped at event %d of its batch", e.stopped)
}

// Error names the first few.
func (e *BatchError) Error() string {
	if e == nil {
		return "no event of the batch failed"
	}
	if e.stopped != nil {
		return fmt.Sprintf("stopped at event %d of the batch: %v", e.stopped.at, e.stopped.err)
	}
	return fmt.Sprintf("%d of the batch failed: %s", len(e.Errors), firstFew(e.Errors))
}

// Unwrap returns the errors, in order of their indexes.
func (e *BatchError) Unwrap() []error {
	switch {
	case e == nil:
		return nil
	case e.stopped != nil:
		return []error{e.stopped.err}
	}
	return inOrder(e.Errors)
}

// PublishBatchError is the error of PublishBatch and PublishEnvelopes: it says
// which of the events were not published, by their index. All others were.
type PublishBatchError struct {
	// Errors has the *Error of each event that failed, by index.
	Errors map[int]error
}

// Error names the first few.
func (e *PublishBatchError) Error() string {
	if e == nil {
		return "no event of the batch failed"
	}
	return fmt.Sprintf("%d of the batch were not published: %s", len(e.Errors), firstFew(e.Errors))
}

// Unwrap returns the errors, in order of their indexes.
func (e *PublishBatchError) Unwrap() []error {
	if e == nil {
		return nil
	}
	return inOrder(e.Errors)
}

func firstFew(errs map[int]error) string {
	const most = 3
	indexes := slices.Sorted(maps.Keys(errs))
	parts := make([]string, 0, most+1)
	for _, i := range indexes[:min(len(indexes), most)] {
		parts = append(parts, fmt.Sprintf("[%d] %v", i, errs[i]))
	}
	if more := len(indexes) - most; more > 0 {
		parts = append(parts, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(parts, "; ")
}

func inOrder(errs map[int]error) []error {
	ordered := make([]error, 0, len(errs))
	for _, i := range slices.Sorted(maps.Keys(errs)) {
		ordered = append(ordered, errs[i])
	}
	return ordered
}

// PanicError is a handler's panic as an error, or that of another function that the
// bus was given.
type PanicError struct {
	Value any    // what panic was called with
	Stack []byte // of the goroutine that panicked

	text string // what Error returns
}

// Error says which function panicked, in which line, and with what value. It has not
// the whole stack.
func (e *PanicError) Error() string {
	if e == nil || e.text == "" {
		return "handler panicked"
	}
	return e.text
}

// Unwrap returns the value, if it is an error.
func (e *PanicError) Unwrap() error {
	if e == nil {
		return nil
	}
	err, _ := e.Value.(error)
	return err
}

// rescue turns a panic of the function that what names into err.
func rescue(err *error, what string) {
	v := recover()
	if v == nil {
		return
	}
	panicked := &PanicError{Value: v, Stack: debug.Stack()}
	// The value may change after this, so its text is taken now.
	panicked.text = fmt.Sprintf("%s panicked at %s: %s", what, stack.Origin(panicked.Stack), stack.Value(v))
	*err = panicked
}

// undecodableError is a record that no attempt can ever handle.
type undecodableError struct {
	err    error
	reason string // of its dead letter: malformed or undecodable
}

func (e *undecodableError) Error() string { return e.err.Error() }

func (e *undecodableError) Unwrap() error { return e.err }

// errorPolicy is what the options OnError and RetryWait say about errors. The zero
// errorPolicy leaves them as they are. The options make the functions, so that a program
// without them does not link what is around them.
type errorPolicy struct {
	decide func(error) error // returns the error with its mark
	wait   func(attempt int, err error) (wait time.Duration, panicked error)
}

// RetryWait sets how long to wait after a failed attempt, in place of the retry
// policy's exponential waits: resilience.Constant, resilience.Steps, or a function of
// the attempt, which counts from 1, and its error. The policy still bounds attempts and
// time, and cuts the last wait to end with it; RetryAfter still chooses a wait of its
// own. A wait is at least a millisecond. wait is called concurrently; where it panics,
// the policy's own wait applies.
func RetryWait(wait func(attempt int, err error) time.Duration) SubscribeOption {
	return subscribeOption(func(s *subscribeSettings) {
		if wait == nil {
			s.fault("RetryWait: the function is nil: use resilience.Constant, or leave the option out")
		}
		s.policy.wait = func(attempt int, err error) (d time.Duration, panicked error) {
			defer rescue(&panicked, "the function of RetryWait")
			return max(wait(attempt, err), leastWait), nil
		}
	})
}

// OnError has decide say what becomes of the subscription's events by their errors,
// which it returns with the mark that they are to have: [Permanent], [RetryAfter],
// [Discard], or none. Nil leaves an error as it is: nothing is handled by it. The marks
// of the handler are in the error that decide gets, and an outer one counts.
//
// decide is asked about each failed event alone, after all middleware: about a panic
// (*PanicError), a timeout, and data that can't be decoded too. It is not asked about
// the error of a whole batch, whose events are tried one by one, about events behind
// the one that a batch stopped at, nor where only an open breaker of publishing is at
// fault: none of these was tried by itself. It is called concurrently, in the attempt's
// goroutine. Where it panics the event is retried.
func OnError(decide func(err error) error) SubscribeOption {
	return subscribeOption(func(s *subscribeSettings) {
		if decide == nil {
			s.fault("OnError: the function is nil")
		}
		s.policy.decide = func(err error) error { return decided(decide, err) }
	})
}

// leastWait is that of RetryWait: a function that returns nothing must not spin.
const leastWait = time.Millisecond

// decided returns the error with the mark that decide, of OnError, gives it. A panic says nothing
// about the event, so it is retried, and its dead letter has both errors.
func decided(decide func(error) error, err error) error {
	if errtree.Only(err, ErrCircuitOpen) {
		return err
	}
	marked, panicked := err, error(nil)
	func() {
		defer rescue(&panicked, "the function of OnError")
		if m := decide(err); m != nil {
			marked = m
		}
	}()
	if panicked != nil {
		return fmt.Errorf("%w; it was asked about: %w", panicked, err)
	}
	return marked
}
