package eventbus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/eventbus-go/eventbus/internal/errtree"
	"github.com/eventbus-go/eventbus/internal/eventid"
	"github.com/eventbus-go/eventbus/internal/wire"
)

// Delivery is one attempt to handle one event, or a batch of events of one partition. A
// Delivery and its envelopes are valid until the handler returns; their memory is then
// reused for the next attempt.
type Delivery struct {
	Topic   string // the full name
	Group   string
	Attempt int // from 1
	// Replay reports whether the events are read again by [Operator.Replay].
	Replay bool
	Events []*Envelope

	all    []*Envelope // Events as the bus has set them, in memory of its own
	batch  bool        // for an OnBatch handler, even with a single event
	derive deriver     // from the option DerivedIDs; nil without it
}

// Handler handles a delivery. Its error decides what happens next, as a typed handler's
// does.
type Handler func(context.Context, *Delivery) error

// Middleware wraps a Handler. It runs once per attempt, within the attempt's timeout; its
// panics are caught. Where one passes on other events of a batch than it got, or in another
// order, a [BatchError] about these fails the whole batch, unless the middleware returns one
// with the indexes of the batch instead. Copies, as of [Envelope.Clone], are the same events.
type Middleware func(Handler) Handler

// chain wraps h so that the first middleware is the outermost.
func chain(h Handler, middleware ...Middleware) (_ Handler, err error) {
	defer rescue(&err, "middleware")
	for i := len(middleware) - 1; i >= 0; i-- {
		if h = middleware[i](h); h == nil {
			return nil, fmt.Errorf("middleware %d of %d returned no handler", i+1, len(middleware))
		}
	}
	return h, nil
}

// checkMiddleware returns an error that names the first nil middleware.
func checkMiddleware(middleware []Middleware) error {
	for i, m := range middleware {
		if m == nil {
			return fmt.Errorf("middleware %d of %d is nil", i+1, len(middleware))
		}
	}
	return nil
}

// EnvelopeFrom returns the envelope of the event that a handler's context belongs to. It
// returns false outside of handlers, once the handler has returned, and in batch handlers,
// even for a batch of one: their Delivery has all envelopes.
func EnvelopeFrom(ctx context.Context) (*Envelope, bool) {
	d, ok := DeliveryFrom(ctx)
	if !ok || d.batch || len(d.Events) != 1 {
		return nil, false
	}
	return d.Events[0], true
}

// DeliveryFrom returns the delivery that a handler's context belongs to. It returns false
// outside of handlers and once the handler has returned. In a handler the delivery is the one
// that the last middleware passed on, without the events that Idempotent has taken out of a
// batch.
func DeliveryFrom(ctx context.Context) (*Delivery, bool) {
	s := scopeFrom(ctx)
	if s == nil {
		return nil, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return nil, false
	}
	return s.shown, true
}

type scopeKey struct{}

// scope is what a handler's context carries: the delivery, and the receipts of events that
// the handler publishes asynchronously.
type scope struct {
	context.Context
	delivery *Delivery
	values   context.Context // with the attempt's trace; nil without one
	group    string
	derive   deriver // nil in a replay, and without DerivedIDs
	replay   bool

	// published is set with the first receipt, so that an attempt without any takes no lock to
	// find that out.
	published atomic.Bool

	mu       sync.Mutex
	full     int32     // number of receipts at which succeeded ones are dropped
	shown    *Delivery // to the handler: delivery, or a middleware's replacement
	receipts []*receipt
	ended    bool                // the delivery's memory belongs to another attempt
	kept     parent              // of the ended attempt
	late     *lateReceipts       // for events published after the end; nil if nobody waits for them
	derived  map[eventid.Sum]int // number of events published so far, by the sum of their derived id
}

// cause is what events inherit from the event whose handler publishes them: its id becomes
// their causation id, its correlation id becomes theirs, and ids are derived from its origin.
type cause struct {
	id, correlation string
	origin          eventid.Origin
}

