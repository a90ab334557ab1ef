package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/kafka/internal/cluster"
	"github.com/eventbus-go/eventbus/kafka/internal/kerr"
	"github.com/eventbus-go/eventbus/transport"
)

// DeleteRecords deletes all records before the given offset from each partition, irrevocably.
// Like retention, it deletes from the start of a log. The error names the partitions that
// failed; in the others the records were deleted.
func (a *Admin) DeleteRecords(ctx context.Context, before map[transport.Partition]int64) error {
	if a.err != nil {
		return a.err
	}
	var errs []error
	for p, offset := range before {
		err := a.client.Persist(ctx, func() error {
			leader, _, err := a.client.Leader(ctx, p.Topic, p.Partition)
			if err == nil {
				err = deleteRecords(ctx, a.client, leader, p, offset)
			}
			if kerr.Retriable(err) {
				a.client.Invalidate(p.Topic)
			}
			return err
		})
		if err != nil {
			errs = append(errs, fmt.Errorf("kafka: deleting records of %s: %w", p, err))
		}
	}
	return errors.Join(errs...)
}

func deleteRecords(ctx context.Context, c *cluster.Client, leader int32, p transport.Partition, offset int64) error {
	req := kmsg.NewPtrDeleteRecordsRequest()
	req.TimeoutMillis = int32(max(c.Options.RequestTimeout/2, time.Millisecond).Milliseconds())
	topic := kmsg.NewDeleteRecordsRequestTopic()
	topic.Topic = p.Topic
	part := kmsg.NewDeleteRecordsRequestTopicPartition()
	part.Partition, part.Offset = p.Partition, offset
	topic.Partitions = append(topic.Partitions, part)
	req.Topics = append(req.Topics, topic)
	answer, err := c.Request(ctx, leader, cluster.Rare(req, (*kmsg.DeleteRecordsRequest).AppendTo, (*kmsg.DeleteRecordsResponse).ReadFrom))
	if err != nil {
		return err
	}
	for _, topic := range answer.(*kmsg.DeleteRecordsResponse).Topics {
		for _, part := range topic.Partitions {
			return kerr.CodeError(part.ErrorCode)
		}
	}
	return cluster.ErrLeftOut
}
