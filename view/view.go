package view

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/internal/wire"
	"github.com/eventbus-go/eventbus/transport"
)

// The errors of a view. It also returns those of the cluster and of the codec.
var (
	// ErrNotReady: the topic was not read to its end yet, so an absent key means nothing.
	ErrNotReady = errors.New("the view has not read its topic yet")
	// ErrOutgrown: the table is larger than Config.MaxBytes.
	ErrOutgrown = errors.New("the view has outgrown its bound")
	// ErrClosed: the view was closed.
	ErrClosed = errors.New("the view is closed")
)

// View is a table of the last event of each key of a topic. It is safe for
// concurrent use.
//
// New makes a view, Start starts it, Close ends it. It needs no started bus, but
// uses the bus's connections: close it before the bus.
type View[T any] struct {
	topic    *eventbus.Topic[T]
	follower *follower
	state    *state

	// following ends when stop is called, done is closed when run has ended, and ended
	// when the view is closed.
	following   context.Context //nolint:containedctx // it is what Close ends
	stop        context.CancelFunc
	done, ended chan struct{}
	closing     sync.Once
}

// New returns a view of a topic, which must be declared Compacted, in the bus's
// environment. It does no I/O. Its error names every wrong field of the config.
func New[T any](bus *eventbus.Bus, topic *eventbus.Topic[T], config Config) (*View[T], error) {
	if bus == nil || topic == nil {
		return nil, errors.New("eventbus: view: the bus or the topic is nil")
	}
	source, err := bus.Operator().Source(topic.Declaration())
	if err != nil {
		return nil, fmt.Errorf("eventbus: view: %w", err)
	}
	wrong := []error{config.check()}
	if !topic.Declaration().Compacted {
		wrong = append(wrong, errors.New("the topic is not declared Compacted: retention would remove keys from the view"))
	}
	if err := errors.Join(wrong...); err != nil {
		return nil, fmt.Errorf("eventbus: view of %s: %w", source.Topic, err)
	}
	v := &View[T]{topic: topic, state: newState(), done: make(chan struct{}), ended: make(chan struct{})}
	// Not Start's context, which only bounds the wait for the first table.
	v.following, v.stop = context.WithCancel(context.Background())
	v.follower = &follower{source: source, topic: source.Topic, form: topic.Declaration().Form, typ: topic.Type(), config: config.withDefaults(), state: v.state}
	return v, nil
}

// Start starts to read the topic and returns when the view has applied everything
// that was committed to it by then. Until then, Get returns ErrNotReady. Start waits
// for a cluster that does not answer, and creates a missing topic if the bus creates
// its own.
//
// If ctx ends first, or the view fails, the view is closed. The error says why and
// how far it came.
func (v *View[T]) Start(ctx context.Context) error {
	if !v.state.start() {
		return v.wrap("start", errors.New("it was started or closed before"))
	}
	go func() {
		defer close(v.done)
		defer observe(v.follower.config.MeterProvider, v.follower.topic, v.Status)()
		v.follower.run(v.following)
	}()
	select {
	case <-v.state.ready:
		return nil
	case <-v.state.over:
		err := v.state.ending()
		v.end()
		return v.wrap("start", err)
	case <-ctx.Done():
	}
	s := v.Status()
	v.end()
	return v.wrap("start", fmt.Errorf("%w after %d records, with %d to go", errors.Join(context.Cause(ctx), s.Err), s.Read, s.Behind))
}

// Close stops following the topic and returns when nothing of the view runs any
// more, or ctx's error. Closing twice is not an error.
func (v *View[T]) Close(ctx context.Context) error {
	// In a goroutine of its own, so that ctx can end the wait but not the closing.
	go v.end()
	select {
	case <-v.ended:
		return nil
	case <-ctx.Done():
		return v.wrap("close", ctx.Err())
	}
}

