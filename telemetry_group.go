package eventbus

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/eventbus-go/eventbus/internal/engine"
	"github.com/eventbus-go/eventbus/internal/telemetry"
	"github.com/eventbus-go/eventbus/transport"
	"go.opentelemetry.io/otel/trace"
)

// groupSignals is what is told of a consumer group. It hears its engine.
type groupSignals struct {
	*signals
	engine.NoObserver
	name   string
	log    *slog.Logger
	engine *engine.Engine
	topics map[string]*handling // not changed once it is handed out

	commit   spanKind
	commits  *family // by error
	base     *labels
	unstable unstable
}

func newGroupSignals(s *signals, name string) *groupSignals {
	group := telemetry.ConsumerGroup.String(name)
	commit := spanKind{name: telemetry.Commit, attributes: s.operation(telemetry.Commit, telemetry.TypeSettle, group)}
	return &groupSignals{
		signals: s, name: name,
		log:     s.log.With(telemetry.LogGroup, name),
		topics:  make(map[string]*handling),
		commit:  commit,
		commits: newFamily(telemetry.ErrorType, commit.attributes...),
		base:    newLabels(s.attributes(group)...),
	}
}

// watch begins to observe the engine.
func (g *groupSignals) watch(e *engine.Engine) {
	g.engine = e
	// A counter that is there from the start, at zero, shows its first step.
	ctx := context.Background()
	g.metrics.abandoned.Add(ctx, 0, g.base.add...)
	g.metrics.lost.Add(ctx, 0, g.base.add...)
	for _, h := range g.topics {
		g.metrics.retries.Add(ctx, 0, h.base.add...)
		g.metrics.letterFailures.Add(ctx, 0, h.base.add...)
		g.metrics.commitFailure.Add(ctx, 0, h.base.add...)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.groups = append(g.groups, g)
}

// unknownTypePrefix begins the reason for which an event of a type without a
// handler is skipped; the type follows.
const unknownTypePrefix = "unknown type "

// Skipped implements engine.Observer.
func (g *groupSignals) Skipped(p transport.Partition, reason string, n int64) {
	h := g.topics[p.Topic]
	kind, value := h.skips, reason
	if typ, unknown := strings.CutPrefix(reason, unknownTypePrefix); unknown {
		kind, value = h.unknown, typ
	}
	ctx := context.Background()
	g.metrics.skipped.Add(ctx, n, kind.of(value).add...)
	if g.log.Enabled(ctx, slog.LevelDebug) {
		g.log.LogAttrs(ctx, slog.LevelDebug, "skipped", slog.String(telemetry.LogTopic, p.Topic), slog.Int64(telemetry.LogPartition, int64(p.Partition)),
			slog.String(telemetry.LogReason, reason), slog.Int64(telemetry.LogEvents, n))
	}
}

// Parked implements engine.Observer.
func (g *groupSignals) Parked(_ *engine.Subscription, f *engine.Failure, wait time.Duration) {
	g.logFailure(slog.LevelDebug, slog.Attr{}, "waits for the next attempt, its key behind it", f, slog.Duration(telemetry.LogWait, wait))
}

// departLetter begins the flight of a dead letter, beside the attempts in the
// trace of its event. The letter keeps the headers that its record came with, so
// that a redelivery goes on in the same trace.
func (g *groupSignals) departLetter(f *engine.Failure, r *transport.Record) flight {
	s, e := g.sending(r.Topic), envelopeOf(f.Record)
	letter := flight{of: s, id: e.ID, start: time.Now()}
	if g.tracing.on() {
		attributes := append(appendOrigin(s.send.of(e), e.Topic, e.Partition, e.Offset), telemetry.ConsumerGroup.String(g.name),
			telemetry.DeadLetterReason.String(f.Reason), telemetry.Attempt.Int(f.Attempts))
		_, letter.span = g.tracing.tracer.Start(g.tracing.extract(context.Background(), e), s.send.name,
			trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(attributes...))
	}
	return letter
}

// DeadLettered implements engine.Observer.
func (g *groupSignals) DeadLettered(f *engine.Failure) {
	h := g.topics[f.Record.Topic]
	h.metrics.letters.Add(context.Background(), 1, h.letters.of(f.Reason).add...)
	level, quiet := h.failures.next(slog.LevelWarn)
	g.logFailure(level, quiet, "dead-lettered", f, slog.String(telemetry.LogReason, f.Reason))
}

// DeadLetterFailed implements engine.Observer.
func (g *groupSignals) DeadLetterFailed(f *engine.Failure, err error) {
	h := g.topics[f.Record.Topic]
	h.metrics.letterFailures.Add(context.Background(), 1, h.base.add...)
	level, quiet := h.failures.next(slog.LevelError)
	refused := *f
	refused.Err = err
	g.logFailure(level, quiet, "dead letter not written: its key waits", &refused, slog.String(telemetry.LogReason, f.Reason))
}

// logFailure tells what became of a failed event.
func (g *groupSignals) logFailure(level slog.Level, quiet slog.Attr, text string, f *engine.Failure, more slog.Attr) {
	ctx := context.Background()
	if !g.log.Enabled(ctx, level) {
		return
	}
	e := envelopeOf(f.Record)
	fields := appendTrace(eventFields(e), trace.SpanContextFromContext(g.tracing.extract(ctx, e)))
	g.log.LogAttrs(ctx, level, text, append(fields, slog.Int(telemetry.LogAttempts, f.Attempts), more, slog.Any(telemetry.LogError, f.Err), quiet)...)
}

// Committed implements engine.Observer.
func (g *groupSignals) Committed(p transport.Partition, offset int64) {
	if ctx := context.Background(); g.log.Enabled(ctx, slog.LevelDebug) {
		g.log.LogAttrs(ctx, slog.LevelDebug, "committed", slog.String(telemetry.LogTopic, p.Topic),
			slog.Int64(telemetry.LogPartition, int64(p.Partition)), slog.Int64(telemetry.LogOffset, offset))
	}
}

// CommitFailed implements engine.Observer.
func (g *groupSignals) CommitFailed(p transport.Partition, _ error) {
	g.metrics.commitFailure.Add(context.Background(), 1, g.topics[p.Topic].base.add...)
}

// Assigned implements engine.Observer.
func (g *groupSignals) Assigned(n int) { g.log.Debug("partitions taken over", "count", n) }

// Revoked implements engine.Observer.
func (g *groupSignals) Revoked(n int, lost bool) {
	g.log.Debug("partitions given up", "count", n, "lost", lost)
	if lost {
		g.metrics.lost.Add(context.Background(), int64(n), g.base.add...)
	}
}

// Abandoned implements engine.Observer.
func (g *groupSignals) Abandoned(n int) {
	g.log.Warn("handlers cut off at the end of the drain: their events are handled again elsewhere", "attempts", n)
	g.metrics.abandoned.Add(context.Background(), int64(n), g.base.add...)
}
