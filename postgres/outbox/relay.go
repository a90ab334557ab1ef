package outbox

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Relay sends the events of an outbox to Kafka. Any number of processes may run relays
// of one name; one of them leads, and another takes over when it dies. Its methods are
// safe for concurrent use.
type Relay struct {
	// NewRelay sets the fields up to metrics, and they do not change. wake has a
	// buffer of one, since a second Wake before the next look adds nothing.
	bus    *eventbus.Bus
	pool   *pgxpool.Pool
	config Config
	names  names
	holder string
	wake   chan struct{}

	metrics *instruments
	running sync.Mutex // held by Run

	// mu guards state, which health and metrics read while Run changes it.
	mu    sync.Mutex
	state relayState

	// The fields below belong to the goroutine that leads.
	sender      *sender
	parked      map[string]struct{} // keyID
	partitioned bool
	cleaned     int64 // this round has looked at every row up to this id; -1 between rounds

	// likely estimates how many rows fit into maxBatchBytes; zero means Config.Batch.
	// It belongs to the goroutine of readAhead, of which only one runs at a time.
	likely int
}

// relayState is what health and metrics see.
type relayState struct {
	running  bool
	leading  bool
	since    time.Time // of err
	err      error     // why nothing is sent at the moment
	status   *Status   // the last that was read
	rotating error     // why daily partitions are not kept
}

// NewRelay returns a relay from pool to bus. It owns neither. It does not connect to
// anything until Run.
func NewRelay(bus *eventbus.Bus, pool *pgxpool.Pool, config Config) (*Relay, error) {
	if bus == nil || pool == nil {
		return nil, errors.New("outbox: configure the relay: a bus and a pool are needed")
	}
	c, n, err := config.resolve(bus.DeliveryTimeout())
	if err != nil {
		return nil, err
	}
	// The lease may be renewed while a window is read and a chore runs.
	if most := pool.Config().MaxConns; most < 3 {
		return nil, fmt.Errorf("outbox: configure the relay: the pool has %d connections, and three are needed: raise MaxConns", most)
	}
	r := &Relay{bus: bus, pool: pool, config: c, names: n, holder: newHolder(), wake: make(chan struct{}, 1)}
	r.metrics = newInstruments(r)
	return r, nil
}

// Wake makes the relay poll at once, for example after a commit of this process. It
// never blocks.
func (r *Relay) Wake() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Run relays events until ctx ends, and then returns nil: the last batch has ended, and
// the lease is free, unless DrainTimeout cut off a batch of Config.Unfenced. While the
// database or Kafka is unavailable, Run waits and retries. It returns an error only if
// waiting does not help: a server, a schema or a cursor that an outbox can't use.
func (r *Relay) Run(ctx context.Context) error {
	// Two runs would share fields that belong to one goroutine.
	if !r.running.TryLock() {
		return errors.New("outbox: the relay is running already")
	}
	defer r.running.Unlock()
	r.note(func(s *relayState) { s.running = true })
	defer r.note(func(s *relayState) { s.running, s.leading = false, false })
	unregister := r.metrics.register()
	defer unregister()
	if r.config.Listen {
		// Deferred calls run in reverse: first the listener is cancelled, then awaited.
		listening, cancel := context.WithCancel(ctx)
		var ended sync.WaitGroup
		l := listener{pool: r.pool, channel: r.names.channel(), wake: r.Wake, logger: r.config.Logger}
		ended.Go(func() { l.run(listening) })
		defer ended.Wait()
		defer cancel()
	}
	// The checks cost a few statements, so they run only until they have succeeded
	// once.
	checked := false
	var failed failures
	for ctx.Err() == nil {
		began, err := time.Now(), error(nil)
		if !checked {
			err = r.within(ctx, r.check)
			checked = err == nil
		}
		if err == nil {
			err = r.lead(ctx)
		}
		switch {
		// The error comes from the end of ctx, which is not an error of Run.
		case ctx.Err() != nil:
			return nil
		// A process that stands by is healthy, and looks often enough to take over
		// soon after a lease has ended.
		case errors.Is(err, errNotLeading):
			r.fail(nil)
			failed = 0
			wait(ctx, min(time.Second, r.config.Lease/5))
		case permanent(err):
			return fmt.Errorf("outbox: relay %q of %s: %w", r.config.Name, r.names.bare, err)
		case err != nil:
			r.fail(err)
			wait(ctx, failed.next(time.Since(began)))
		}
	}
	return nil
}

