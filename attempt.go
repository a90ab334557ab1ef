package eventbus

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"runtime/debug"
	"slices"

	"github.com/eventbus-go/eventbus/internal/engine"
	"github.com/eventbus-go/eventbus/internal/errtree"
	"github.com/eventbus-go/eventbus/internal/letter"
	"github.com/eventbus-go/eventbus/internal/telemetry"
	"github.com/eventbus-go/eventbus/internal/wire"
	"github.com/eventbus-go/eventbus/resilience"
)

// scratch is memory that the attempts of one worker use in turn, so that an attempt allocates
// no envelopes. A handler may keep its context, which is a scope, so each scope is used only
// once; one that is kept keeps all that were allocated with it in memory. Access to the delivery
// ends with the attempt.
type scratch struct {
	delivery  Delivery
	envelopes []Envelope
	events    []*Envelope
	all       []*Envelope // the same, where no middleware changes them
	scopes    []scope     // unused
	decoder   wire.Decoder
}

// scopesAtOnce is the number of scopes allocated together: about 2 KiB.
const scopesAtOnce = 16

// scope returns an unused scope.
func (m *scratch) scope() *scope {
	if len(m.scopes) == 0 {
		m.scopes = make([]scope, scopesAtOnce)
	}
	s := &m.scopes[0]
	m.scopes = m.scopes[1:]
	return s
}

// scratchFor returns the worker's scratch memory, with n envelopes.
func scratchFor(a *engine.Attempt, n int) *scratch {
	m, ok := a.Scratch.(*scratch)
	if !ok {
		m = new(scratch)
		a.Scratch = m
	}
	if cap(m.envelopes) < n {
		m.envelopes, m.events, m.all = make([]Envelope, n), make([]*Envelope, n), make([]*Envelope, n)
	}
	m.envelopes, m.events, m.all = m.envelopes[:n], m.events[:n], m.all[:n]
	for i := range m.events {
		m.events[i], m.all[i] = &m.envelopes[i], &m.envelopes[i]
	}
	return m
}

// handling is a subscription's handler with all its middleware, and the policies of its
// options.
type handling struct {
	handler Handler
	kind    kind
	policy  errorPolicy
	derive  deriver
}

// handle decodes the records of an attempt and calls the handler; it is Subscription.Handle of
// the engine. In a batch, records that are not events fail alone, and the others are handled.
// Its errors are *attemptError, which judgeAttempt reads.
func (b *Bus) handle(ctx context.Context, g *group, h *handling, a *engine.Attempt) error {
	m := scratchFor(a, len(a.Records))
	// A worker waiting for its next attempt must not keep fetched memory.
	defer func() { clear(m.envelopes) }()
	m.delivery = Delivery{Topic: a.Records[0].Topic, Group: g.name, Attempt: a.Number, Replay: g.replay, Events: m.events, all: m.all, batch: h.kind == batched, derive: h.derive}
	signals := g.signals.Topics[m.delivery.Topic]
	var failed map[int]*attemptError
	for i, r := range a.Records {
		e := m.events[i]
		if err := letter.DecodeBy(&m.decoder, signals.Form, r, (*wire.Event)(e)); err != nil {
			signals.Unreadable(r, err)
			unreadable := newAttemptError(&undecodableError{err, letter.ReasonMalformed}, 1, single)
			if len(a.Records) == 1 {
				return unreadable
			}
			if failed == nil {
				failed = make(map[int]*attemptError)
			}
			failed[i] = unreadable
		}
		e.AssignmentEpoch = a.Epoch
	}
	if failed != nil {
		return handleRest(ctx, signals, &m.delivery, h, failed, &g.late)
	}
	s := m.scope()
	s.begin(ctx, &m.delivery, &g.late)
	defer s.end()
	if err := observed(signals, s, h); err != nil {
		return err
	}
	return nil
}

// handleRest handles a batch without the records in failed, and maps the handler's errors to
// the indexes of the whole batch.
func handleRest(ctx context.Context, signals *telemetry.ProcessSignals, d *Delivery, h *handling, failed map[int]*attemptError, late *lateReceipts) error {
	rest := *d
	rest.Events = nil
	var at []int
	for i, e := range d.Events {
		if failed[i] == nil {
			rest.Events, at = append(rest.Events, e), append(at, i)
		}
	}
	rest.all = slices.Clone(rest.Events)
	if len(rest.Events) > 0 {
		s := newScope(ctx, &rest, late)
		defer s.end()
		err := observed(signals, s, h)
		switch {
		case err == nil:
		case err.marks != nil:
			for i, e := range err.marks {
				failed[at[i]] = e
			}
		case err.verdict.Kind == engine.Retry || err.verdict.Kind == engine.Wait:
			return err
		default: // final for the events passed to the handler, not for the others
			for _, i := range at {
				failed[i] = err
			}
		}
	}
	return newMarks(failed, len(d.Events), fmt.Sprintf("%d of %d records are not handled", len(failed), len(d.Events)))
}

