package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/kafka/internal/batch"
	"github.com/eventbus-go/eventbus/kafka/internal/kerr"
	"github.com/eventbus-go/eventbus/kafka/internal/produce"
	"github.com/eventbus-go/eventbus/transport"
)

// capped is a request that is sent in version most at the highest, because later
// versions mean something else.
type capped struct {
	kmsg.Request
	most int16
}

// MaxVersion returns the highest version to negotiate.
func (c capped) MaxVersion() int16 { return c.most }

// produceOfTransaction is the last version of Produce in which the client itself
// adds partitions to its transaction. From version 12 on a broker adds them
// (KIP-890), and expects the other requests of a transaction in new versions too.
const produceOfTransaction = 11

// writesAtOnce bounds how many partitions are written at the same time, and with
// it the memory of their encoded batches.
const writesAtOnce = 16

// writeAll writes the records of several partitions at the same time, and returns
// the error of the first partition in order that failed. It never leaves a request
// under way: one that arrived after the transaction's end would open another
// transaction, which nobody ends.
func (x *Transactor) writeAll(ctx context.Context, order []transport.Partition, of map[transport.Partition][]*transport.Record) error {
	next := make([]int32, len(order))
	failed := make([]error, len(order))
	free := make(chan struct{}, writesAtOnce)
	var writing sync.WaitGroup
	for i, p := range order {
		sequence := x.sequences[p]
		free <- struct{}{}
		writing.Go(func() {
			defer func() { <-free }()
			next[i], failed[i] = x.write(ctx, p, of[p], sequence)
		})
	}
	writing.Wait()
	for i, p := range order {
		if failed[i] != nil {
			return fmt.Errorf("%s: %w", p, failed[i])
		}
		x.sequences[p] = next[i]
	}
	return nil
}

// write writes one partition's records, batch after batch, and returns the sequence
// number of the next one.
func (x *Transactor) write(ctx context.Context, p transport.Partition, records []*transport.Record, sequence int32) (int32, error) {
	for limit := len(records); len(records) > 0; {
		encoded, n, err := x.encode(records[:min(limit, len(records))], sequence)
		if err != nil {
			return 0, err
		}
		err = x.send(ctx, p, encoded)
		if errors.Is(err, transport.ErrTooLarge) && n > 1 {
			// The batch is too large, which says nothing of its records. The broker
			// has not used the sequence numbers.
			limit = n / 2
			continue
		}
		if err != nil {
			return 0, err
		}
		sequence = batch.NextSequence(sequence, n)
		records = records[n:]
	}
	return sequence, nil
}

// encode encodes a batch of as many of the records as fit into BatchBytes, at
// least one, and returns their number.
func (x *Transactor) encode(records []*transport.Record, sequence int32) (encoded []byte, n int, err error) {
	now := time.Now().UnixMilli()
	first, last := now, now
	var body []byte
	for i, r := range records {
		at := now
		if !r.Time.IsZero() {
			at = r.Time.UnixMilli()
		}
		if i == 0 {
			first, last = at, at
		}
		size := batch.RecordSize(batch.ContentSize(r), at-first, int64(i))
		if i > 0 && len(body)+size > x.cfg.BatchBytes {
			break
		}
		last = max(last, at)
		body = batch.AppendRecord(body, r, size, at-first, int64(i))
		n++
	}
	encoded = make([]byte, batch.HeaderSize, batch.HeaderSize+len(body))
	if encoded, err = x.compression.Compress(encoded, body); err != nil {
		return nil, 0, fmt.Errorf("compressing a batch: %w", err)
	}
	batch.Stamp(encoded, x.compression.Codec|batch.AttributeTransactional, n, first, last, x.session, sequence)
	return encoded, n, nil
}

// send writes one batch to the partition's leader. It repeats the batch unchanged
// after a passing error: a broker that already has it recognises the sequence.
func (x *Transactor) send(ctx context.Context, p transport.Partition, encoded []byte) error {
	req := kmsg.NewPtrProduceRequest()
	req.TransactionID = &x.id
	req.Acks = -1
	req.TimeoutMillis = int32(max(x.client.Options.RequestTimeout/2, time.Millisecond).Milliseconds())
	t := kmsg.NewProduceRequestTopic()
	t.Topic = p.Topic
	part := kmsg.NewProduceRequestTopicPartition()
	part.Partition, part.Records = p.Partition, encoded
	t.Partitions = append(t.Partitions, part)
	req.Topics = append(req.Topics, t)
	return x.client.Persist(ctx, func() error {
		leader, _, err := x.client.Leader(ctx, p.Topic, p.Partition)
		if err != nil {
			return err
		}
		answer, err := x.client.Request(ctx, leader, capped{req, produceOfTransaction})
		if err == nil {
			err = writtenTo(p, answer.(*kmsg.ProduceResponse))
		}
		if kerr.Retriable(err) {
			x.client.Invalidate(p.Topic)
		}
		return err
	})
}

// writtenTo returns the broker's error for the one batch of a request.
func writtenTo(p transport.Partition, resp *kmsg.ProduceResponse) error {
	for i := range resp.Topics {
		for j := range resp.Topics[i].Partitions {
			answer := &resp.Topics[i].Partitions[j]
			if resp.Topics[i].Topic != p.Topic || answer.Partition != p.Partition {
				continue
			}
			err := kerr.CodeError(answer.ErrorCode)
			if errors.Is(err, kerr.DuplicateSequenceNumber) {
				return nil
			}
			if err != nil && answer.ErrorMessage != nil && *answer.ErrorMessage != "" {
				err = fmt.Errorf("%w: %s", err, *answer.ErrorMessage)
			}
			return err
		}
	}
	return produce.ErrUnanswered
}
