package engine

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

// Config configures an Engine. Route, Judge and DeadLetter are required.
type Config struct {
	Group string
	// Route says what becomes of a record, from its topic and headers alone.
	// It is called on the polling goroutine.
	Route func(*transport.Record) Route
	// Judge says what an attempt's error means. Neither it nor the methods of the errors
	// that Handle returns may panic: a caller with handlers of users returns errors of its
	// own from Handle.
	Judge func(error) Verdict
	// DeadLetter starts writing a dead letter and calls done when it is
	// acknowledged or failed. f is valid until done was called.
	DeadLetter func(ctx context.Context, f *Failure, done func(error))
	// Flush is called before the final commit of partitions that go: what
	// handlers published is to be acknowledged first, and nothing else. Its
	// context ends after a few seconds.
	Flush func(context.Context) error
	// Moved, if not nil, is told of partitions that came, before an event of them is
	// taken in, and of those that went, after the last commit. It returns soon after ctx
	// has ended, or bounds its time itself: the member waits for it.
	Moved func(ctx context.Context, partitions []transport.Partition, move Move)
	// Observer is told of outcomes. Nil is no observer.
	Observer Observer
	Bounds   Bounds
	// HandlerGrace is how long events of a type are held whose last handler has
	// left the group. It defaults to ten minutes.
	HandlerGrace time.Duration
	// Unhandled is told of each event to which the policy of its Route was applied
	// because no member of the group handles its type.
	Unhandled func(topic, typ string)
	// CommitInterval defaults to one second.
	CommitInterval time.Duration
	Logger         *slog.Logger
}

// Move is what became of partitions.
type Move int8

// The moves. Lost ones were another member's before anything could be committed.
const (
	Assigned Move = iota
	Revoked
	Lost
)

// Engine runs one group's partitions. Start it with the consumer whose Listener
// it is.
// mu guards partitions; subs is not changed after Start.
type Engine struct {
	config Config
	shared

	mu         sync.Mutex
	partitions map[transport.Partition]*partition
	subs       map[*Subscription]struct{}

	flowMu          sync.Mutex // one balance at a time, so that an older pause never lands last
	flowWake        chan struct{}
	committing      chan struct{} // likewise for commits: held by the goroutine that could send to it
	abandoned       atomic.Int64
	stop, stopDrain context.CancelFunc // what goes on while the engine drains, the second
	loops           sync.WaitGroup
	drain           sync.Once
	drained         error
}