// parent holds the attributes of a delivery's event that a cause is made of. It is the zero
// value for a batch, which has no single event.
type parent struct {
	id, correlation, source string
	single                  bool
}

func parentOf(d *Delivery) parent {
	if d.batch || len(d.Events) != 1 {
		return parent{}
	}
	return parentIn(d.Events[0])
}

func parentIn(e *Envelope) parent { return parent{e.ID, e.CorrelationID, e.Source, true} }

func newScope(ctx context.Context, d *Delivery, late *lateReceipts) *scope {
	s := new(scope)
	s.begin(ctx, d, late)
	return s
}

// begin makes a new scope the scope of a delivery.
func (s *scope) begin(ctx context.Context, d *Delivery, late *lateReceipts) {
	s.Context, s.delivery, s.shown, s.late, s.group, s.replay = ctx, d, d, late, d.Group, d.Replay
	if !d.Replay {
		s.derive = d.derive
	}
}

// end marks the attempt as ended. Goroutines started by the handler may still publish in its
// context; their cause is made of what is kept here, since the delivery's memory now belongs to
// the next attempt.
func (s *scope) end() {
	s.mu.Lock()
	s.kept, s.ended = parentOf(s.delivery), true
	s.mu.Unlock()
}

// cause returns the cause of events published in ctx, a context of this scope.
func (s *scope) cause(ctx context.Context) cause {
	if chosen, ok := ctx.Value(causeKey{}).(*cause); ok {
		return *chosen
	}
	s.mu.Lock()
	from := s.kept
	if !s.ended {
		from = parentOf(s.shown)
	}
	s.mu.Unlock()
	return s.causeOf(from)
}

// causeOf returns an event as a cause, and the zero value for a batch. It omits what can't be an
// attribute of a published event; otherwise a handler could never publish for a foreign event
// with a control character in its id.
func (s *scope) causeOf(p parent) cause {
	if !p.single {
		return cause{}
	}
	return cause{inheritable(p.id), inheritable(p.correlation), eventid.Origin{Group: s.group, Source: p.source, ID: p.id}}
}

// maxInherited bounds each attribute inherited from a foreign event, in bytes.
const maxInherited = 1 << 10

func inheritable(id string) string {
	if len(id) > maxInherited || wire.CheckText(id) != nil {
		return ""
	}
	return id
}

// passOn makes d, which a middleware has passed to the typed handler, the delivery shown by
// the handler's context until the returned function is called.
func (s *scope) passOn(d *Delivery) (back func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.shown
	d.batch = before.batch
	s.shown = d
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.shown = before
	}
}

// part returns a delivery of the events at the given indexes of the shown one.
func (s *scope) part(at []int) *Delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := *s.shown
	d.Events = make([]*Envelope, len(at))
	for i, j := range at {
		d.Events[i] = s.shown.Events[j]
	}
	return &d
}

// Value returns the scope itself, or a value of the attempt's context.
func (s *scope) Value(key any) any {
	if _, ok := key.(scopeKey); ok {
		return s
	}
	if s.values != nil {
		return s.values.Value(key)
	}
	return s.Context.Value(key)
}

// AfterFunc implements the method that package context looks for in a parent. With it, a
// context derived from a handler's costs no goroutine.
func (s *scope) AfterFunc(f func()) func() bool {
	if c, ok := s.Context.(interface{ AfterFunc(func()) func() bool }); ok {
		return c.AfterFunc(f)
	}
	return context.AfterFunc(s.Context, f)
}

// scopeFrom returns the scope that a context belongs to, nil outside of
// handlers.
func scopeFrom(ctx context.Context) *scope {
	s, _ := ctx.Value(scopeKey{}).(*scope)
	return s
}

