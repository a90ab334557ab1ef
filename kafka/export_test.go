package kafka

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/kafka/internal/cluster"
	"github.com/eventbus-go/eventbus/kafka/internal/kerr"
	"github.com/eventbus-go/eventbus/transport"
)

// AddPartitions makes a topic grow to a total of partitions.
func AddPartitions(ctx context.Context, tr transport.Transport, topic string, total int32) error {
	c := tr.(*Transport).client
	err := c.Persist(ctx, func() error {
		req := kmsg.NewPtrCreatePartitionsRequest()
		req.TimeoutMillis = 10_000
		t := kmsg.NewCreatePartitionsRequestTopic()
		t.Topic, t.Count = topic, total
		req.Topics = append(req.Topics, t)
		controller, err := c.Controller(ctx)
		if err != nil {
			return err
		}
		resp, err := c.Request(ctx, controller, cluster.Rare(req, (*kmsg.CreatePartitionsRequest).AppendTo, (*kmsg.CreatePartitionsResponse).ReadFrom))
		if err != nil {
			return err
		}
		return kerr.CodeError(resp.(*kmsg.CreatePartitionsResponse).Topics[0].ErrorCode)
	})
	for err == nil {
		t, failed := c.FreshTopic(ctx, topic)
		if failed == nil && len(t.Partitions) == int(total) {
			return nil
		}
		cluster.Pause(ctx, 20*time.Millisecond)
		err = ctx.Err()
	}
	return err
}

// HasConsumerProtocol reports whether the brokers have the group protocol of
// KIP-848: version 1 of its heartbeat, since version 0 was a preview.
func HasConsumerProtocol(t *testing.T, cfg Config) bool {
	t.Helper()
	tr := New(cfg)
	defer func() { _ = tr.Close(context.Background()) }()
	has := false
	err := tr.client.Hold(t.Context(), -1, func(w *cluster.Conn) error {
		version, err := w.Version(int16(kmsg.ConsumerGroupHeartbeat), 1, time.Now().Add(10*time.Second))
		has = version >= 1
		if errors.Is(err, kerr.UnsupportedVersion) {
			return nil
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return has
}

// DeleteRecords removes the records of a partition before an offset.
func DeleteRecords(ctx context.Context, tr transport.Transport, p transport.Partition, before int64) error {
	return NewAdmin(tr.(*Transport)).DeleteRecords(ctx, map[transport.Partition]int64{p: before})
}

// DeleteTopic deletes a topic, and returns when it is gone.
func DeleteTopic(ctx context.Context, tr transport.Transport, topic string) error {
	c := tr.(*Transport).client
	err := c.Persist(ctx, func() error {
		req := kmsg.NewPtrDeleteTopicsRequest()
		req.TimeoutMillis = 10_000
		req.TopicNames = []string{topic} // up to version 5
		t := kmsg.NewDeleteTopicsRequestTopic()
		t.Topic = &topic
		req.Topics = append(req.Topics, t) // from version 6 on
		controller, err := c.Controller(ctx)
		if err != nil {
			return err
		}
		resp, err := c.Request(ctx, controller, cluster.Rare(req, (*kmsg.DeleteTopicsRequest).AppendTo, (*kmsg.DeleteTopicsResponse).ReadFrom))
		if err != nil {
			return err
		}
		return kerr.CodeError(resp.(*kmsg.DeleteTopicsResponse).Topics[0].ErrorCode)
	})
	for err == nil {
		if _, gone := c.FreshTopic(ctx, topic); errors.Is(gone, transport.ErrTopicMissing) {
			return nil
		}
		cluster.Pause(ctx, 20*time.Millisecond)
		err = ctx.Err()
	}
	return err
}