// New returns an engine that does nothing yet.
func New(config Config) *Engine {
	if config.CommitInterval <= 0 {
		config.CommitInterval = time.Second
	}
	if config.HandlerGrace <= 0 {
		config.HandlerGrace = DefaultHandlerGrace
	}
	if config.Unhandled == nil {
		config.Unhandled = func(string, string) {}
	}
	if config.Observer == nil {
		config.Observer = NoObserver{}
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	e := &Engine{
		config: config,
		shared: shared{
			log:        config.Logger,
			observer:   config.Observer,
			base:       context.Background(),
			judge:      config.Judge,
			deadLetter: config.DeadLetter,
			unhandled:  config.Unhandled,
			foreign:    newForeignTypes(config.HandlerGrace),
			started:    make(chan struct{}),
		},
		partitions: make(map[transport.Partition]*partition),
		subs:       make(map[*Subscription]struct{}),
		flowWake:   make(chan struct{}, 1),
		committing: make(chan struct{}, 1),
	}
	e.pool.bounds = config.Bounds.withDefaults()
	e.pool.changed = e.wakeFlow
	e.parking.wake = (*wait).resume
	e.letters.start(&e.shared)
	return e
}

// DefaultHandlerGrace is the default of Config.HandlerGrace: time enough for a
// deployment that was stopped to be rolled on or back.
const DefaultHandlerGrace = 10 * time.Minute

// Attach gives a subscription to the engine. Before Start.
func (e *Engine) Attach(s *Subscription) {
	s.attach(&e.shared)
	e.subs[s] = struct{}{}
}

// Start begins to poll and commit. consumer's Listener is e; a call of it
// before Start waits.
func (e *Engine) Start(consumer transport.Consumer) {
	e.consumer = consumer
	// Set before started is closed: whatever waits for that may use both.
	e.foreign.state = consumer.TypeState
	close(e.started)
	ctx, stop := context.WithCancel(context.Background())
	e.stop = stop
	e.loops.Go(func() { e.poll(ctx) })
	e.loops.Go(func() { e.flow(ctx) })
	e.loops.Go(func() { every(ctx, e.config.CommitInterval, e.commitOwned) })
	// Apart from the other loops: a drain waits for dead letters, which are still written, and
	// for handlers, which may get stuck.
	drainCtx, drained := context.WithCancel(context.Background())
	e.stopDrain = drained
	e.loops.Go(func() { every(drainCtx, lookEvery, e.lookAfter) })
	e.loops.Go(func() { e.letters.write(drainCtx) })
}

// poll moves batches from the consumer into lanes. It never waits for handlers:
// back-pressure pauses partitions instead, so that one full partition does not
// stop the others.
func (e *Engine) poll(ctx context.Context) {
	for {
		batches, err := e.consumer.Poll(ctx)
		if err != nil {
			if ctx.Err() == nil && !errors.Is(err, transport.ErrClosed) {
				e.log.Error("polling ended", "group", e.config.Group, "error", err)
			}
			return
		}
		// All of them, also when ctx has ended meanwhile: each has memory to give back.
		for i := range batches {
			e.intake(&batches[i])
		}
	}
}

// every calls f an interval after it was started, and after each call, until ctx
// ends. The timer is a new one each time: one that runs out while f waits would be
// polled later, and under the race detector two such polls at once in a bubble of
// testing/synctest crash Go 1.26's group.
func every(ctx context.Context, interval time.Duration, f func(context.Context)) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(interval):
			f(ctx)
		}
	}
}

// commitOwned commits what has changed. An error is logged where it arises, and the
// next round carries everything again.
func (e *Engine) commitOwned(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, commitPatience)
	defer cancel()
	_ = e.commit(ctx, e.owned())
}

// lookAfter does the work that falls due with time and not with an event. It is
// apart from the commits, which may wait for a broker.
func (e *Engine) lookAfter(context.Context) {
	now := time.Now()
	for s := range e.subs {
		s.replaceStuck(now)
		s.noteStarved(now)
	}
	for _, p := range e.owned() {
		p.copyOut()
		p.releaseForeign(now)
	}
	e.balance()
}

// lookEvery is the time between two looks.
const lookEvery = time.Second

// Drain ends polling, lets running attempts finish, commits, and leaves the
// group, within ctx. What still runs when ctx ends is cancelled and counted by
// Abandoned. Every goroutine has ended when it returns, except abandoned
// handlers that ignore their context. Again, it returns what it returned.
func (e *Engine) Drain(ctx context.Context) error {
	if e.stop == nil {
		return nil
	}
	e.drain.Do(func() {
		e.stop()
		// Close calls Revoked for all partitions, which is where draining
		// happens: a shutdown is a rebalance that takes everything.
		e.drained = e.consumer.Close(ctx)
		e.abandon(e.owned()) // of a consumer that could not wait for Revoked
		e.stopDrain()
		e.letters.close()
		e.loops.Wait()
		for s := range e.subs {
			s.close()
		}
		e.parking.close()
	})
	return e.drained
}

// Abandoned counts the attempts that were cut off at a drain bound. A stop is
// clean if there are none and the last commit was acknowledged.
func (e *Engine) Abandoned() int64 { return e.abandoned.Load() }

// owned returns the partitions that are assigned now, in no order. One of them may go
// at any moment after that.
func (e *Engine) owned() []*partition {
	e.mu.Lock()
	defer e.mu.Unlock()
	owned := make([]*partition, 0, len(e.partitions))
	for _, p := range e.partitions {
		owned = append(owned, p)
	}
	return owned
}

// partition returns an assigned partition, nil if it is not assigned here.
func (e *Engine) partition(id transport.Partition) *partition {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.partitions[id]
}