// addReceipt adds a receipt to the attempt, which fails if the receipt's event does. An
// attempt that has ended can't fail any more, so the receipt is then added to the group's
// late ones, which are waited for before the last commit.
func (s *scope) addReceipt(r *receipt) {
	s.mu.Lock()
	late := s.late
	if !s.ended {
		late = nil
		// A handler may publish endlessly, and receipts of written events are not needed here.
		if len(s.receipts) >= max(int(s.full), lateLeast) {
			s.receipts = slices.DeleteFunc(s.receipts, (*receipt).succeeded)
			s.full = int32(min(2*len(s.receipts), math.MaxInt32)) //nolint:gosec // bounded
		}
		s.receipts = append(s.receipts, r)
		s.published.Store(true)
	}
	s.mu.Unlock()
	if late != nil {
		late.add(r)
	}
}

// lateReceipts are the receipts of events that goroutines of a group's handlers published, in
// the handlers' contexts, after the handlers had returned. It is safe for concurrent use. It
// keeps at most twice as many as are unacknowledged, which the producer's buffer bounds.
type lateReceipts struct {
	mu      sync.Mutex
	pending []*receipt
	full    int // length at which finished receipts are dropped
}

// lateLeast is the number of receipts below which finished ones are not looked for, here and in
// a scope.
const lateLeast = 64

func (l *lateReceipts) add(r *receipt) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.pending) >= max(l.full, lateLeast) {
		l.pending = slices.DeleteFunc(l.pending, (*receipt).isDone)
		l.full = 2 * len(l.pending)
	}
	l.pending = append(l.pending, r)
}

// wait waits, as long as ctx allows, for every receipt added before the call, and returns the
// errors of the events that failed.
func (l *lateReceipts) wait(ctx context.Context) error {
	l.mu.Lock()
	pending := l.pending
	l.pending = nil
	l.mu.Unlock()
	var failed []error
	for _, r := range pending {
		if _, err := r.wait(ctx); err != nil {
			failed = append(failed, err)
		}
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(failed...)
}

// settle waits for the attempt's receipts if err is nil, or leaves events behind that count as
// handled: those that a BatchError doesn't mark, and discarded ones. With any other error all
// events come back or become dead letters, so it returns err at once. A receipt that failed
// fails the whole attempt.
func (s *scope) settle(err error) error {
	if err != nil && !ends(err) {
		return err
	}
	failed := s.waitReceipts()
	if err == nil || failed == nil {
		return cmp.Or(failed, err)
	}
	return &unpublished{err, failed}
}

// unpublished is the error of an attempt that the failed publish of an event brings back. It
// is judged as the publish's error: neither the handler's marks count nor what OnError makes of
// its error.
type unpublished struct{ err, failed error }

// Error has both texts.
func (e *unpublished) Error() string { return errors.Join(e.err, e.failed).Error() }

// Unwrap returns the publish's error.
func (e *unpublished) Unwrap() error { return e.failed }

// ends reports whether a handler's error may leave events behind that do not come back. It
// reports false for an error whose methods panic, which is judged later.
func ends(err error) (may bool) {
	defer func() { _ = recover() }()
	for e := range errtree.Chain(err) {
		switch e.(type) { //nolint:errorlint // the chain is walked here
		case *BatchError, *discardError:
			return true
		}
	}
	return false
}

// waitReceipts waits for the attempt's receipts, including those added meanwhile. It returns the
// first error.
func (s *scope) waitReceipts() error {
	if !s.published.Load() {
		return nil
	}
	for {
		s.mu.Lock()
		if len(s.receipts) == 0 {
			s.mu.Unlock()
			return nil
		}
		r := s.receipts[0]
		s.receipts = s.receipts[1:]
		s.mu.Unlock()
		if _, err := r.wait(s.Context); err != nil {
			return err
		}
	}
}

// Number, Len and Event describe the attempt to telemetry.
func (s *scope) Number() int { return s.delivery.Attempt }

func (s *scope) Len() int { return len(s.delivery.Events) }

func (s *scope) Event(i int) *wire.Event { return (*wire.Event)(s.delivery.Events[i]) }
