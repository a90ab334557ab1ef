package eventbus

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eventbus-go/eventbus/internal/brokergate"
	"github.com/eventbus-go/eventbus/internal/telemetry"
	"github.com/eventbus-go/eventbus/resilience"
	"github.com/eventbus-go/eventbus/transport"
)

// Bus publishes and handles the events of one service on one cluster.
//
// Create one with New; then call NewPublisher, Use and Add in any order, Start, Drain and
// Close, or Run in place of the last three. Publishers work as soon as New returns. All
// methods are safe for concurrent use. The bus owns its transport and closes it.
type Bus struct {
	// config is checked and complete, and never changes.
	config    resolved
	transport transport.Transport
	producer  transport.Producer
	signals   *telemetry.Signals
	byType    typeTable
	// partitions has the topics whose keys another partitioner spreads.
	partitions partitioners
	awaited    awaitedPool

	// life holds a value while Start, Drain or Close runs. It is a channel, not a mutex,
	// so that waiting callers can give up when their contexts end.
	life chan struct{}
	// closing ends when Close is called; Start then gives up.
	closing context.Context
	end     context.CancelFunc
	// state is one of the states below and only increases.
	state atomic.Int32

	// mu guards the fields below. It is held briefly, never while waiting.
	mu sync.Mutex
	// starting means that Start is running: nothing may be added.
	starting   bool
	topics     registry
	middleware []Middleware
	groups     map[string]*group
	replays    map[*group]struct{}    // running
	replaying  atomic.Bool            // ReplayGroup is running; not guarded by mu
	breakers   map[string]*dependency // shared breakers, by name
	publishing brokergate.Breakers

	lettersOnce sync.Once
	// letters is the producer of dead letters, which no breaker guards. It is nil until
	// the first dead letter.
	letters    transport.Producer
	lettersErr error

	// background runs what a degraded start keeps retrying; stop ends it.
	background sync.WaitGroup
	stop       context.CancelFunc
	stopped    context.Context
}

// States of a bus.
const (
	stateNew int32 = iota
	stateStarted
	stateDrained
	stateClosed
)

// New returns a bus on a transport: kafka.New(…), or memory.New() in tests. It does not
// connect yet. The error names every invalid field of the configuration.
func New(t transport.Transport, config Config) (*Bus, error) {
	r, err := config.resolve()
	if err == nil && t == nil {
		err = &Error{Op: "configure", Err: errors.New("the transport is nil: make one with kafka.New, or memory.New in tests")}
	}
	if err != nil {
		return nil, err
	}
	b := &Bus{
		config:    r,
		byType:    r.byType,
		transport: t,
		groups:    make(map[string]*group),
		replays:   make(map[*group]struct{}),
		breakers:  make(map[string]*dependency),
		life:      make(chan struct{}, 1),
	}
	b.closing, b.end = context.WithCancel(context.Background())
	b.stopped, b.stop = context.WithCancel(context.Background())
	b.publishing.Config = config.PublishBreaker
	b.publishing.Changed = b.publishBreakerChanged
	b.signals = telemetry.NewSignals(telemetry.SignalsConfig{Name: r.Name, Logger: r.Logger, TracerProvider: r.TracerProvider, MeterProvider: r.MeterProvider, Propagator: r.Propagator}, b.publishing.States)
	producer := r.Producer
	producer.Gate, producer.Partitioner = &b.publishing, b.partitions.Of
	if b.producer, err = t.NewProducer(producer); err != nil {
		return nil, &Error{Op: "configure", Err: errors.Join(err, b.signals.Close())}
	}
	// The bus is complete, so a watcher may use it.
	if w, ok := t.(interface{ Watch(*Bus) }); ok {
		w.Watch(b) // kafkatest's transports know the buses created on them
	}
	return b, nil
}

// Use adds middleware around the handlers of all subscriptions; the first is the
// outermost. Call it before Start, in any order with Add.
func (b *Bus) Use(middleware ...Middleware) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	err := checkMiddleware(middleware)
	if b.hasBegun() {
		err = errors.New("the bus has been started: add middleware before")
	}
	if err != nil {
		return &Error{Op: "use middleware", Err: err}
	}
	b.middleware = append(b.middleware, middleware...)
	return nil
}