// end closes the view and waits for its goroutine.
func (v *View[T]) end() {
	v.closing.Do(func() {
		started := v.state.close()
		v.stop()
		// A view that was never started has no goroutine that would close done.
		if started {
			<-v.done
		}
		close(v.ended)
	})
	<-v.ended
}

// Get returns the last event of a key, and whether there is one. The caller owns the
// value. A key without an event is not an error. The error is ErrNotReady until the
// topic was read to its end, why the view has ended, the codec's if the event can't
// be decoded, or the Store's.
func (v *View[T]) Get(ctx context.Context, key string) (value T, found bool, err error) {
	table, err := v.state.table()
	if err != nil {
		return value, false, v.wrap("get", err)
	}
	record, found, err := table.Get(ctx, []byte(key))
	if err != nil {
		return value, false, v.wrap("get", err)
	}
	if !found {
		return value, false, nil
	}
	value, found, err = v.decode([]byte(key), record)
	if err != nil {
		return value, false, v.wrap("get", err)
	}
	return value, found, nil
}

// Range calls f with every key and its event, in any order, until f returns an error,
// and returns that error. Range may or may not see changes made meanwhile. An event
// that can't be decoded ends it with an error.
func (v *View[T]) Range(ctx context.Context, f func(key string, value T) error) error {
	table, err := v.state.table()
	if err != nil {
		return v.wrap("range", err)
	}
	return table.Range(ctx, func(key, record []byte) error {
		value, found, err := v.decode(key, record)
		if err != nil {
			return v.wrap("range", err)
		}
		if !found {
			return nil
		}
		return f(string(key), value)
	})
}

// WaitFor waits until the view has applied an event that was published to its topic:
// Get then returns that event or a later one. The error is the publish's, ctx's, or
// why the view has ended.
func (v *View[T]) WaitFor(ctx context.Context, published eventbus.Receipt) error {
	at, err := published.Wait(ctx)
	if err != nil {
		return err
	}
	// An offset of another topic might never be reached.
	if at.Topic != v.follower.topic {
		return v.wrap("wait", fmt.Errorf("the event was published to %s", at.Topic))
	}
	if err := v.state.position.await(ctx, at.Partition.Partition, at.Offset, v.state.over); err != nil {
		if errors.Is(err, errEnded) {
			err = v.state.ending()
		}
		return v.wrap("wait", err)
	}
	return nil
}

// Status returns a snapshot of the view. The caller owns it.
func (v *View[T]) Status() Status { return v.state.status(v.follower.topic) }

// decode returns the event of a table's record, or false if the record stands for a
// deleted key.
func (v *View[T]) decode(key, record []byte) (value T, found bool, err error) {
	var s stored
	if err := s.decode(record); err != nil {
		return value, false, err
	}
	at := transport.Position{Partition: transport.Partition{Topic: v.follower.topic, Partition: s.partition}, Offset: s.offset}
	switch s.kind {
	case deleted:
		return value, false, nil
	case faulty:
		return value, false, fmt.Errorf("the key's last record, %s@%d, is not an event: %s", at.Partition, at.Offset, s.value)
	}
	var e eventbus.Envelope
	// The same steps as for a record that a subscription gets, so that both decode alike.
	r := transport.Record{
		Topic: v.follower.topic, Partition: s.partition, Offset: s.offset, Key: key, Value: s.value, Headers: s.headers, Time: s.time,
	}
	if err = v.topic.Declaration().Form.Decode(&r, &r, (*wire.Event)(&e)); err == nil {
		value, err = v.topic.Decode(&e)
	}
	if err != nil {
		var none T
		return none, false, fmt.Errorf("the key's last record, %s@%d: %w", at.Partition, at.Offset, err)
	}
	return value, true, nil
}

// wrap names the view in an error.
func (v *View[T]) wrap(op string, err error) error {
	return fmt.Errorf("eventbus: view of %s: %s: %w", v.follower.topic, op, err)
}
