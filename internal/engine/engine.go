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
	// Route returns the destination of a record, from its topic and headers alone. It is called on
	// the polling goroutine.
	Route func(*transport.Record) Route
	// Judge returns the meaning of an attempt's error. Neither Judge nor the methods of errors that
	// Handle returns may panic, so if handlers are users' code, Handle must return errors of the
	// caller's own.
	Judge func(error) Verdict
	// DeadLetter starts writing a dead letter, and calls done once it is acknowledged or has
	// failed. f is valid until done is called.
	DeadLetter func(ctx context.Context, f *Failure, done func(error))
	// Flush is called before the final commit of partitions that go. It waits, and does nothing
	// else, until everything that handlers published is acknowledged. Its context ends after a
	// few seconds.
	Flush func(context.Context) error
	// Moved, if not nil, is called with partitions that have come, before any of their events
	// is taken in, and with those that have gone, after the last commit. It must return soon
	// after ctx has ended, or bound its time itself: the member waits for it.
	Moved func(ctx context.Context, partitions []transport.Partition, move Move)
	// Observer is told the outcomes. It may be nil.
	Observer Observer
	Bounds   Bounds
	// HandlerGrace is how long events of a type are held after its last handler has left the group.
	// Default ten minutes.
	HandlerGrace time.Duration
	// Unhandled is called for each event to which its Route's policy was applied because no
	// member of the group handles its type.
	Unhandled func(topic, typ string)
	// CommitInterval is the time between commits. Default one second.
	CommitInterval time.Duration
	Logger         *slog.Logger
}

// Move says what happened to partitions.
type Move int8

// The moves. Lost partitions belonged to another member before anything could be committed.
const (
	Assigned Move = iota
	Revoked
	Lost
)

// Engine runs one group's partitions. Start it with the consumer whose Listener it is. mu guards
// partitions; subs does not change after Start.
type Engine struct {
	config Config
	shared

	mu         sync.Mutex
	partitions map[transport.Partition]*partition
	subs       map[*Subscription]struct{}

	flowMu          sync.Mutex // held by balance, so that an older pause never lands last
	flowWake        chan struct{}
	committing      chan struct{} // held, by a value in it, by the one commit in flight
	abandoned       atomic.Int64
	stop, stopDrain context.CancelFunc // stopDrain ends the loops that run on during a drain
	loops           sync.WaitGroup
	drain           sync.Once
	drained         error
}

// New returns an engine that has not been started.
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

// DefaultHandlerGrace is the default of Config.HandlerGrace: enough time to continue or roll back a
// deployment that was stopped.
const DefaultHandlerGrace = 10 * time.Minute

// Attach adds a subscription to the engine. It must be called before Start.
func (e *Engine) Attach(s *Subscription) {
	s.attach(&e.shared)
	e.subs[s] = struct{}{}
}

// Start begins to poll and commit. e must be consumer's Listener; a call of it before Start waits.
func (e *Engine) Start(consumer transport.Consumer) {
	e.consumer = consumer
	// Set before started is closed: code that waits for that may use both.
	e.foreign.state = consumer.TypeState
	close(e.started)
	ctx, stop := context.WithCancel(context.Background())
	e.stop = stop
	e.loops.Go(func() { e.poll(ctx) })
	e.loops.Go(func() { e.flow(ctx) })
	e.loops.Go(func() { every(ctx, e.config.CommitInterval, e.commitOwned) })
	// Separate from the other loops: a drain waits for dead letters, which are still written
	// meanwhile, and for handlers, which may get stuck.
	drainCtx, drained := context.WithCancel(context.Background())
	e.stopDrain = drained
	e.loops.Go(func() { every(drainCtx, lookEvery, e.lookAfter) })
	e.loops.Go(func() { e.letters.write(drainCtx) })
}

// poll moves batches from the consumer into lanes. It never waits for handlers: back-pressure
// pauses partitions instead, so that one full partition does not stop the others.
func (e *Engine) poll(ctx context.Context) {
	for {
		batches, err := e.consumer.Poll(ctx)
		if err != nil {
			if ctx.Err() == nil && !errors.Is(err, transport.ErrClosed) {
				e.log.Error("polling ended", "group", e.config.Group, "error", err)
			}
			return
		}
		// All of them, even if ctx has ended meanwhile: each has memory to release.
		for i := range batches {
			e.intake(&batches[i])
		}
	}
}

// every calls f once an interval has passed, and again an interval after each call, until ctx
// ends. The timer is a new one each time: one that expires while f runs would be polled later,
// and under the race detector two such polls at once in a testing/synctest bubble crash Go
// 1.26's group.
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

// commitOwned commits what has changed. Errors are logged where they occur, and the next round
// commits everything again.
func (e *Engine) commitOwned(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, commitPatience)
	defer cancel()
	_ = e.commit(ctx, e.owned())
}

// lookAfter does work that depends on time rather than on events. It is separate from the
// commits, which may wait for a broker.
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

// lookEvery is the time between two calls of lookAfter.
const lookEvery = time.Second

// Drain ends polling, lets running attempts finish, commits, and leaves the group, within ctx.
// Attempts still running when ctx ends are cancelled and counted by Abandoned. When Drain
// returns, every goroutine has ended except those of abandoned handlers that ignore their
// context. Further calls return the same result.
func (e *Engine) Drain(ctx context.Context) error {
	if e.stop == nil {
		return nil
	}
	e.drain.Do(func() {
		e.stop()
		// Close calls Revoked for all partitions, which does the draining: a shutdown is a
		// rebalance that takes everything.
		e.drained = e.consumer.Close(ctx)
		e.abandon(e.owned()) // if the consumer could not wait for Revoked
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

// Abandoned returns the number of attempts cut off when a drain ran out of time. A stop is
// clean if there are none and the last commit was acknowledged.
func (e *Engine) Abandoned() int64 { return e.abandoned.Load() }

// owned returns the partitions assigned now, in no order. Any of them may go at any moment
// after that.
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
