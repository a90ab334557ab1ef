package eventbus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/eventbus-go/eventbus/internal/engine"
	window "github.com/eventbus-go/eventbus/internal/replay"
	"github.com/eventbus-go/eventbus/internal/telemetry"
	"github.com/eventbus-go/eventbus/transport"
)

// replay is one call of Operator.Replay.
type replay struct {
	bus *Bus
	// config is as the caller gave it, checked.
	config ReplayConfig
	keys   map[string]bool // config.Keys, since each record of the window is looked up
	group  *group
	window window.Window // the partitions with something to read

	// mu guards failures and the contents of counts.
	mu sync.Mutex
	// counts has every partition of the topics, including those with nothing to read.
	counts   map[transport.Partition]*replayCount
	failures []ReplayFailure
}

// keySet returns keys as a set.
func keySet(keys []string) map[string]bool {
	all := make(map[string]bool, len(keys))
	for _, key := range keys {
		all[key] = true
	}
	return all
}

// notReplayed is the reason for skipping records that a replay ignores.
const notReplayed = "not in the replay"

// route returns the group's route for records that the replay handles.
func (r *replay) route(record *transport.Record) engine.Route {
	t := r.group.routes[record.Topic]
	if !r.takes(t, record) {
		return engine.Route{End: engine.Skip, Reason: notReplayed}
	}
	return r.group.route(record)
}

// takes reports whether a record is for the handlers, and counts it if so.
func (r *replay) takes(t *groupTopic, record *transport.Record) bool {
	// Keys are compared as bytes; a record without a key has none of them.
	if len(r.keys) > 0 && (record.Key == nil || !r.keys[string(record.Key)]) {
		return false
	}
	typ, known := t.form.Type(record)
	chosen := len(r.config.Types) == 0
	// A record with a missing part is malformed for the handlers, whatever its type.
	known = known && record.Excess == nil
	switch {
	case record.Value == nil:
		if t.tombstones() == nil || !chosen {
			return false
		}
		typ = ReplayTombstones
	case !known:
		if !chosen {
			return false
		}
		typ = ReplayMalformed
	case t.of(typ) == nil || !chosen && !slices.Contains(r.config.Types, typ):
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counts[transport.Partition{Topic: record.Topic, Partition: record.Partition}].event(typ)
	return true
}

// count reads the window without handling anything.
func (r *replay) count(ctx context.Context) error {
	reader, err := r.reader()
	if err != nil {
		return err
	}
	// ctx may have ended, but the reader has connections to close.
	defer func() { _ = reader.Close(context.WithoutCancel(ctx)) }()
	for {
		batches, err := reader.Poll(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		for i := range batches {
			b := &batches[i]
			for k := range b.Records {
				r.takes(r.group.routes[b.Topic], &b.Records[k])
			}
			if b.Release != nil {
				b.Release()
			}
		}
	}
}

// bounded counts the window's events where they are bounded, and refuses more.
func (r *replay) bounded(ctx context.Context) error {
	most := r.config.MaxEvents
	if most == 0 {
		return nil
	}
	if err := r.count(ctx); err != nil {
		return err
	}
	counted := r.report()
	// They are counted again as they are handled.
	for _, c := range r.counts {
		c.events = make(map[string]*int64)
	}
	if n := counted.Events(); n > most {
		return fmt.Errorf("the window has %d events for the handlers, more than %d: narrow it, or allow more", n, most)
	}
	return nil
}

// replayTick is how often a replay looks how far it came.
const replayTick = 100 * time.Millisecond

// run passes the window through an engine, as group.start does for a group.
func (r *replay) run(ctx context.Context) error {
	b, g := r.bus, r.group
	// Dead letters need their topics, which may be missing: the group may never have run.
	if r.config.DeadLetter {
		handled := make(map[string][]*groupTopic)
		g.handledTopics(handled)
		if err := b.provisionLetters(ctx, handled, nil, nil); err != nil {
			return err
		}
	}
	reader, err := r.reader()
	if err != nil {
		return err
	}
	var topics []transport.TopicStart
	for name := range g.topics {
		topics = append(topics, transport.TopicStart{Topic: name})
	}
	// The name keeps a replay's metrics apart from those of the group.
	g.signals = b.signals.Group(g.name+" (replay)", topics)
	g.setForms()
	e := engine.New(engine.Config{
		Group:          g.name,
		Route:          r.route,
		Judge:          judgeAttempt,
		DeadLetter:     r.deadLetter,
		Flush:          g.late.wait,
		Observer:       &replayObserver{g.signals, r},
		Bounds:         engine.Bounds(b.config.Bounds),
		CommitInterval: replayTick,
		Logger:         b.config.Logger.With("group", g.name, "replay", true),
	})
	for _, sub := range g.subs {
		e.Attach(sub)
	}
	c := window.NewConsumer(r.window, r, reader, e)
	e.Start(c)
	// The engine is stored so that Drain, Close and operators reach it.
	g.engine.Store(e)
	defer b.endReplay(g)
	err = ErrClosed
	if b.beginReplay(g) {
		c.Begin()
		select {
		case <-c.Over():
			err = c.Ended()
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	// ctx may have ended, but handlers get their time to finish.
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), b.config.DrainTimeout)
	defer cancel()
	return errors.Join(err, g.drain(ending))
}

// beginReplay registers the replay with the bus, which ends it. It returns false if the bus
// has already ended.
func (b *Bus) beginReplay(g *group) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.state.Load() > stateStarted {
		return false
	}
	b.replays[g] = struct{}{}
	return true
}

// endReplay removes a finished replay.
func (b *Bus) endReplay(g *group) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.replays, g)
}

