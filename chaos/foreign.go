package main

import (
	"bufio"
	"context"
	"encoding/json"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// serveForeign runs a member of the group in another client. It handles one record
// after another, commits what it has handled, and knows nothing of our metadata.
func serveForeign(t *task, l *ledger) error {
	// The incarnation is passed as the index, since a foreign member has no slot.
	incarnation := uint16(t.Shift.Index) //nolint:gosec // went the same way
	client, err := kgo.NewClient(
		kgo.SeedBrokers(t.Brokers...), kgo.ConsumerGroup(t.Topic.group()), kgo.ConsumeTopics(t.Topic.topic()),
		kgo.Balancers(kgo.CooperativeStickyBalancer()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.SessionTimeout(t.Crew.Session), kgo.HeartbeatInterval(t.Crew.Heartbeat), kgo.RebalanceTimeout(t.Crew.Rebalance),
		// Partitions stay until the polled records are handled and committed.
		kgo.BlockRebalanceOnPoll(), kgo.AutoCommitMarks(), kgo.AutoCommitInterval(time.Second),
		kgo.OnPartitionsRevoked(func(ctx context.Context, c *kgo.Client, _ map[string][]int32) {
			// If it fails the next owner repeats the events.
			_ = c.CommitMarkedOffsets(ctx)
		}),
	)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		// The line is "quit"; the input ends when the parent is gone.
		bufio.NewScanner(os.Stdin).Scan()
		cancel()
	}()
	for ctx.Err() == nil {
		// Poll few records: a rebalance waits until they are handled.
		fetches := client.PollRecords(ctx, 100)
		var fault error
		fetches.EachRecord(func(r *kgo.Record) {
			var e numbered
			if err := json.Unmarshal(r.Value, &e); err != nil {
				fault = err
				return
			}
			// It has no epoch: that belongs to our assignments.
			line := entry{deed: started, attempt: 1, owner: incarnation, partition: r.Partition, offset: r.Offset, key: e.Key, seq: e.Seq}
			l.add(line)
			line.deed = handled
			l.add(line)
			// Mark it after the ledger has it, so that only handled records are
			// committed.
			client.MarkCommitRecords(r)
		})
		if fault != nil {
			return fault
		}
		client.AllowRebalance()
	}
	// ctx has ended by now.
	ending, stop := context.WithTimeout(context.Background(), closePatience)
	defer stop()
	err = client.CommitMarkedOffsets(ending)
	client.CloseAllowingRebalance()
	return err
}