// observed calls the handler once and reports the attempt. The handler is called here, not by
// telemetry, which only watches.
func observed(signals *telemetry.ProcessSignals, s *scope, h *handling) *attemptError {
	t, values := signals.Start(s.Context, s)
	if values != nil {
		s.values = values
	}
	returned := false
	defer func() {
		if !returned { // the handler called runtime.Goexit
			err := engine.NewGoexit()
			t.End(err, letter.ReasonPanic, err.Stack)
		}
	}()
	cause := call(s, h.handler)
	err := h.policy.of(cause, len(s.delivery.Events), h.kind, s.delivery.Attempt)
	if err != nil && err.verdict.Kind == engine.Discard { // perhaps by OnError, which call doesn't see
		if failed := s.waitReceipts(); failed != nil {
			err = h.policy.of(&unpublished{cause, failed}, len(s.delivery.Events), h.kind, s.delivery.Attempt)
		}
	}
	returned = true
	if err == nil {
		t.End(nil, "", nil)
		return nil
	}
	t.End(err, err.class, err.verdict.Stack)
	return err
}

// attemptError is the outcome of a failed attempt. Everything that the bus needs to know about
// the user's error is taken from it once, while panics are caught: the error's methods may
// panic, block or change their results, so they are not called later.
type attemptError struct {
	verdict engine.Verdict
	class   string // the error.type of telemetry
	cause   error  // what the handler returned, for callers that examine it
	text    string
	marks   map[int]*attemptError // of the events of a batch that failed; nil if all did
}

// Error returns the text of the user's error.
func (e *attemptError) Error() string { return e.text }

// withCause returns err with the handler's own error as its cause, for callers that want to
// examine it.
func withCause(err error) error {
	e, ok := errors.AsType[*attemptError](err)
	if !ok || e.cause == nil {
		return err
	}
	return errtree.Worded(err.Error(), e.cause)
}

// newAttemptError returns the meaning of err for the n events of an attempt, or nil for a nil
// error.
func newAttemptError(err error, n int, k kind) *attemptError { return errorPolicy{}.of(err, n, k, 0) }

// of returns the meaning of err, or nil for a nil error. It catches panics of the error's
// methods and of the policy's functions. attempt is 0 if no wait follows.
func (p errorPolicy) of(err error, n int, k kind, attempt int) (e *attemptError) {
	if err == nil {
		return nil
	}
	defer func() {
		if v := recover(); v != nil {
			e = &attemptError{
				verdict: engine.Verdict{Kind: engine.Retry, Reason: letter.ReasonPanic, Stack: debug.Stack(), Breaker: resilience.Failure},
				class:   letter.ReasonPanic,
				text:    fmt.Sprintf("the handler returned an error of type %T, whose methods panic", err),
			}
		}
	}()
	if k == batched {
		if marks := p.marksOf(err, n, attempt); len(marks) > 0 {
			return newMarks(marks, n, telemetry.Clipped(err.Error(), telemetry.MaxErrorText))
		}
	}
	if n == 1 && p.decide != nil {
		err = p.decide(err)
	}
	e = &attemptError{verdict: judge(err), text: telemetry.Clipped(err.Error(), telemetry.MaxErrorText), cause: err}
	if e.class = e.verdict.Reason; e.class == letter.ReasonHandler {
		e.class = telemetry.ErrorClass(err)
	}
	if e.verdict.Kind == engine.Discard {
		e.verdict.Reason = e.class
	}
	if p.wait != nil && attempt > 0 && e.verdict.Kind == engine.Retry {
		wait, panicked := p.wait(attempt, err)
		if panicked != nil {
			e.text = telemetry.Clipped(panicked.Error()+"; it was asked about: "+e.text, telemetry.MaxErrorText)
		} else {
			e.verdict.Wait = wait
		}
	}
	return e
}

// newMarks returns the error of a batch of n events, some of which failed. To the breaker the
// batch is a success if others were handled, since what they need works. Otherwise it is a
// failure if that of any event is.
func newMarks(marks map[int]*attemptError, n int, text string) *attemptError {
	e := &attemptError{marks: marks, text: text}
	e.verdict = engine.Verdict{
		Kind:   engine.Retry,
		Reason: letter.ReasonHandler,
		Each: func(i int) error {
			if e := marks[i]; e != nil {
				return e
			}
			return nil
		},
		Breaker: resilience.Success,
	}
	if len(marks) == n {
		e.verdict.Breaker = resilience.Ignored
	}
	for i, at := range slices.Sorted(maps.Keys(marks)) {
		if i == 0 {
			e.class = marks[at].class
		}
		if len(marks) == n && marks[at].verdict.Breaker == resilience.Failure {
			e.verdict.Breaker = resilience.Failure
		}
	}
	return e
}

