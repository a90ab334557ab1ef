package kafkatest

import (
	"context"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eventbus-go/eventbus/transport"
)

// readLog reads a topic from its first to its last offset, without a group. It uses
// another client than the bus, so it sees what any client sees.
func (c *Cluster) readLog(ctx context.Context, topic string) ([]transport.Record, error) {
	infos, err := c.transport.Admin().Topics(ctx, topic)
	if err != nil {
		return nil, err
	}
	starts, err := c.transport.Admin().Offsets(ctx, transport.Earliest(), partitionsOf(infos)...)
	if err != nil {
		return nil, err
	}
	ends, err := c.transport.Admin().Offsets(ctx, transport.Latest(), partitionsOf(infos)...)
	if err != nil {
		return nil, err
	}
	from := make(map[int32]kgo.Offset)
	for p, end := range ends {
		// The loop below would wait for an empty partition's last record without end.
		if starts[p] < end {
			from[p.Partition] = kgo.NewOffset().At(starts[p])
		}
	}
	if len(from) == 0 {
		return nil, nil
	}
	// Control records have offsets too, and may be the last ones of a partition.
	client, err := kgo.NewClient(kgo.SeedBrokers(c.brokers...), kgo.Dialer(c.network.reach),
		kgo.WithDecompressor(codecs{kgo.DefaultDecompressor()}), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	// logs has each partition's records, by its number.
	logs := make([][]transport.Record, infos[0].Partitions)
	for len(from) > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return nil, err
		}
		fetches.EachRecord(func(r *kgo.Record) {
			end := ends[transport.Partition{Topic: topic, Partition: r.Partition}]
			// Records from end on were published since. One of them also shows that
			// the partition is read, and is left out.
			if r.Offset >= end-1 {
				delete(from, r.Partition)
			}
			if r.Offset < end && !r.Attrs.IsControl() {
				logs[r.Partition] = append(logs[r.Partition], recordOf(r))
			}
		})
	}
	return merged(logs), nil
}

// recordOf converts a record of the other client, which does not reuse its memory.
func recordOf(r *kgo.Record) transport.Record {
	out := transport.Record{
		Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, LeaderEpoch: r.LeaderEpoch,
		Key: r.Key, Value: r.Value, Time: r.Timestamp,
	}
	for _, h := range r.Headers {
		out.Headers = append(out.Headers, transport.Header{Key: h.Key, Value: h.Value})
	}
	return out
}

// merged merges the records of all partitions by time, and keeps each partition's
// order.
func merged(logs [][]transport.Record) (all []transport.Record) {
	for {
		logs = slices.DeleteFunc(logs, func(l []transport.Record) bool { return len(l) == 0 })
		if len(logs) == 0 {
			return all
		}
		first := 0
		var earliest time.Time
		for i, l := range logs {
			if i == 0 || l[0].Time.Before(earliest) {
				// Ties go to the lower partition, so the order is the same on every
				// call.
				first, earliest = i, l[0].Time
			}
		}
		all = append(all, logs[first][0])
		logs[first] = logs[first][1:]
	}
}