// permanent reports whether waiting can't resolve an error.
func permanent(err error) bool {
	return errors.Is(err, ErrServer) || errors.Is(err, ErrSchema) || errors.Is(err, ErrCursorLost)
}

// check checks the server, the schema, its policies and the sequence. It takes no lease
// and writes nothing.
func (r *Relay) check(ctx context.Context) error {
	if err := checkServer(ctx, r.pool); err != nil {
		return err
	}
	if err := checkVersion(ctx, r.pool, r.names); err != nil {
		return err
	}
	if err := checkBytes(ctx, r.pool); err != nil {
		return err
	}
	if err := checkPolicies(ctx, r.pool, r.names); err != nil {
		return err
	}
	return checkSequence(ctx, r.pool, r.names)
}

// lead takes the lease and relays until it is lost or ctx ends.
func (r *Relay) lead(ctx context.Context) error {
	var l lease
	var c cursor
	err := r.within(ctx, func(ctx context.Context) (err error) {
		l, c, err = r.acquire(ctx)
		return err
	})
	if err != nil {
		return err
	}
	r.config.Logger.Info("leading", "epoch", l.epoch)
	// The batch under way may finish after ctx has ended.
	working, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	// When ctx ends, serve begins no other batch, and DrainTimeout later the batch
	// under way is cut off.
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(r.config.DrainTimeout, cancel) })
	defer stop()
	defer func() {
		r.note(func(s *relayState) { s.leading = false })
		// Records of a batch that was cut off may still be under way: without
		// transactions the lease has to outlast them.
		if r.config.Unfenced && working.Err() != nil {
			return
		}
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = r.release(ending, l) // otherwise it expires
	}()
	if c, err = r.open(working, &l, c); err != nil {
		return err
	}
	// Only after open: before it has fenced the others, this process sends nothing.
	r.note(func(s *relayState) { s.leading, s.err = true, nil })
	return r.serve(ctx, working, &l, c)
}

// open prepares a term: it fences the others, rebases after a restored dump, and
// reads which keys are parked.
func (r *Relay) open(ctx context.Context, l *lease, c cursor) (cursor, error) {
	var system int64
	var database string
	err := r.chore(ctx, l, func(ctx context.Context) (err error) {
		if system, database, err = r.identify(ctx); err == nil {
			r.partitioned, err = isPartitioned(ctx, r.pool, r.names)
		}
		return err
	})
	if err != nil {
		return c, err
	}
	if system != c.system {
		// The last relay before the dump may have left a transaction open, and readers
		// of committed records would wait for its end. Its transactional id is known
		// only until the rebase.
		if err := r.fence(ctx, l, c.system, database); err != nil {
			return c, err
		}
		if c, err = r.rebase(ctx, l, c, system); err != nil { // this rewrites the whole table, however long that takes
			return c, err
		}
	}
	if err := r.fence(ctx, l, system, database); err != nil {
		return c, err
	}
	return c, r.loadParked(ctx, l)
}

// fence makes the sender and, unless the relay is unfenced, fences all other relays of
// its name. The system identifier and the database are part of the default
// transactional id, so that outboxes of different databases don't fence each other on
// one Kafka cluster.
func (r *Relay) fence(ctx context.Context, l *lease, system int64, database string) error {
	term := *l // a copy, since the lease is renewed at the same time
	r.sender = &sender{bus: r.bus, timeout: r.config.DeliveryTimeout, confirm: func(ctx context.Context) error { return r.extend(ctx, term) }}
	if r.config.Unfenced {
		// What the producer has accepted until then has its outcome within DeliveryTimeout.
		r.sender.timeout -= r.bus.DeliveryTimeout()
		return nil
	}
	if r.sender.id = r.config.TransactionalID; r.sender.id == "" {
		r.sender.id = fmt.Sprintf("eventbus-outbox.%d.%s.%s.%s", uint64(system), database, r.names.bare, r.config.Name) //nolint:gosec // its bits
	}
	// Kafka ends a predecessor's open transaction before it answers (KIP-98), which
	// takes no longer than a batch.
	if err := r.keeping(ctx, l, r.sender.open); err != nil {
		return fmt.Errorf("fencing other relays: %w", err)
	}
	return nil
}

