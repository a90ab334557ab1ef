package telemetry

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/eventbus-go/eventbus/internal/engine"
	"github.com/eventbus-go/eventbus/internal/wire"
	"github.com/eventbus-go/eventbus/transport"
)

// GroupSignals reports on one consumer group. It observes the group's engine,
// which calls it from many goroutines.
type GroupSignals struct {
	*Signals
	engine.NoObserver
	name string
	// Log has the group's field in all records.
	Log *slog.Logger
	// engine is nil until Watch.
	engine *engine.Engine
	// Topics has the signals of each topic by full name. It is read-only once
	// GroupSignals is in use.
	Topics map[string]*ProcessSignals

	commits  *family // by error
	base     *labels
	unstable unstable
}

// newGroupSignals prepares the labels of a group, so that reporting one commit
// or rebalance builds no attribute set.
func newGroupSignals(s *Signals, name string) *GroupSignals {
	group := ConsumerGroup.String(name)
	return &GroupSignals{
		Signals: s, name: name,
		Log:     s.log.With(LogGroup, name),
		Topics:  make(map[string]*ProcessSignals),
		commits: newFamily(ErrorType, s.operation(Commit, TypeSettle, group)...),
		base:    newLabels(s.attributes(group)...),
	}
}

// EventOf returns EventOf of a record that the group has read.
func (g *GroupSignals) EventOf(r *transport.Record) *wire.Event {
	if h := g.Topics[r.Topic]; h != nil {
		return EventOf(h.Form, r)
	}
	return EventOf(nil, r)
}

