package eventbus

import (
	"context"
	"log/slog"
	"time"

	"github.com/eventbus-go/eventbus/internal/telemetry"
	"github.com/eventbus-go/eventbus/transport"
	"go.opentelemetry.io/otel/trace"
)

// observedConsumer tells what passes between an engine and its consumer.
type observedConsumer struct {
	transport.Consumer
	of *groupSignals
}

// Poll implements transport.Consumer.
func (c *observedConsumer) Poll(ctx context.Context) ([]transport.Batch, error) {
	batches, err := c.Consumer.Poll(ctx)
	for i := range batches {
		if n := len(batches[i].Records); n > 0 {
			c.of.metrics.consumed.Add(ctx, int64(n), c.of.topics[batches[i].Topic].consumed.add...)
		}
	}
	return batches, err
}

// Commit implements transport.Consumer.
func (c *observedConsumer) Commit(ctx context.Context, commits ...transport.Commit) error {
	g, start := c.of, time.Now()
	var span trace.Span
	if g.tracing.on() {
		_, span = g.tracing.tracer.Start(ctx, g.commit.name, trace.WithSpanKind(trace.SpanKindClient),
			trace.WithAttributes(g.commit.attributes...), trace.WithAttributes(telemetry.PartitionCount.Int(len(commits))))
	}
	err := c.Consumer.Commit(ctx, commits...)
	kind := errorType(err)
	g.metrics.operation.Record(ctx, time.Since(start).Seconds(), g.commits.of(kind).record...)
	if span != nil {
		if err != nil {
			failed(span, kind, err)
		}
		span.End()
	}
	return err
}

// Pause implements transport.Consumer.
func (c *observedConsumer) Pause(partitions ...transport.Partition) {
	c.Consumer.Pause(partitions...)
	c.log("fetching paused: a bound is reached", partitions)
}

// Resume implements transport.Consumer.
func (c *observedConsumer) Resume(partitions ...transport.Partition) {
	c.Consumer.Resume(partitions...)
	c.log("fetching resumed", partitions)
}

func (c *observedConsumer) log(text string, partitions []transport.Partition) {
	ctx := context.Background()
	if !c.of.log.Enabled(ctx, slog.LevelDebug) {
		return
	}
	for _, p := range partitions {
		c.of.log.LogAttrs(ctx, slog.LevelDebug, text, slog.String(telemetry.LogTopic, p.Topic), slog.Int64(telemetry.LogPartition, int64(p.Partition)))
	}
}