// serve relays batch after batch. The end of ctx ends the loop; the end of working
// also ends the work under way. The next batch is read while one is sent.
func (r *Relay) serve(ctx, working context.Context, l *lease, c cursor) error {
	housekeeping := newChores(r)
	idle := 0
	var ahead <-chan window
	reading, cancel := context.WithCancel(working)
	defer func() {
		cancel()
		if ahead != nil {
			<-ahead // no statement outlives the term
		}
	}()
	for ctx.Err() == nil {
		// Chores run between batches: they also send parked keys, and the sender
		// belongs to this goroutine.
		if err := housekeeping.run(working, l); err != nil {
			return err
		}
		// The previous window was not full, so nothing was read ahead.
		if ahead == nil {
			ahead = r.readAhead(reading, c)
		}
		w, err := await(working, r, l, ahead)
		if err == nil {
			ahead, err = nil, w.err
		}
		if err != nil {
			return err
		}
		if len(w.rows) == 0 {
			// An empty window moves the cursor too, but the cursor is then stored only
			// from time to time. Otherwise every look would cause a write.
			if c = w.after; !l.covers(r.config.mustCover()) || time.Since(l.stored) > r.config.Lease/3 {
				if err := r.advance(working, l, c, nil, 0, nil); err != nil {
					return err
				}
			}
			idle++
			r.pause(ctx, idle)
			continue
		}
		idle = 0
		// Reading ahead before the batch is sent is safe: the stored cursor follows
		// what was sent, and after a failure the rows read ahead are dropped.
		if w.more {
			ahead = r.readAhead(reading, w.after)
		}
		if err := r.relay(working, l, w.rows, w.after); err != nil {
			return err
		}
		c = w.after
	}
	return nil
}

// relay sends a batch and stores the cursor after it.
func (r *Relay) relay(ctx context.Context, l *lease, rows []row, after cursor) error {
	send, envelopes, parked := r.sort(rows)
	// Kafka first, then the cursor: a crash between them repeats the batch, while the
	// other order would lose it.
	refusals, err := r.deliver(ctx, l, envelopes)
	if err != nil {
		return err
	}
	for i := range send {
		// A refusal without a cause means that the event follows a refused one of its
		// key, and was not sent.
		if cause, not := refusals[i]; cause != nil {
			parked = append(parked, r.park(&send[i], cause))
		} else if not {
			parked = append(parked, parkedRow{id: send[i].id})
		}
	}
	r.metrics.sent(ctx, len(envelopes)-len(refusals))
	return r.advance(ctx, l, after, rows, len(envelopes)-len(refusals), parked)
}

// hold makes sure that enough of the lease is left to begin a batch.
func (r *Relay) hold(ctx context.Context, l *lease) error {
	if l.covers(r.config.mustCover()) {
		return nil
	}
	if err := r.renew(ctx, l); err != nil {
		return err
	}
	if !l.covers(r.config.mustCover()) {
		return errors.New("the database took too long: what is left of the lease does not suffice to begin a batch")
	}
	return nil
}

// deliver sends envelopes, after making sure that enough of the lease is left.
func (r *Relay) deliver(ctx context.Context, l *lease, envelopes []*eventbus.Envelope) (refusals map[int]error, err error) {
	if err := r.hold(ctx, l); err != nil {
		return nil, err
	}
	err = r.sending(ctx, l, func(ctx context.Context) (err error) {
		refusals, err = r.sender.send(ctx, envelopes)
		return err
	})
	return refusals, err
}

// pause waits before the next look: briefly at first, then PollInterval, but at most a
// third of the lease.
func (r *Relay) pause(ctx context.Context, idle int) {
	// Soon after an event the next one is likely.
	timer := time.NewTimer(min(r.config.PollInterval, r.config.Lease/3, time.Duration(idle)*time.Millisecond))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.wake:
	case <-ctx.Done():
	}
}

// note calls change with the state, under its lock. change must not call the relay.
func (r *Relay) note(change func(*relayState)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.state)
}

// fail notes why nothing is sent, and logs it when it changes.
func (r *Relay) fail(err error) {
	r.mu.Lock()
	before := r.state.err
	// since is when sending stopped, and does not change while one error follows
	// another.
	if r.state.err = err; before == nil {
		r.state.since = time.Now()
	}
	r.mu.Unlock()
	if err != nil && (before == nil || before.Error() != err.Error()) {
		r.config.Logger.Warn("not relaying, and trying again", "error", err)
	}
}
