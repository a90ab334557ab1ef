package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/kafka/internal/batch"
	"github.com/eventbus-go/eventbus/kafka/internal/cluster"
	"github.com/eventbus-go/eventbus/kafka/internal/kerr"
	"github.com/eventbus-go/eventbus/kafka/internal/produce"
	"github.com/eventbus-go/eventbus/transport"
)

// Transactor writes records and a group's offsets in transactions (KIP-98): readers of
// committed records and of committed offsets see all of a transaction or none of it. It is
// not safe for concurrent use, holds no connection, and needs no Close.
//
// The first Produce or SendOffsets begins a transaction, and Commit or Abort ends it. After an
// error from any of these the Transactor can't be used any more. An open transaction is then
// aborted by Abort, by the next NewTransactor with its id, or by the cluster after
// TransactorConfig.Timeout.
type Transactor struct {
	client      *cluster.Client
	cfg         TransactorConfig
	compression batch.Compression
	id          string
	session     batch.ProducerSession

	coordinator int32                         // a broker's id, −1 if unknown
	sequences   map[transport.Partition]int32 // of the next record
	partitions  map[transport.Partition]bool  // those written to by the open transaction
	groups      map[string]bool               // those whose offsets it stores
	failed      error                         // the first error; no step may follow it
}

// TransactorConfig configures a Transactor. A zero field means its default.
type TransactorConfig struct {
	// Timeout is when the cluster aborts an open transaction, and so the longest time that
	// it can delay readers of committed records. Brokers refuse more than their
	// transaction.max.timeout.ms. Default 1 minute.
	Timeout time.Duration
	// BatchBytes bounds the size of one batch in bytes, before compression. A larger record
	// is a batch by itself. Default 1,000,000.
	BatchBytes int
	// Compression is "none" (default), "gzip", "snappy", "lz4" or "zstd".
	Compression string
}

// NewTransactor returns the Transactor of a transactional id in t's cluster. From then on
// others with that id, in any process, get transport.ErrFenced, and a transaction that one of
// them left open is aborted.
func NewTransactor(ctx context.Context, t *Transport, id string, cfg TransactorConfig) (*Transactor, error) {
	if t.err != nil {
		return nil, t.err
	}
	if id == "" {
		return nil, errors.New("kafka: a transactor needs a transactional id")
	}
	cfg.Timeout = cmp.Or(cfg.Timeout, time.Minute)
	cfg.BatchBytes = cmp.Or(cfg.BatchBytes, 1_000_000)
	compression, err := batch.NewCompression(cfg.Compression)
	if err != nil {
		return nil, err
	}
	x := &Transactor{
		client: t.client, cfg: cfg, compression: compression, id: id, coordinator: -1,
		sequences:  make(map[transport.Partition]int32),
		partitions: make(map[transport.Partition]bool),
		groups:     make(map[string]bool),
	}
	req := kmsg.NewPtrInitProducerIDRequest()
	req.TransactionalID = &id
	req.TransactionTimeoutMillis = int32(min(cfg.Timeout.Milliseconds(), math.MaxInt32))
	// Without a producer id the coordinator aborts the open transaction and returns the next
	// epoch of the transactional id.
	req.ProducerID, req.ProducerEpoch = -1, -1
	err = x.ask(ctx, req, func(answer kmsg.Response) error {
		resp := answer.(*kmsg.InitProducerIDResponse)
		x.session = batch.ProducerSession{ID: resp.ProducerID, Epoch: resp.ProducerEpoch}
		return kerr.CodeError(resp.ErrorCode)
	})
	if err != nil {
		return nil, fmt.Errorf("kafka: transactional id %q: %w", id, err)
	}
	return x, nil
}

// Transactor implements transport.Transactional. It is NewTransactor with the BatchBytes and
// Compression of config, and the default Timeout.
func (t *Transport) Transactor(ctx context.Context, id string, config transport.ProducerConfig) (transport.Transactor, error) {
	return NewTransactor(ctx, t, id, TransactorConfig{BatchBytes: config.BatchBytes, Compression: config.Compression})
}

var _ transport.Transactional = (*Transport)(nil)

// Produce writes records within the transaction, in order, each to its Partition, which must be
// set. If it returns nil they are in the log, to become visible once the transaction is
// committed. The records may be changed afterwards.
//
// The error is transport.ErrTooLarge if a topic refuses a record for its size, and
// transport.ErrFenced if another Transactor with this id was created.
func (x *Transactor) Produce(ctx context.Context, records ...transport.Record) error {
	return x.step(func() error {
		var order []transport.Partition
		of := make(map[transport.Partition][]*transport.Record)
		for i := range records {
			r := &records[i]
			p := transport.Partition{Topic: r.Topic, Partition: r.Partition}
			if of[p] == nil {
				order = append(order, p)
			}
			of[p] = append(of[p], r)
		}
		if err := x.enlist(ctx, order); err != nil {
			return err
		}
		return x.writeAll(ctx, order, of)
	})
}

// SendOffsets adds a group's offsets and their metadata to the transaction, to be stored when it
// is committed. It ignores the commits' Epoch: membership is not checked. The error is
// transport.ErrMetadataTooLarge if the broker refuses the length of the metadata.
func (x *Transactor) SendOffsets(ctx context.Context, group string, commits ...transport.Commit) error {
	return x.step(func() error {
		if !x.groups[group] {
			if err := x.enlistGroup(ctx, group); err != nil {
				return err
			}
			x.groups[group] = true
		}
		return x.storeOffsets(ctx, group, commits)
	})
}

// Commit commits the transaction. If it returns nil, all of it is durable. If the error is
// transport.ErrOutcomeUnknown it may or may not be committed. To find out, create the next
// Transactor with this id, which ends the transaction definitely, and read the records or
// offsets.
func (x *Transactor) Commit(ctx context.Context) error {
	return x.step(func() error {
		asked := false
		err := x.end(ctx, true, &asked)
		if err != nil && asked {
			return &produce.DeliveryError{What: "ending the transaction", Cause: err, Unknown: true}
		}
		return err
	})
}

// Abort aborts the transaction. After an error of another method, calling it is optional: it
// spares readers of committed records the wait until the cluster aborts the transaction.
func (x *Transactor) Abort(ctx context.Context) error {
	asked := false
	if err := x.end(ctx, false, &asked); err != nil {
		x.failed = cmp.Or(x.failed, err)
		return x.named(err)
	}
	return nil
}

// step runs one step of the transaction, unless an earlier one has failed.
func (x *Transactor) step(do func() error) error {
	if x.failed != nil {
		return fmt.Errorf("kafka: transactional id %q: nothing can follow an earlier error, make another transactor: %w", x.id, x.failed)
	}
	if err := do(); err != nil {
		x.failed = err
		return x.named(err)
	}
	return nil
}

// named adds the transactional id to an error.
func (x *Transactor) named(err error) error {
	return fmt.Errorf("kafka: transactional id %q: %w", x.id, err)
}