// Add registers subscriptions, in any order, before Start. The error names every refused
// subscription; if there is one, none is added.
func (b *Bus) Add(subscriptions ...Subscription) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.hasBegun() {
		return &Error{Op: "subscribe", Err: errors.New("the bus has been started: add subscriptions before")}
	}
	var wrong []error
	var undo []func()
	for _, s := range subscriptions {
		back, err := b.add(s.s)
		if err != nil {
			wrong = append(wrong, err)
			continue
		}
		undo = append(undo, back)
	}
	// Undo in reverse: each undo relies on its subscription being the last.
	if len(wrong) > 0 {
		for _, back := range slices.Backward(undo) {
			back()
		}
	}
	return errors.Join(wrong...)
}

// hasBegun reports whether Start was called and has not failed. The caller holds mu.
func (b *Bus) hasBegun() bool { return b.starting || b.state.Load() != stateNew }

// Start checks that the cluster answers and the topics exist, and joins the groups. It
// returns before partitions are assigned; Health reports the bus ready once they are.
// ctx bounds the start only. Close interrupts it.
//
// Start fails if no broker answers within ctx or a topic is missing. With
// Config.StartDegraded it keeps trying in the background instead.
func (b *Bus) Start(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(b.closing, cancel)()
	err := b.enter(ctx)
	if err == nil {
		defer b.leave()
	}
	if b.closing.Err() != nil {
		err = ErrClosed
	}
	if err != nil {
		return &Error{Op: "start", Err: err}
	}
	switch b.state.Load() {
	case stateDrained, stateClosed:
		return &Error{Op: "start", Err: ErrClosed}
	case stateStarted:
		return &Error{Op: "start", Err: errors.New("the bus has been started already")}
	}
	groups, err := b.prepareGroups()
	// If the start fails, subscriptions may be added again.
	defer func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.starting = false // from here on, state says so
	}()
	if err != nil {
		return &Error{Op: "start", Err: err}
	}
	if err := b.ready(ctx); err != nil {
		if b.closing.Err() != nil {
			return &Error{Op: "start", Err: ErrClosed}
		}
		if !b.config.StartDegraded {
			return &Error{Op: "start", Err: err}
		}
		b.config.Logger.Warn("started degraded", "cluster", b.config.Name, "error", err)
		b.background.Go(func() { b.readyLater(b.stopped) })
	}
	// Set the state before the groups join: Close drains those that did.
	b.state.Store(stateStarted)
	for _, g := range groups {
		if err := g.start(); err != nil {
			return errors.Join(&Error{Op: "start", Err: err}, drainGroups(ctx, groups))
		}
	}
	return nil
}

// enter begins a step of the bus's life; one runs at a time. It waits as long as ctx
// allows.
func (b *Bus) enter(ctx context.Context) error {
	// Enter a free bus even if ctx has ended: Close must always work.
	select {
	case b.life <- struct{}{}:
		return nil
	default:
	}
	select {
	case b.life <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for the bus to start, drain or close: %w", context.Cause(ctx))
	}
}

// leave ends what enter began.
func (b *Bus) leave() { <-b.life }

// ready checks that the cluster answers and every topic of the bus exists.
func (b *Bus) ready(ctx context.Context) error {
	if _, err := b.transport.Cluster(ctx); err != nil {
		return err
	}
	if err := b.provisionTopics(ctx); err != nil {
		return err
	}
	return b.startCodecs(ctx)
}

// readyLater retries what a degraded start could not do, until it succeeds or the bus
// ends.
func (b *Bus) readyLater(ctx context.Context) {
	for attempt := 1; ; attempt++ {
		wait, _ := resilience.Unlimited().Next(attempt, 0)
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		err := b.ready(ctx)
		if err == nil {
			b.config.Logger.Info("ready after a degraded start", "cluster", b.config.Name)
			return
		}
		b.config.Logger.Warn("still degraded", "cluster", b.config.Name, "error", err)
	}
}

// Drain ends handling, including replays: it stops fetching, lets running handlers finish
// within ctx, commits their progress and leaves the groups. Publishing still works.
// Handlers still running near the end of ctx are cancelled; their events are handled again
// elsewhere, and Health counts them. Draining a bus that was not started is not an error.
func (b *Bus) Drain(ctx context.Context) error {
	if err := b.enter(ctx); err != nil {
		return &Error{Op: "drain", Err: err}
	}
	defer b.leave()
	return b.drain(ctx)
}

// drain is Drain for callers that have entered. It ends replays even if the bus was not
// started.
func (b *Bus) drain(ctx context.Context) error {
	started := b.state.CompareAndSwap(stateStarted, stateDrained)
	b.mu.Lock()
	groups := slices.Collect(maps.Keys(b.replays))
	if started {
		b.stop()
		groups = slices.AppendSeq(groups, maps.Values(b.groups))
	}
	b.mu.Unlock()
	if err := drainGroups(ctx, groups); err != nil {
		return &Error{Op: "drain", Err: err}
	}
	return nil
}

