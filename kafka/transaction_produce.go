package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/kafka/internal/batch"
	"github.com/eventbus-go/eventbus/kafka/internal/cluster"
	"github.com/eventbus-go/eventbus/kafka/internal/kerr"
	"github.com/eventbus-go/eventbus/kafka/internal/produce"
	"github.com/eventbus-go/eventbus/transport"
)

// capped is a request with a highest version, because later versions mean something else.
type capped struct {
	kmsg.Request
	most int16
}

// Unwrap returns the request itself.
func (c capped) Unwrap() kmsg.Request { return c.Request }

// MaxVersion returns the highest version to negotiate.
func (c capped) MaxVersion() int16 { return c.most }

// produceOfTransaction is the last version of Produce in which the client itself adds
// partitions to its transaction. From version 12 on the broker adds them (KIP-890), and
// expects new versions of the transaction's other requests too.
const produceOfTransaction = 11

// batchesAtOnce bounds the number of batches in flight, and with it their memory.
const batchesAtOnce = 16

// bytesAtOnce bounds the size of a request, not counting its last batch: brokers hang up on
// requests beyond socket.request.max.bytes, 100 MiB. It is a producer's default RequestBytes.
const bytesAtOnce = 16 << 20

// portion is the remaining records for one partition.
type portion struct {
	transport.Partition
	records  []*transport.Record
	limit    int   // records per batch, after a larger batch was refused
	sequence int32 // of the first record

	encoded []byte // the batch to be written next
	n       int    // its records
	err     error  // of the last attempt to write it
}

// writeAll writes the records of several partitions, one batch of each per request to a
// broker. A broker asks the coordinator about the transaction before it writes; with one
// request per partition, those questions would be asked in sequence. writeAll never leaves a
// request in flight: one that arrived after the transaction's end would open another
// transaction, which nobody ends.
func (x *Transactor) writeAll(ctx context.Context, order []transport.Partition, of map[transport.Partition][]*transport.Record) error {
	left := make([]*portion, len(order))
	for i, p := range order {
		left[i] = &portion{Partition: p, records: of[p], limit: len(of[p]), sequence: x.sequences[p]}
	}
	for len(left) > 0 {
		n, size := 0, 0
		for n < min(batchesAtOnce, len(left)) && size < bytesAtOnce {
			p := left[n]
			if err := x.encode(p); err != nil {
				return fmt.Errorf("%s: %w", p.Partition, err)
			}
			size += len(p.encoded)
			n++
		}
		now := left[:n]
		if err := x.write(ctx, now); err != nil {
			return err
		}
		var more []*portion
		for _, p := range now {
			if p.err == nil {
				p.sequence = batch.NextSequence(p.sequence, p.n)
				x.sequences[p.Partition] = p.sequence
				p.records = p.records[p.n:]
			} else {
				// The batch is too large; its records may not be. The broker has not used the
				// sequence numbers.
				p.limit = p.n / 2
			}
			if len(p.records) > 0 {
				more = append(more, p)
			}
		}
		left = append(more, left[n:]...)
	}
	return nil
}

// write writes the batches of portions. After a retriable error it repeats them unchanged: a
// broker that already has one recognizes the sequence. If it returns nil, each batch was
// written, or refused as too large, which its err says. Otherwise the error is the first one
// that is final, or else the first one.
func (x *Transactor) write(ctx context.Context, portions []*portion) error {
	return x.client.Persist(ctx, func() error {
		x.send(ctx, portions)
		var passing, final error
		unwritten := portions[:0:0]
		for _, p := range portions {
			switch {
			case p.err == nil, errors.Is(p.err, transport.ErrTooLarge) && p.n > 1:
				continue
			case kerr.Retriable(p.err):
				x.client.Invalidate(p.Topic)
				passing = cmp.Or(passing, fmt.Errorf("%s: %w", p.Partition, p.err))
			default:
				final = cmp.Or(final, fmt.Errorf("%s: %w", p.Partition, p.err))
			}
			unwritten = append(unwritten, p)
		}
		portions = unwritten
		return cmp.Or(final, passing)
	})
}

// encode encodes the portion's next batch: as many records as fit into BatchBytes, and at least
// one.
func (x *Transactor) encode(p *portion) error {
	now := time.Now().UnixMilli()
	first, last := now, now
	var body []byte
	p.n = 0
	for i, r := range p.records[:min(p.limit, len(p.records))] {
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
		p.n++
	}
	encoded := make([]byte, batch.HeaderSize, batch.HeaderSize+len(body))
	encoded, err := x.compression.Compress(encoded, body)
	if err != nil {
		return fmt.Errorf("compressing a batch: %w", err)
	}
	batch.Stamp(encoded, x.compression.Codec|batch.AttributeTransactional, p.n, first, last, x.session, p.sequence)
	p.encoded = encoded
	return nil
}

// send sends the batches of portions once, in one request to each leader, and sets each err.
func (x *Transactor) send(ctx context.Context, portions []*portion) {
	byLeader := make(map[int32][]*portion)
	for _, p := range portions {
		var leader int32
		if leader, _, p.err = x.client.Leader(ctx, p.Topic, p.Partition.Partition); p.err == nil {
			byLeader[leader] = append(byLeader[leader], p)
		}
	}
	var sending sync.WaitGroup
	for leader, portions := range byLeader {
		sending.Go(func() {
			answer, err := x.client.Request(ctx, leader, capped{cluster.Rare(x.request(portions), (*kmsg.ProduceRequest).AppendTo, (*kmsg.ProduceResponse).ReadFrom), produceOfTransaction})
			for _, p := range portions {
				if p.err = err; err == nil {
					p.err = writtenTo(p.Partition, answer.(*kmsg.ProduceResponse))
				}
			}
		})
	}
	sending.Wait()
}

// request returns the request with the batches of portions.
func (x *Transactor) request(portions []*portion) *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.TransactionID = &x.id
	req.Acks = -1
	req.TimeoutMillis = int32(max(x.client.Options.RequestTimeout/2, time.Millisecond).Milliseconds())
	for topic, portions := range cluster.ByTopic(portions, func(p *portion) string { return p.Topic }) {
		t := kmsg.NewProduceRequestTopic()
		t.Topic = topic
		for _, p := range portions {
			part := kmsg.NewProduceRequestTopicPartition()
			part.Partition, part.Records = p.Partition.Partition, p.encoded
			t.Partitions = append(t.Partitions, part)
		}
		req.Topics = append(req.Topics, t)
	}
	return req
}

// writtenTo returns the broker's error for the batch of a partition.
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