// Watch adds the engine to the metrics that are read at each collection.
func (g *GroupSignals) Watch(e *engine.Engine) {
	g.engine = e
	// A counter must exist at zero for its first increase to be seen.
	ctx := context.Background()
	g.metrics.abandoned.Add(ctx, 0, g.base.add...)
	g.metrics.lost.Add(ctx, 0, g.base.add...)
	g.metrics.missedHooks.Add(ctx, 0, g.base.add...)
	for _, h := range g.Topics {
		g.metrics.retries.Add(ctx, 0, h.base.add...)
		g.metrics.released.Add(ctx, 0, h.base.add...)
		g.metrics.discarded.Add(ctx, 0, h.base.add...)
		g.metrics.letterFailures.Add(ctx, 0, h.base.add...)
		g.metrics.commitFailure.Add(ctx, 0, h.base.add...)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.groups = append(g.groups, g)
}

// UnknownTypePrefix begins the reason for which an event of a type without a
// handler is skipped; the type follows. Skipped counts such events by type, so
// that a missing handler is seen, and all others by reason.
const UnknownTypePrefix = "unknown type "

// Skipped implements engine.Observer.
func (g *GroupSignals) Skipped(p transport.Partition, reason string, n int64) {
	h := g.Topics[p.Topic]
	kind, value := h.skips, reason
	if typ, unknown := strings.CutPrefix(reason, UnknownTypePrefix); unknown {
		kind, value = h.unknown, typ
	}
	ctx := context.Background()
	g.metrics.skipped.Add(ctx, n, kind.of(value).add...)
	if g.Log.Enabled(ctx, slog.LevelDebug) {
		g.Log.LogAttrs(ctx, slog.LevelDebug, "skipped", slog.String(LogTopic, p.Topic), slog.Int64(LogPartition, int64(p.Partition)),
			slog.String(LogReason, reason), slog.Int64(LogEvents, n))
	}
}

// Released implements engine.Observer. It is a warning, once in a while: the events
// had a handler, and the deployment that took it away may have been a mistake.
func (g *GroupSignals) Released(p transport.Partition, typ string, held time.Duration) {
	h, ctx := g.Topics[p.Topic], context.Background()
	g.metrics.released.Add(ctx, 1, h.base.add...)
	level, quiet := h.Failures.Next(slog.LevelWarn)
	if g.Log.Enabled(ctx, level) {
		g.Log.LogAttrs(ctx, level, "an event was held for a handler of its type, and none came", slog.String(LogTopic, p.Topic),
			slog.Int64(LogPartition, int64(p.Partition)), slog.String("type", ClippedName(typ)), slog.Duration(LogWait, held), quiet)
	}
}

// Parked implements engine.Observer. The first failure of an event is a warning. Later
// ones are at debug level, because the event ends either in a success or in a dead
// letter, which is a warning again.
func (g *GroupSignals) Parked(_ *engine.Subscription, f *engine.Failure, wait time.Duration) {
	level, quiet := slog.LevelDebug, slog.Attr{}
	if f.Attempts <= 1 {
		level, quiet = g.Topics[f.Record.Topic].Failures.Next(slog.LevelWarn)
	}
	g.LogFailure(level, quiet, "handler failed: its key waits for the next attempt", f, slog.Duration(LogWait, wait))
}

// Discarded implements engine.Observer. The first of each kind of error is a warning,
// and the others are only counted, since there may be many such events.
func (g *GroupSignals) Discarded(f *engine.Failure) {
	h, level := g.Topics[f.Record.Topic], slog.LevelDebug
	h.metrics.discarded.Add(context.Background(), 1, h.discards.of(f.Reason).add...)
	if h.discarded.First(f.Reason) {
		level = slog.LevelWarn
	}
	g.LogFailure(level, slog.Attr{}, "discarded, and more with such errors from now on", f, slog.String(LogReason, f.Reason))
}

// MissedHooks counts calls of hooks that will never be made.
func (g *GroupSignals) MissedHooks(n int) {
	g.metrics.missedHooks.Add(context.Background(), int64(n), g.base.add...)
}

// StartLetter begins the report of a dead letter, whose span stands beside the
// attempts in the trace of its event. The letter keeps the headers that its
// record came with, so that a redelivery continues the same trace.
func (g *GroupSignals) StartLetter(f *engine.Failure, r *transport.Record) Outgoing {
	s, e := g.SendSignals(r.Topic), g.EventOf(f.Record)
	letter := Outgoing{Of: s, ID: e.ID, start: time.Now()}
	if g.Tracing.on() {
		_, letter.span = g.Tracing.tracer.Start(g.Tracing.extract(context.Background(), e), s.send.name,
			s.send.start(trace.SpanKindClient, ConsumerGroup.String(g.name))...)
		if letter.span.IsRecording() {
			letter.span.SetAttributes(append(appendOrigin(newEvent(e), e.Topic, e.Partition, e.Offset),
				DeadLetterReason.String(f.Reason), Attempt.Int(f.Attempts))...)
		}
	}
	return letter
}

// DeadLettered implements engine.Observer. A dead letter needs an operator, so
// it is a warning; the limit keeps a poisoned topic from flooding the log.
func (g *GroupSignals) DeadLettered(f *engine.Failure) {
	h := g.Topics[f.Record.Topic]
	h.metrics.letters.Add(context.Background(), 1, h.letters.of(f.Reason).add...)
	level, quiet := h.Failures.Next(slog.LevelWarn)
	g.LogFailure(level, quiet, "dead-lettered", f, slog.String(LogReason, f.Reason))
}

// DeadLetterFailed implements engine.Observer. The record is about the refused
// write: its error replaces the handler's, which the attempts have logged.
func (g *GroupSignals) DeadLetterFailed(f *engine.Failure, err error) {
	h := g.Topics[f.Record.Topic]
	h.metrics.letterFailures.Add(context.Background(), 1, h.base.add...)
	level, quiet := h.Failures.Next(slog.LevelError)
	refused := *f
	refused.Err = err
	g.LogFailure(level, quiet, "dead letter not written: its key waits", &refused, slog.String(LogReason, f.Reason))
}

// LogFailure logs the outcome of a failed event with its trace. The zero Attr,
// which log handlers leave out, stands for no further field.
func (g *GroupSignals) LogFailure(level slog.Level, quiet slog.Attr, text string, f *engine.Failure, more slog.Attr) {
	ctx := context.Background()
	if !g.Log.Enabled(ctx, level) {
		return
	}
	e := g.EventOf(f.Record)
	fields := appendTrace(eventFields(e), trace.SpanContextFromContext(g.Tracing.extract(ctx, e)))
	g.Log.LogAttrs(ctx, level, text, append(fields, slog.Bool(LogKeyed, f.Record.Key != nil), slog.Int(LogAttempts, f.Attempts), more, slog.Any(LogError, f.Err), quiet)...)
}

// Committed implements engine.Observer.
func (g *GroupSignals) Committed(p transport.Partition, offset int64) {
	if ctx := context.Background(); g.Log.Enabled(ctx, slog.LevelDebug) {
		g.Log.LogAttrs(ctx, slog.LevelDebug, "committed", slog.String(LogTopic, p.Topic),
			slog.Int64(LogPartition, int64(p.Partition)), slog.Int64(LogOffset, offset))
	}
}

// CommitFailed implements engine.Observer.
func (g *GroupSignals) CommitFailed(p transport.Partition, _ error) {
	g.metrics.commitFailure.Add(context.Background(), 1, g.Topics[p.Topic].base.add...)
}

// Assigned implements engine.Observer.
func (g *GroupSignals) Assigned(n int) { g.Log.Debug("partitions taken over", "count", n) }

// Revoked implements engine.Observer.
func (g *GroupSignals) Revoked(n int, lost bool) {
	g.Log.Debug("partitions given up", "count", n, "lost", lost)
	if lost {
		g.metrics.lost.Add(context.Background(), int64(n), g.base.add...)
	}
}

// Abandoned implements engine.Observer.
func (g *GroupSignals) Abandoned(n int) {
	g.Log.Warn("handlers cut off at the end of the drain: their events are handled again elsewhere", "attempts", n)
	g.metrics.abandoned.Add(context.Background(), int64(n), g.base.add...)
}