// deadLetter finishes a failed event, and writes its dead letter if the configuration says
// so.
func (r *replay) deadLetter(ctx context.Context, f *engine.Failure, done func(error)) {
	if r.config.DeadLetter {
		r.group.deadLetter(ctx, f, done)
		return
	}
	done(nil)
}

// replayObserver counts the outcomes of a replay's events.
type replayObserver struct {
	*telemetry.GroupSignals
	replay *replay
}

// Handled implements engine.Observer.
func (o *replayObserver) Handled(_ *engine.Subscription, records []*transport.Record, _ time.Duration) {
	o.replay.handled(records)
}

// Failed implements engine.Observer: some events of a batch may have been handled.
func (o *replayObserver) Failed(_ *engine.Subscription, a *engine.Attempt, _ error, v engine.Verdict) {
	if v.Each == nil || len(a.Records) < 2 {
		return
	}
	var handled []*transport.Record
	for i, record := range a.Records {
		if v.Each(i) == nil {
			handled = append(handled, record)
		}
	}
	o.replay.handled(handled)
}

// DeadLettered implements engine.Observer.
func (o *replayObserver) DeadLettered(f *engine.Failure) {
	o.replay.failed(f)
	if o.replay.config.DeadLetter {
		o.GroupSignals.DeadLettered(f)
		return
	}
	h := o.Topics[f.Record.Topic]
	level, quiet := h.Failures.Next(slog.LevelWarn)
	o.LogFailure(level, quiet, "failed in a replay, and reported", f, slog.String(telemetry.LogReason, f.Reason))
}

// Skipped implements engine.Observer. Records that a replay ignores are not reported.
func (o *replayObserver) Skipped(p transport.Partition, reason string, n int64) {
	if reason != notReplayed {
		o.GroupSignals.Skipped(p, reason, n)
	}
}

// Committed implements engine.Observer. A replay commits nothing.
func (*replayObserver) Committed(transport.Partition, int64) {}

// resolve turns the window into offsets, once, so that the replay always ends.
func (r *replay) resolve(ctx context.Context) error {
	c := &r.config
	bounds := window.Bounds{From: c.From, To: c.To, FromOffsets: c.FromOffsets, ToOffsets: c.ToOffsets}
	all, err := bounds.Resolve(ctx, r.bus.transport.Admin(), slices.Sorted(maps.Keys(r.group.topics))...)
	if err != nil {
		return err
	}
	r.window = make(window.Window)
	for p, span := range all {
		r.counts[p] = &replayCount{
			ReplayedPartition: ReplayedPartition{Partition: p, From: span.From, To: span.To, Next: span.From},
			events:            make(map[string]*int64),
		}
		if span.From < span.To {
			r.window[p] = span
		}
	}
	return nil
}

// reader opens a reader of the window.
func (r *replay) reader() (transport.Reader, error) {
	return r.window.Reader(r.bus.transport, r.bus.config.FetchBytes, r.bus.config.Logger)
}
