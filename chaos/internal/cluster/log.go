package cluster

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Each calls f for every record of a topic, in order within each partition. It ends with the
// records that the topic had when it was called, even if more are written meanwhile. It stops
// after the fetch in which f returned an error, and returns all errors of that fetch.
func (c *Cluster) Each(ctx context.Context, topic string, partitions int32, f func(*kgo.Record) error) error {
	ends, err := c.Ends(ctx, topic, partitions)
	if err != nil {
		return err
	}
	from := make(map[int32]kgo.Offset)
	// left is the number of records that are not read yet.
	left := int64(0)
	for p, end := range ends {
		// An empty partition is not read, since no record would end the wait for it. An end counts
		// the records, as topics of the campaign have no compaction, retention or transactions.
		if end > 0 {
			from[int32(p)] = kgo.NewOffset().At(0) //nolint:gosec // a partition's number
			left += end
		}
	}
	if left == 0 {
		return nil
	}
	// Each call has its own client, because Client consumes nothing.
	reader, err := kgo.NewClient(kgo.SeedBrokers(c.Addresses()...),
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
			// Records that were written after the call began are not in left.
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
