// Package replay reads a window of the log as if it belonged to a consumer group.
//
//	window.go    the offsets of a window, resolved once
//	consumer.go  transport.Consumer over a window: partitions never move, and commits are stored nowhere
package replay

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

// Span is a range of offsets, from From up to but not including To.
type Span struct{ From, To int64 }

// Window is what is read, by partition. It includes partitions with nothing to read, with
// an empty Span.
type Window map[transport.Partition]Span

// Never is a time at which nothing was published. As Bounds.From it leaves out every
// partition that FromOffsets does not name.
var Never = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

// Bounds limit a window by the times of records, and by offsets in the partitions that
// they name. The zero value is the whole log up to its current end.
type Bounds struct {
	From, To               time.Time
	FromOffsets, ToOffsets map[transport.Partition]int64
}

// Resolve turns bounds into offsets of all partitions of topics. A resolved window always
// ends: later records do not belong to it.
func (b *Bounds) Resolve(ctx context.Context, admin transport.Admin, topics ...string) (Window, error) {
	infos, err := admin.Topics(ctx, topics...)
	if err != nil {
		return nil, err
	}
	var partitions []transport.Partition
	w := make(Window)
	for _, info := range infos {
		if info.Err != nil {
			return nil, fmt.Errorf("topic %s: %w", info.Name, info.Err)
		}
		for n := range info.Partitions {
			p := transport.Partition{Topic: info.Name, Partition: n}
			partitions, w[p] = append(partitions, p), Span{}
		}
	}
	// Check before asking for offsets, since a misspelt bound fails without them.
	if err := b.checkOffsets(w); err != nil {
		return nil, err
	}
	starts, err := admin.Offsets(ctx, transport.Earliest(), partitions...)
	if err != nil {
		return nil, err
	}
	ends, err := admin.Offsets(ctx, transport.Latest(), partitions...)
	if err != nil {
		return nil, err
	}
	from, to := starts, ends
	if !b.From.IsZero() {
		if from, err = admin.Offsets(ctx, transport.At(b.From), partitions...); err != nil {
			return nil, err
		}
	}
	if !b.To.IsZero() {
		if to, err = admin.Offsets(ctx, transport.At(b.To), partitions...); err != nil {
			return nil, err
		}
	}
	// Bounds are moved into what the log has: From before its start, as retention left it, and To
	// past its end are not errors.
	for p := range w {
		var s Span
		s.From = min(max(offsetIn(b.FromOffsets, p, from[p]), starts[p]), ends[p])
		s.To = min(max(offsetIn(b.ToOffsets, p, to[p]), s.From), ends[p])
		w[p] = s
	}
	return w, nil
}

// offsetIn returns the value of a partition, or otherwise if it has none.
func offsetIn(values map[transport.Partition]int64, p transport.Partition, otherwise int64) int64 {
	if v, ok := values[p]; ok {
		return v
	}
	return otherwise
}

// checkOffsets returns an error for offsets of partitions that are not in w, and so not
// read; they are most likely misspelt.
func (b *Bounds) checkOffsets(w Window) error {
	for field, offsets := range map[string]map[transport.Partition]int64{"FromOffsets": b.FromOffsets, "ToOffsets": b.ToOffsets} {
		for p := range offsets {
			if _, read := w[p]; !read {
				return fmt.Errorf("%s has %s, which is not a partition of the topics that the subscriptions are of", field, p)
			}
		}
	}
	return nil
}

// Reader opens a reader of the window.
func (w Window) Reader(t transport.Transport, fetchBytes int, logger *slog.Logger) (transport.Reader, error) {
	config := transport.ReaderConfig{
		From: make(map[transport.Partition]int64, len(w)), To: make(map[transport.Partition]int64, len(w)),
		FetchBytes: fetchBytes, Logger: logger,
	}
	for p, s := range w {
		config.From[p], config.To[p] = s.From, s.To
	}
	return t.NewReader(config)
}
