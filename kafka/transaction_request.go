package kafka

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/kafka/internal/cluster"
	"github.com/eventbus-go/eventbus/kafka/internal/group"
	"github.com/eventbus-go/eventbus/kafka/internal/kerr"
	"github.com/eventbus-go/eventbus/transport"
)

// operationNotAttempted is the code of a partition that was not processed because another one
// of the request failed. That one's code is the cause.
const operationNotAttempted kerr.Error = 55

// ask sends req to the coordinator of the transactional id, and repeats it after a retriable
// error. read returns the error in the answer.
//
// Every request of a transaction may be repeated: the coordinator recognizes it by the epoch.
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

// enlist adds partitions to the transaction at the coordinator, which will write the end marker
// to each. A partition must be added before it is written to.
func (x *Transactor) enlist(ctx context.Context, partitions []transport.Partition) error {
	req := kmsg.NewPtrAddPartitionsToTxnRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch = x.id, x.session.ID, x.session.Epoch
	var added []transport.Partition
	for _, p := range partitions {
		if x.partitions[p] {
			continue
		}
		// The coordinator may answer "unknown topic" because it does not know the topic yet.
		// Metadata is definite.
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
	err := x.ask(ctx, cluster.Rare(req, (*kmsg.AddPartitionsToTxnRequest).AppendTo, (*kmsg.AddPartitionsToTxnResponse).ReadFrom), func(answer kmsg.Response) error {
		var first error
		answered := make(map[transport.Partition]bool, len(added))
		for _, t := range answer.(*kmsg.AddPartitionsToTxnResponse).Topics {
			for _, part := range t.Partitions {
				answered[transport.Partition{Topic: t.Topic, Partition: part.Partition}] = true
				if err := kerr.CodeError(part.ErrorCode); err != nil && (first == nil || errors.Is(first, operationNotAttempted)) {
					first = fmt.Errorf("%s/%d: %w", t.Topic, part.Partition, err)
				}
			}
		}
		for _, p := range added {
			// If it wasn't added, the end of the transaction would leave it open there.
			if first == nil && !answered[p] {
				first = fmt.Errorf("%s: %w", p, cluster.ErrLeftOut)
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

// enlistGroup adds the offsets of a group to the transaction, as enlist adds partitions.
func (x *Transactor) enlistGroup(ctx context.Context, group string) error {
	req := kmsg.NewPtrAddOffsetsToTxnRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch = x.id, x.session.ID, x.session.Epoch
	req.Group = group
	err := x.ask(ctx, cluster.Rare(req, (*kmsg.AddOffsetsToTxnRequest).AppendTo, (*kmsg.AddOffsetsToTxnResponse).ReadFrom), func(answer kmsg.Response) error {
		return kerr.CodeError(answer.(*kmsg.AddOffsetsToTxnResponse).ErrorCode)
	})
	if err != nil {
		return fmt.Errorf("adding group %q to the transaction: %w", group, err)
	}
	return nil
}

// storeOffsets sends the offsets to the group's coordinator, which applies them
// when the transaction is committed.
func (x *Transactor) storeOffsets(ctx context.Context, name string, commits []transport.Commit) error {
	req := kmsg.NewPtrTxnOffsetCommitRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch = x.id, x.session.ID, x.session.Epoch
	req.Group, req.Generation = name, -1
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
	err := x.client.AskGroup(ctx, name, cluster.Rare(req, (*kmsg.TxnOffsetCommitRequest).AppendTo, (*kmsg.TxnOffsetCommitResponse).ReadFrom), func(answer kmsg.Response) error {
		stored := make(map[transport.Partition]bool, len(commits))
		for _, t := range answer.(*kmsg.TxnOffsetCommitResponse).Topics {
			for _, part := range t.Partitions {
				if part.ErrorCode != 0 {
					return fmt.Errorf("%s/%d: %w", t.Topic, part.Partition, kerr.Error(part.ErrorCode))
				}
				stored[transport.Partition{Topic: t.Topic, Partition: part.Partition}] = true
			}
		}
		return group.AllStored(commits, stored)
	})
	if err != nil {
		return fmt.Errorf("offsets of group %q: %w", name, err)
	}
	return nil
}

// end commits or aborts the transaction. It sets *asked before it sends the
// request: from then on the transaction may have ended even if end fails.
func (x *Transactor) end(ctx context.Context, commit bool, asked *bool) error {
	if len(x.partitions) == 0 && len(x.groups) == 0 {
		return nil
	}
	req := kmsg.NewPtrEndTxnRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch = x.id, x.session.ID, x.session.Epoch
	req.Commit = commit
	*asked = true
	err := x.ask(ctx, cluster.Rare(req, (*kmsg.EndTxnRequest).AppendTo, (*kmsg.EndTxnResponse).ReadFrom), func(answer kmsg.Response) error {
		return kerr.CodeError(answer.(*kmsg.EndTxnResponse).ErrorCode)
	})
	if err != nil {
		return err
	}
	clear(x.partitions)
	clear(x.groups)
	return nil
}
