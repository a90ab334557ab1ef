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

// Errors of the bus, for errors.Is. ErrSerialization is declared beside the codecs.
var (
	// ErrClosed: the bus is closed.
	ErrClosed = transport.ErrClosed
	// ErrCircuitOpen: the publishing circuit breaker of the partition's broker is open.
	// Nothing was written.
	ErrCircuitOpen = resilience.ErrOpen
	// ErrTopicMissing: the topic does not exist, and the bus may not create it.
	ErrTopicMissing = transport.ErrTopicMissing
	// ErrTooLarge: the event is larger than the cluster or the bus allows. The text has
	// both sizes. Nothing was written.
	ErrTooLarge = transport.ErrTooLarge
	// ErrBufferFull: the buffer of accepted, unacknowledged events had no room before
	// the context ended. Nothing was written.
	ErrBufferFull = transport.ErrBufferFull
	// ErrOutcomeUnknown: the event may or may not have been written. Publishing it again
	// publishes a second event.
	ErrOutcomeUnknown = transport.ErrOutcomeUnknown
)

// Error is the error of an operation of the bus. Its cause is intact for errors.Is and
// errors.As, and it never holds data of an event.
type Error struct {
	Op      string // "publish", "subscribe", "start", "drain", "close", …
	Topic   string // the full name, if one topic is concerned
	EventID string // if one event is concerned
	Err     error
}

// Error returns "eventbus: publish dev.sales.public.customers.v1 (event 0192…): cause".
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

// missingTopic is the error of missing topics that the bus may not create. Its cause
// adds nothing to the text, so that is left out.
type missingTopic struct {
	topics   []string
	existing []string // those of them that an Address without Create names
	cause    error
}

// Error names the topics and says what to do.
func (e *missingTopic) Error() string {
	text := "topics do not exist"
	if len(e.topics) == 1 {
		text = "topic does not exist"
	}
	text += " and auto-creation is disabled: create " + strings.Join(e.topics, ", ")
	if len(e.existing) < len(e.topics) {
		text += ", or set AutoProvision"
	}
	if len(e.existing) > 0 {
		text += "; " + strings.Join(e.existing, ", ") + " is an Address without Create, which must name a topic that exists: check its spelling"
	}
	return text
}

// Unwrap returns the cause.
func (e *missingTopic) Unwrap() error { return e.cause }

// Permanent marks an error that no retry can change: the event goes to the dead-letter
// topic at once. Permanent(nil) is nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

type permanentError struct{ err error }

func (e *permanentError) Error() string { return e.err.Error() }

func (e *permanentError) Unwrap() error { return e.err }

// RetryAfter marks an error to be retried after d instead of the policy's backoff; the
// policy still bounds attempts and time. RetryAfter(d, nil) is nil.
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

// Discard marks an error whose event is to be given up without a dead letter. The event
// is finished at once, counted in the metric eventbus.discarded and by Inspect, and the
// first one of each kind of error is logged. Nothing keeps the event, so use Discard only
// for events that nobody will miss.
//
// As with [Permanent], a mark in a [BatchError] concerns the events that it marks, and a
// mark around the error of a whole batch concerns all of them. Of two marks around one
// error the outer one counts; a mark joined with another error doesn't count. The circuit
// breaker ignores the attempt. Middleware sees it fail, so a transaction is rolled back.
// Discard(nil) is nil.
func Discard(err error) error {
	if err == nil {
		return nil
	}
	return &discardError{err}
}

type discardError struct{ err error }

func (e *discardError) Error() string { return e.err.Error() }

func (e *discardError) Unwrap() error { return e.err }

// BatchError is the error of an OnBatch handler that handled part of its batch: it marks
// the events that failed by their index. Unmarked events are handled, even those behind a
// marked one of the same key; a handler that stops at an event returns [StoppedAt]
// instead. An event marked Permanent goes to the dead-letter topic at once; any other is
// retried alone.
//
// The marks count only if the BatchError is the handler's error or the only error that
// it wraps. Joined with another error, or without an index of the batch, a BatchError
// fails the whole batch, as any other error does. PublishBatch returns a
// [PublishBatchError] instead: the outcome of published events says nothing about the
// events being handled.
type BatchError struct {
	// Errors has the errors of the failed events by index. Nil errors are ignored.
	Errors map[int]error

	stopped *stop
}

// stop is the event at which a handler stopped.
type stop struct {
	at  int
	err error
}

// StoppedAt returns the error of an OnBatch handler that handled the events before index
// i, failed at i with err, and did not try the rest. The event at i is retried or
// dead-lettered according to err; those behind it are handled again, one by one.
// StoppedAt(i, nil) is nil.
func StoppedAt(i int, err error) error {
	if err == nil {
		return nil
	}
	return &BatchError{stopped: &stop{i, err}}
}

// Of returns the error of the event at index i, or nil if the event was handled.
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

// untriedError is the error of an event behind the one at which its batch stopped.
type untriedError struct{ stopped int }

func (e *untriedError) Error() string {
	return fmt.Sprintf("not handled yet: the handler stopped at event %d of its batch", e.stopped)
}

// Error names the first few failed events.
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

// PublishBatchError is the error of PublishBatch and PublishEnvelopes: it has, by index,
// the events that were not published. All others were.
type PublishBatchError struct {
	// Errors has the *Error of each event that failed, by index.
	Errors map[int]error
}

// Error names the first few failed events.
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

// PanicError is a panic of a handler, or of another function given to the bus, as an
// error.
type PanicError struct {
	Value any    // passed to panic
	Stack []byte // of the goroutine that panicked

	text string // what Error returns
}

// Error says which function panicked, in which line, and with what value. It does not
// include the stack.
func (e *PanicError) Error() string {
	if e == nil || e.text == "" {
		return "handler panicked"
	}
	return e.text
}

// Unwrap returns the panic's value if that is an error, nil otherwise.
func (e *PanicError) Unwrap() error {
	if e == nil {
		return nil
	}
	err, _ := e.Value.(error)
	return err
}

// rescue turns a panic of the named function into err.
func rescue(err *error, what string) {
	v := recover()
	if v == nil {
		return
	}
	panicked := &PanicError{Value: v, Stack: debug.Stack()}
	// The value may change later, so take its text now.
	panicked.text = fmt.Sprintf("%s panicked at %s: %s", what, stack.Origin(panicked.Stack), stack.Value(v))
	*err = panicked
}

// undecodableError marks a record that no attempt can ever handle.
type undecodableError struct {
	err    error
	reason string // of its dead letter: malformed or undecodable
}

func (e *undecodableError) Error() string { return e.err.Error() }

func (e *undecodableError) Unwrap() error { return e.err }

// errorPolicy is what the options OnError and RetryWait decide about errors. The zero
// errorPolicy decides nothing. The options create the functions, so that programs without
// them don't link that code.
type errorPolicy struct {
	decide func(error) error // returns the marked error
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
// fault: none of these was tried by itself. Where an event that is discarded has
// published another one whose publish failed, decide is asked about that error alone. It is
// called concurrently, in the attempt's goroutine. Where it panics the event is retried.
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

// decided returns err with the mark that decide, from OnError, gives it. A panic says
// nothing about the event, so the event is retried, and its dead letter has both errors.
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
