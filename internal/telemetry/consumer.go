package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

// ObservedConsumer is a transport.Consumer that reports the traffic between an engine and
// the consumer it wraps. Like that consumer it is used by one engine.
type ObservedConsumer struct {
	transport.Consumer
	// Of is the group whose member it is.
	Of *GroupSignals
}

// Poll implements transport.Consumer. It counts records here instead of where they are
// handled, because ConsumedMessages includes records that are skipped.
func (c *ObservedConsumer) Poll(ctx context.Context) ([]transport.Batch, error) {
	batches, err := c.Consumer.Poll(ctx)
	for i := range batches {
		if n := len(batches[i].Records); n > 0 {
			c.Of.metrics.consumed.Add(ctx, int64(n), c.Of.Topics[batches[i].Topic].consumed.add...)
		}
	}
	return batches, err
}

// Commit implements transport.Consumer. It is measured but has no span: it covers events
// of many traces and belongs to none, so it would make a trace of one span every second.
func (c *ObservedConsumer) Commit(ctx context.Context, commits ...transport.Commit) error {
	start := time.Now()
	err := c.Consumer.Commit(ctx, commits...)
	c.Of.metrics.operation.Record(ctx, time.Since(start).Seconds(), c.Of.commits.of(ErrorClass(err)).record...)
	return err
}

// Pass implements transport.Passer, if the wrapped consumer does.
func (c *ObservedConsumer) Pass(ctx context.Context, p transport.Partition, next int64) error {
	passer, ok := c.Consumer.(transport.Passer)
	if !ok {
		return fmt.Errorf("this transport can't pass over what it can't read: %w", errors.ErrUnsupported)
	}
	return passer.Pass(ctx, p, next)
}

// Pause implements transport.Consumer. The engine pauses partitions only when
// one of its memory bounds is reached.
func (c *ObservedConsumer) Pause(partitions ...transport.Partition) {
	c.Consumer.Pause(partitions...)
	c.log("fetching paused: a bound is reached", partitions)
}

// Resume implements transport.Consumer.
func (c *ObservedConsumer) Resume(partitions ...transport.Partition) {
	c.Consumer.Resume(partitions...)
	c.log("fetching resumed", partitions)
}

// log logs one record per partition, at debug level: pausing is normal under
// load, and the PausedFetches metric shows it all the time.
func (c *ObservedConsumer) log(text string, partitions []transport.Partition) {
	ctx := context.Background()
	if !c.Of.Log.Enabled(ctx, slog.LevelDebug) {
		return
	}
	for _, p := range partitions {
		c.Of.Log.LogAttrs(ctx, slog.LevelDebug, text, slog.String(LogTopic, p.Topic), slog.Int64(LogPartition, int64(p.Partition)))
	}
}
