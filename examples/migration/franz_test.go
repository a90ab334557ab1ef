package migration_test

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eventbus-go/eventbus/examples/migration/shop"
)

func franz(t *testing.T, s *scene, options ...kgo.Opt) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(append(options, kgo.SeedBrokers(s.Brokers()...))...)
	check0(t, err)
	t.Cleanup(client.Close)
	return client
}

func franzPublish(t *testing.T, s *scene, orders []shop.Order) {
	t.Helper()
	client := franz(t, s, kgo.DefaultProduceTopic(s.topic))
	records := make([]*kgo.Record, len(orders))
	for i, o := range orders {
		value, err := json.Marshal(o)
		check0(t, err)
		records[i] = &kgo.Record{Key: []byte(o.ID), Value: value}
	}
	check0(t, client.ProduceSync(deadline(t), records...).FirstErr())
}

// franzConsume commits what is handled after each poll.
func franzConsume(ctx context.Context, s *scene, handle func(context.Context, shop.Order) error) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(s.Brokers()...), kgo.ConsumerGroup(group), kgo.ConsumeTopics(s.topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit())
	if err != nil {
		return err
	}
	defer client.Close() // leaves the group
	for ctx.Err() == nil {
		for _, r := range client.PollRecords(ctx, 1).Records() {
			var o shop.Order
			if err := json.Unmarshal(r.Value, &o); err != nil {
				return err
			}
			if err := handle(ctx, o); err != nil {
				return err
			}
			if err := client.CommitRecords(ctx, r); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}
