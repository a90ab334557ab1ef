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

// Transactor writes records and a group's offsets together: readers of committed
// records and of committed offsets see all of a transaction or none of it
// (KIP-98). It belongs to one goroutine, holds no connection, and needs no Close.
//
// A transaction begins with the first Produce or SendOffsets and ends with
// Commit or Abort. After an error from any of these the Transactor is spent: what
// it left open ends when the next one of its id is made, when Abort reaches the
// cluster, or after TransactorConfig.Timeout, and is not written then.
type Transactor struct {
	client      *cluster.Client
	cfg         TransactorConfig
	compression batch.Compression
	id          string
	session     batch.ProducerSession

	coordinator int32 // −1: to be asked for
	sequences   map[transport.Partition]int32
	partitions  map[transport.Partition]bool // that the open transaction writes to
	groups      map[string]bool              // whose offsets it stores
	spent       error
}

// TransactorConfig configures a Transactor. The zero value works.
type TransactorConfig struct {
	// Timeout is how long a transaction may stay open before the cluster ends
	// it: readers of committed records wait for it at most that long. At most
	// the broker's transaction.max.timeout.ms. Default 1 minute.
	Timeout time.Duration
	// BatchBytes bounds one batch, before compression. Default 1,000,000.
	BatchBytes int
	// Compression is "none" (default), "gzip", "snappy", "lz4" or "zstd".
	Compression string
}

// NewTransactor returns the one Transactor of a transactional id in t's cluster.
// From now on others with that id, in any process, get transport.ErrFenced, and a
// transaction that one of them left open has been aborted.
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
	// Without an id of its own: the coordinator gives the next epoch of the
	// transactional id, after it has ended what was open.
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

// Transactor returns what NewTransactor does, as transport.Transactional demands.
// Of config it uses BatchBytes and Compression; the transaction's timeout is the
// default of TransactorConfig.
func (t *Transport) Transactor(ctx context.Context, id string, config transport.ProducerConfig) (transport.Transactor, error) {
	return NewTransactor(ctx, t, id, TransactorConfig{BatchBytes: config.BatchBytes, Compression: config.Compression})
}

var _ transport.Transactional = (*Transport)(nil)

// Produce writes records within the transaction, each to its Partition, which
// must be set, and in order. They are in the log when it returns, to be read once
// the transaction is committed. Nothing of them is kept.
//
// A record that its topic refuses for its size is a transport.ErrTooLarge. A
// Transactor that another one has fenced gets a transport.ErrFenced.
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
		for _, p := range order {
			if err := x.write(ctx, p, of[p]); err != nil {
				return fmt.Errorf("%s: %w", p, err)
			}
		}
		return nil
	})
}

// SendOffsets stores a group's offsets with their metadata when the transaction
// is committed. No member of the group takes part: Epoch is ignored. Metadata
// that is too long for the broker is a transport.ErrMetadataTooLarge.
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

// Commit ends the transaction. When it returns nil, all of it is written, for
// good. An error that is transport.ErrOutcomeUnknown says that it may be written
// or not: whoever makes the next Transactor of this id and then looks knows.
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

// Abort ends the transaction without writing it. After an error of another
// method it is worth a try, so that readers don't wait for the open transaction,
// and nothing depends on it.
func (x *Transactor) Abort(ctx context.Context) error {
	asked := false
	if err := x.end(ctx, false, &asked); err != nil {
		x.spent = cmp.Or(x.spent, err)
		return x.named(err)
	}
	return nil
}

// step runs one step of the transaction; its error is the last.
func (x *Transactor) step(do func() error) error {
	if x.spent != nil {
		return fmt.Errorf("kafka: transactional id %q: nothing can follow an earlier error, make another transactor: %w", x.id, x.spent)
	}
	if err := do(); err != nil {
		x.spent = err
		return x.named(err)
	}
	return nil
}

func (x *Transactor) named(err error) error {
	return fmt.Errorf("kafka: transactional id %q: %w", x.id, err)
}