// drainGroups drains groups concurrently, as ctx bounds all of them together.
func drainGroups(ctx context.Context, groups []*group) error {
	errs := make([]error, len(groups))
	var wait sync.WaitGroup
	for i, g := range groups {
		wait.Go(func() { errs[i] = g.drain(ctx) })
	}
	wait.Wait()
	return errors.Join(errs...)
}

// Close drains the bus, flushes published events within ctx, and closes the transport.
// Publishing then returns ErrClosed. Closing twice is not an error. Close interrupts a
// running Start; if that, or a Drain, does not end within ctx, the bus stays as it is and
// Close returns ctx's error. A handler that closes its own bus waits for itself, until ctx
// or Config.RebalanceTimeout ends, and is abandoned: end Run's context instead.
func (b *Bus) Close(ctx context.Context) error {
	b.end()
	if err := b.enter(ctx); err != nil {
		return &Error{Op: "close", Err: err}
	}
	defer b.leave()
	drained := b.drain(ctx)
	// A second Close has nothing to do.
	if b.state.Swap(stateClosed) == stateClosed {
		return nil
	}
	drained = errors.Join(drained, b.drain(ctx)) // a replay may have begun meanwhile
	b.stop()
	// Background work uses the transport, which is closed below.
	b.background.Wait()
	errs := []error{drained, b.producer.Close(ctx)}
	// A dead letter that comes from now on gets ErrClosed and creates no producer.
	b.lettersOnce.Do(func() { b.lettersErr = ErrClosed })
	if b.letters != nil {
		errs = append(errs, b.letters.Close(ctx))
	}
	errs = append(errs, b.transport.Close(ctx), b.signals.Close())
	if err := errors.Join(errs...); err != nil {
		return &Error{Op: "close", Err: err}
	}
	return nil
}

// Run starts the bus, waits for ctx to end, and closes it within
// Config.DrainTimeout. It returns nil after a clean end.
func (b *Bus) Run(ctx context.Context) error {
	err := b.Start(ctx)
	if err == nil {
		<-ctx.Done()
	} else if ctx.Err() != nil {
		err = nil // stopped while starting: not a failure
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), b.config.DrainTimeout)
	defer cancel()
	return errors.Join(err, b.Close(ending))
}

// publishBreakerChanged reports a change of a broker's breaker.
func (b *Bus) publishBreakerChanged(broker int32, from, to resilience.State, user func(from, to resilience.State)) {
	b.breakerChanged(telemetry.PublishBreakerName(broker), from, to, user)
}

// breakerChanged reports a change of a breaker to logs, metrics and the users' OnChange
// callbacks, whose panics are only logged. A nil callback is ignored.
func (b *Bus) breakerChanged(name string, from, to resilience.State, users ...func(from, to resilience.State)) {
	b.config.Logger.Warn("circuit breaker changed", "breaker", name, "from", from.String(), "to", to.String())
	b.signals.BreakerChanged(name, to)
	for _, user := range users {
		if user == nil {
			continue
		}
		if err := notify(user, from, to); err != nil {
			b.config.Logger.Error("a callback of a circuit breaker failed", "breaker", name, telemetry.LogError, err)
		}
	}
}

// notify calls a breaker's OnChange.
func notify(user func(from, to resilience.State), from, to resilience.State) (err error) {
	defer rescue(&err, "OnChange")
	user(from, to)
	return nil
}

func (b *Bus) closed() bool { return b.state.Load() == stateClosed }

// letterBytes is the largest dead letter in bytes, before compression: the largest record
// that is read, plus 64 KiB for added headers.
const letterBytes = 128<<20 + 64<<10

// letterProducer returns the producer of dead letters. It is created for the first one:
// most services never write any.
func (b *Bus) letterProducer() (transport.Producer, error) {
	b.lettersOnce.Do(func() {
		// Compressed, so that a record of the largest allowed size still fits with the
		// headers that say why it failed.
		config := b.config.Producer
		config.Gate, config.Partitioner, config.Compression = nil, nil, "gzip"
		// The publisher's limit doesn't apply to dead letters, since others may publish
		// larger records. The source topic's limit does, and its dead-letter topic has it too.
		config.BatchBytes = max(config.BatchBytes, letterBytes)
		config.BufferBytes = max(config.BufferBytes, letterBytes)
		b.letters, b.lettersErr = b.transport.NewProducer(config)
	})
	return b.letters, b.lettersErr
}
