package kafka

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/kafka/internal/cluster"
	"github.com/eventbus-go/eventbus/kafka/internal/kerr"
	"github.com/eventbus-go/eventbus/transport"
)

// operationNotAttempted is said of partitions that are well beside one that
// isn't.
const operationNotAttempted kerr.Error = 55

// ask sends req to the coordinator of the transactional id, and again for as
// long as that can help. read takes the error out of the answer.
//
// Every request of a transaction may be sent twice: the coordinator takes a
// second one of the same epoch for what it is.
func (x *Transactor) ask(ctx context.Context, req kmsg.Request, read func(kmsg.Response) error) error {
	return x.client.Persist(ctx, func() error {
		if x.coordinator < 0 {
			broker, err := x.client.FindCoordinator(ctx, cluster.CoordinatorOfTransaction, x.id)
			if err != nil {
				return fmt.Errorf("its coordinator: %w", err)
			}
			x.coordinator = broker
		}
		answer, err := x.client.Request(ctx, x.coordinator, req)
		if err == nil {
			err = read(answer)
		}
		if code, ok := errors.AsType[kerr.Error](err); err != nil && (!ok || code == kerr.NotCoordinator || code == kerr.CoordinatorNotAvailable) {
			x.coordinator = -1
		}
		return err
	})
}

// enlist tells the coordinator which partitions the transaction writes to, so
// that it can end it there.
func (x *Transactor) enlist(ctx context.Context, partitions []transport.Partition) error {
	req := kmsg.NewPtrAddPartitionsToTxnRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch = x.id, x.session.ID, x.session.Epoch
	var added []transport.Partition
	for _, p := range partitions {
		if x.partitions[p] {
			continue
		}
		// The coordinator's word for a topic that is missing may mean one that it
		// has not heard of yet; the metadata's is clear.
		if _, _, err := x.client.Leader(ctx, p.Topic, p.Partition); err != nil && !kerr.Retriable(err) {
			return err
		}
		added = append(added, p)
	}
	if len(added) == 0 {
		return nil
	}
	for topic, partitions := range cluster.ByTopic(added, cluster.TopicOfPartition) {
		t := kmsg.NewAddPartitionsToTxnRequestTopic()
		t.Topic = topic
		for _, p := range partitions {
			t.Partitions = append(t.Partitions, p.Partition)
		}
		req.Topics = append(req.Topics, t)
	}
	err := x.ask(ctx, req, func(answer kmsg.Response) error {
		var first error
		for _, t := range answer.(*kmsg.AddPartitionsToTxnResponse).Topics {
			for _, part := range t.Partitions {
				if err := kerr.CodeError(part.ErrorCode); err != nil && (first == nil || errors.Is(first, operationNotAttempted)) {
					first = fmt.Errorf("%s/%d: %w", t.Topic, part.Partition, err)
				}
			}
		}
		return first
	})
	if err != nil {
		return fmt.Errorf("adding partitions to the transaction: %w", err)
	}
	for _, p := range added {
		x.partitions[p] = true
	}
	return nil
}

// enlistGroup is enlist for a group's offsets.
func (x *Transactor) enlistGroup(ctx context.Context, group string) error {
	req := kmsg.NewPtrAddOffsetsToTxnRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch = x.id, x.session.ID, x.session.Epoch
	req.Group = group
	err := x.ask(ctx, req, func(answer kmsg.Response) error {
		return kerr.CodeError(answer.(*kmsg.AddOffsetsToTxnResponse).ErrorCode)
	})
	if err != nil {
		return fmt.Errorf("adding group %q to the transaction: %w", group, err)
	}
	return nil
}

// storeOffsets gives the offsets to the group's coordinator, which holds them
// back until the transaction ends.
func (x *Transactor) storeOffsets(ctx context.Context, group string, commits []transport.Commit) error {
	req := kmsg.NewPtrTxnOffsetCommitRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch = x.id, x.session.ID, x.session.Epoch
	req.Group, req.Generation = group, -1
	for topic, commits := range cluster.ByTopic(commits, cluster.TopicOfCommit) {
		t := kmsg.NewTxnOffsetCommitRequestTopic()
		t.Topic = topic
		for i := range commits {
			c := &commits[i]
			part := kmsg.NewTxnOffsetCommitRequestTopicPartition()
			part.Partition, part.Offset, part.LeaderEpoch, part.Metadata = c.Partition.Partition, c.Offset, c.LeaderEpoch, &c.Metadata
			t.Partitions = append(t.Partitions, part)
		}
		req.Topics = append(req.Topics, t)
	}
	err := x.client.AskGroup(ctx, group, req, func(answer kmsg.Response) error {
		for _, t := range answer.(*kmsg.TxnOffsetCommitResponse).Topics {
			for _, part := range t.Partitions {
				if part.ErrorCode != 0 {
					return fmt.Errorf("%s/%d: %w", t.Topic, part.Partition, kerr.Error(part.ErrorCode))
				}
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("offsets of group %q: %w", group, err)
	}
	return nil
}

// end commits or aborts. asked is set before the coordinator may have heard of
// it.
func (x *Transactor) end(ctx context.Context, commit bool, asked *bool) error {
	if len(x.partitions) == 0 && len(x.groups) == 0 {
		return nil
	}
	req := kmsg.NewPtrEndTxnRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch = x.id, x.session.ID, x.session.Epoch
	req.Commit = commit
	*asked = true
	err := x.ask(ctx, req, func(answer kmsg.Response) error {
		return kerr.CodeError(answer.(*kmsg.EndTxnResponse).ErrorCode)
	})
	if err != nil {
		return err
	}
	clear(x.partitions)
	clear(x.groups)
	return nil
}
