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
	"github.com/eventbus-go/eventbus/internal/telemetry"
	"github.com/eventbus-go/eventbus/internal/wire"
	"github.com/eventbus-go/eventbus/transport"
)

// replay is one call of Operator.Replay.
type replay struct {
	bus    *Bus
	config ReplayConfig
	group  *group
	window map[transport.Partition]*replayCount // of those counts, those with something to read

	mu       sync.Mutex
	counts   map[transport.Partition]*replayCount
	failures []ReplayFailure
}

// notReplayed is why records are skipped that a replay does not look at.
const notReplayed = "not in the replay"

// route is the group's for what the replay looks at.
func (r *replay) route(record *transport.Record) engine.Route {
	t := r.group.routes[record.Topic]
	if !r.takes(t, record) {
		return engine.Route{End: engine.Skip, Reason: notReplayed}
	}
	return r.group.route(record)
}

// takes reports whether a record is for the handlers, and counts it if so.
func (r *replay) takes(t *groupTopic, record *transport.Record) bool {
	if keys := r.config.Keys; len(keys) > 0 && (record.Key == nil || !slices.Contains(keys, string(record.Key))) {
		return false
	}
	typ, known := wire.Type(record)
	chosen := len(r.config.Types) == 0
	known = known && record.Excess == nil
	switch {
	case record.Value == nil:
		if t.tombstone == nil || !chosen {
			return false
		}
		typ = ReplayTombstones
	case !known:
		if !chosen {
			return false
		}
		typ = ReplayMalformed
	case t.types[typ] == nil || !chosen && !slices.Contains(r.config.Types, typ):
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

// replayTick is how often a replay looks how far it came.
const replayTick = 100 * time.Millisecond

// run runs the window through an engine, as start does the group.
func (r *replay) run(ctx context.Context) error {
	b, g := r.bus, r.group
	if r.config.DeadLetter {
		handled := make(map[string][]*groupTopic)
		g.handledTopics(handled)
		if err := b.provisionLetters(ctx, handled, nil); err != nil {
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
	g.signals = b.signals.Group(g.name+" (replay)", topics)
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
	c := newReplayConsumer(r, reader, e)
	e.Start(c)
	g.engine.Store(e)
	defer b.endReplay(g)
	err = ErrClosed
	if b.beginReplay(g) {
		c.begin()
		select {
		case <-c.over:
			err = c.ended()
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), b.config.DrainTimeout)
	defer cancel()
	return errors.Join(err, g.drain(ending))
}

// beginReplay ends the replay with the bus. It reports false if the bus has
// ended already.
func (b *Bus) beginReplay(g *group) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.state.Load() > stateStarted {
		return false
	}
	b.replays[g] = struct{}{}
	return true
}

func (b *Bus) endReplay(g *group) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.replays, g)
}

// deadLetter reports a failed event, and writes its dead letter if the
// configuration asks for that.
func (r *replay) deadLetter(ctx context.Context, f *engine.Failure, done func(error)) {
	if r.config.DeadLetter {
		r.group.deadLetter(ctx, f, done)
		return
	}
	done(nil)
}

// replayObserver counts what comes of a replay's events.
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

// Skipped implements engine.Observer: what a replay does not look at is no news.
func (o *replayObserver) Skipped(p transport.Partition, reason string, n int64) {
	if reason != notReplayed {
		o.GroupSignals.Skipped(p, reason, n)
	}
}

// Committed implements engine.Observer: nothing is.
func (*replayObserver) Committed(transport.Partition, int64) {}

// resolve turns the window into offsets, once, so that a replay always ends:
// later records are not a part of it.
func (r *replay) resolve(ctx context.Context) error {
	admin := r.bus.transport.Admin()
	infos, err := admin.Topics(ctx, slices.Sorted(maps.Keys(r.group.topics))...)
	if err != nil {
		return err
	}
	var partitions []transport.Partition
	for _, info := range infos {
		if info.Err != nil {
			return fmt.Errorf("topic %s: %w", info.Name, info.Err)
		}
		for n := range info.Partitions {
			partitions = append(partitions, transport.Partition{Topic: info.Name, Partition: n})
		}
	}
	if err := r.checkOffsets(partitions); err != nil {
		return err
	}
	starts, err := admin.Offsets(ctx, transport.Earliest(), partitions...)
	if err != nil {
		return err
	}
	ends, err := admin.Offsets(ctx, transport.Latest(), partitions...)
	if err != nil {
		return err
	}
	from, to := starts, ends
	if !r.config.From.IsZero() {
		if from, err = admin.Offsets(ctx, transport.At(r.config.From), partitions...); err != nil {
			return err
		}
	}
	if !r.config.To.IsZero() {
		if to, err = admin.Offsets(ctx, transport.At(r.config.To), partitions...); err != nil {
			return err
		}
	}
	r.window = make(map[transport.Partition]*replayCount)
	for _, p := range partitions {
		c := &replayCount{ReplayedPartition: ReplayedPartition{Partition: p}, events: make(map[string]*int64)}
		c.From = min(max(offsetIn(r.config.FromOffsets, p, from[p]), starts[p]), ends[p])
		c.To = min(max(offsetIn(r.config.ToOffsets, p, to[p]), c.From), ends[p])
		c.Next = c.From
		r.counts[p] = c
		if c.From < c.To {
			r.window[p] = c
		}
	}
	return nil
}

// offsetIn returns the value of a partition, or otherwise if it has none.
func offsetIn(values map[transport.Partition]int64, p transport.Partition, otherwise int64) int64 {
	if v, ok := values[p]; ok {
		return v
	}
	return otherwise
}

// checkOffsets returns an error for offsets of partitions that are not read;
// they are most likely misspelt.
func (r *replay) checkOffsets(partitions []transport.Partition) error {
	for field, offsets := range map[string]map[transport.Partition]int64{"FromOffsets": r.config.FromOffsets, "ToOffsets": r.config.ToOffsets} {
		for p := range offsets {
			if !slices.Contains(partitions, p) {
				return fmt.Errorf("%s has %s, which is no partition of the topics that the subscriptions are of", field, p)
			}
		}
	}
	return nil
}

// reader opens a reader of the window.
func (r *replay) reader() (transport.Reader, error) {
	config := transport.ReaderConfig{
		From: make(map[transport.Partition]int64), To: make(map[transport.Partition]int64),
		FetchBytes: r.bus.config.FetchBytes, Logger: r.bus.config.Logger,
	}
	for p, c := range r.window {
		config.From[p], config.To[p] = c.From, c.To
	}
	return r.bus.transport.NewReader(config)
}