// marksOf returns what a handler's error says about single events of its batch of n. The error
// must be a *BatchError or wrap nothing else: an error joined with another concerns the whole
// batch. Permanent, RetryAfter or Discard around it applies to each event that it marks. The
// policy sets the wait only for a batch of one.
func (p errorPolicy) marksOf(err error, n, attempt int) map[int]*attemptError {
	if n > 1 {
		attempt = 0
	}
	marks := make(map[int]*attemptError)
	for i, e := range eachOf(err, n) {
		if untried(e) {
			marks[i] = newAttemptError(e, 1, single)
		} else {
			marks[i] = p.of(e, 1, single, attempt)
		}
	}
	return marks
}

// eachOf yields the errors of single events that an error marks in a batch of n, each wrapped
// in the marks around the whole. Those marks don't apply to an event that was not tried.
func eachOf(err error, n int) iter.Seq2[int, error] {
	var batch *BatchError
	var mark error // around batch; the outermost counts
	for e := range errtree.Chain(err) {
		if b, ok := e.(*BatchError); ok { //nolint:errorlint // the chain is walked here
			batch = b
			break // deeper marks concern single events
		}
		if mark == nil && isMark(e) {
			mark = e
		}
	}
	around := func(e error) error {
		switch m := mark.(type) { //nolint:errorlint // the mark itself
		case *permanentError:
			return Permanent(e)
		case *discardError:
			return Discard(e)
		case *retryAfterError:
			return RetryAfter(m.after, e)
		}
		return e
	}
	return func(yield func(int, error) bool) {
		for i := range n {
			e := batch.Of(i)
			if e == nil {
				continue
			}
			if !untried(e) {
				e = around(e)
			}
			if !yield(i, e) {
				return
			}
		}
	}
}

// untried reports whether an error says that its event was not tried, so that no mark and no
// policy applies to it.
func untried(err error) bool {
	_, ok := err.(*untriedError) //nolint:errorlint // as BatchError.Of makes it: user code has not wrapped it
	return ok
}

// judgeAttempt returns the verdict stored in an attempt's error.
func judgeAttempt(err error) engine.Verdict {
	if e, ok := err.(*attemptError); ok { //nolint:errorlint // never wrapped
		return e.verdict
	}
	return engine.Verdict{Kind: engine.Retry, Reason: letter.ReasonHandler, Breaker: resilience.Failure}
}

// judge returns what the error of one event means to the engine. A mark or sentinel that
// directs the bus counts only if it is the whole error. A Permanent joined with a failed
// rollback, or an open breaker that refused one of two publishes, leaves another error, and
// that one is for the retry policy.
//
// The breaker counts what may be a dependency's fault. That excludes a cancellation, an event
// that can't be decoded, and one that the handler refuses permanently.
func judge(err error) engine.Verdict {
	mark := outerMark(err)
	if _, ok := mark.(*discardError); ok { //nolint:errorlint // the mark itself
		return engine.Verdict{Kind: engine.Discard, Reason: letter.ReasonHandler, Breaker: resilience.Ignored}
	}
	if unreadable, ok := errtree.Alone[*undecodableError](err); ok {
		return engine.Verdict{Kind: engine.Dead, Reason: unreadable.reason, Breaker: resilience.Ignored}
	}
	if _, ok := mark.(*permanentError); ok { //nolint:errorlint // the mark itself
		return engine.Verdict{Kind: engine.Dead, Reason: letter.ReasonPermanent, Breaker: resilience.Ignored}
	}
	if errtree.Only(err, ErrCircuitOpen) {
		return engine.Verdict{Kind: engine.Wait, Reason: letter.ReasonHandler, Breaker: resilience.Ignored}
	}
	if after, ok := mark.(*retryAfterError); ok { //nolint:errorlint // the mark itself
		return engine.Verdict{Kind: engine.Retry, After: after.after, Reason: letter.ReasonHandler, Breaker: resilience.Failure}
	}
	if panicked, ok := errtree.Alone[*PanicError](err); ok && panicked != nil {
		return engine.Verdict{Kind: engine.Retry, Reason: letter.ReasonPanic, Stack: panicked.Stack, Breaker: resilience.Failure}
	}
	switch {
	case errtree.Only(err, context.DeadlineExceeded):
		return engine.Verdict{Kind: engine.Retry, Reason: letter.ReasonTimeout, Breaker: resilience.Failure}
	case errtree.Only(err, context.Canceled):
		return engine.Verdict{Kind: engine.Retry, Reason: letter.ReasonHandler, Breaker: resilience.Ignored}
	}
	return engine.Verdict{Kind: engine.Retry, Reason: letter.ReasonHandler, Breaker: resilience.Failure}
}

// outerMark returns the mark that counts, nil if there is none. Of several marks around one
// error, the outermost counts: OnError's, if it has set one.
func outerMark(err error) error {
	for e := range errtree.Chain(err) {
		if isMark(e) {
			return e
		}
	}
	return nil
}

func isMark(err error) bool {
	switch err.(type) { //nolint:errorlint // the chain is walked by the caller
	case *discardError, *permanentError, *retryAfterError:
		return true
	}
	return false
}
