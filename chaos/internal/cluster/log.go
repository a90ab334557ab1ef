package cluster

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Each calls f with every record of a topic, in order within each partition.
// The end is read first, so that the call ends on a topic that is written to.
// It stops after the fetch in which f returned an error, and returns all errors of that.
func (c *Cluster) Each(ctx context.Context, topic string, partitions int32, f func(*kgo.Record) error) error {
	ends, err := c.Ends(ctx, topic, partitions)
	if err != nil {
		return err
	}
	from := make(map[int32]kgo.Offset)
	// left counts the records that are still to come.
	left := int64(0)
	for p, end := range ends {
		// Nothing will ever come of an empty partition, so it is not waited for. Offsets count as
		// records, which holds for topics without compaction, retention and transactions.
		if end > 0 {
			from[int32(p)] = kgo.NewOffset().At(0) //nolint:gosec // a partition's number
			left += end
		}
	}
	if left == 0 {
		return nil
	}
	// A client of its own: Cluster.Client consumes nothing, and stays free for questions.
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
			// What was written after the call began is left out, or left would be wrong.
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
