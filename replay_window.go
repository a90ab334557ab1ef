package eventbus

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/eventbus-go/eventbus/transport"
)

// resolve turns the window into offsets, once: what is written afterwards is not
// a part of it.
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

// offsetIn is the value of a partition, or otherwise if it has none.
func offsetIn(values map[transport.Partition]int64, p transport.Partition, otherwise int64) int64 {
	if v, ok := values[p]; ok {
		return v
	}
	return otherwise
}

// checkOffsets refuses offsets of partitions that are not read.
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

// reader reads the window.
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
