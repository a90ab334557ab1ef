package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/twmb/franz-go/pkg/kgo"
)

// logged is one record of the log, as another client reads it.
type logged struct{ key, seq uint32 }

// place is the place of a record in the log.
type place struct {
	partition int32
	offset    int64
}

// read returns the records of a whole topic, by partition. Offsets are indexes,
// since nothing is deleted.
func (c *cluster) read(ctx context.Context, topic string, partitions int32) ([][]logged, error) {
	log := make([][]logged, partitions)
	err := c.each(ctx, topic, partitions, func(r *kgo.Record) error {
		var e numbered
		if err := json.Unmarshal(r.Value, &e); err != nil {
			return fmt.Errorf("%s/%d@%d: %w", topic, r.Partition, r.Offset, err)
		}
		if at := int64(len(log[r.Partition])); r.Offset != at {
			return fmt.Errorf("%s/%d has offset %d after %d", topic, r.Partition, r.Offset, at-1)
		}
		log[r.Partition] = append(log[r.Partition], logged{e.Key, e.Seq})
		return nil
	})
	return log, err
}

// letters counts the dead letters in a topic by the place of the record that
// they were made of.
func (c *cluster) letters(ctx context.Context, topic string, partitions int32) (map[place]int, error) {
	dead := make(map[place]int)
	err := c.each(ctx, topic, partitions, func(r *kgo.Record) error {
		var from place
		for _, h := range r.Headers {
			var err error
			switch h.Key {
			case "eventbus-dlq-partition":
				var n int64
				n, err = strconv.ParseInt(string(h.Value), 10, 32)
				from.partition = int32(n) //nolint:gosec // parsed to 32 bits
			case "eventbus-dlq-offset":
				from.offset, err = strconv.ParseInt(string(h.Value), 10, 64)
			}
			if err != nil {
				return err
			}
		}
		dead[from]++
		return nil
	})
	return dead, err
}

// each calls f with every record of a topic, in order within each partition.
func (c *cluster) each(ctx context.Context, topic string, partitions int32, f func(*kgo.Record) error) error {
	ends, err := c.ends(ctx, topic, partitions)
	if err != nil {
		return err
	}
	from := make(map[int32]kgo.Offset)
	left := int64(0)
	for p, end := range ends {
		if end > 0 {
			from[int32(p)] = kgo.NewOffset().At(0) //nolint:gosec // a partition's number
			left += end
		}
	}
	if left == 0 {
		return nil
	}
	reader, err := kgo.NewClient(kgo.SeedBrokers(c.addresses...),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}))
	if err != nil {
		return err
	}
	defer reader.Close()
	for left > 0 {
		fetches := reader.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			return err
		}
		var errs []error
		fetches.EachError(func(_ string, _ int32, err error) { errs = append(errs, err) })
		fetches.EachRecord(func(r *kgo.Record) {
			if r.Offset < ends[r.Partition] {
				left--
				errs = append(errs, f(r))
			}
		})
		if err := errors.Join(errs...); err != nil {
			return err
		}
	}
	return nil
}
