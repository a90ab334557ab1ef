package eventbus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/eventbus-go/eventbus/internal/wire"
	"github.com/eventbus-go/eventbus/transport"
)

// Transactor publishes envelopes in transactions of the cluster, under an id that only one
// Transactor has at a time. The relay of an outbox uses one, so that a predecessor that was
// frozen, or still believes that it leads, can no longer write. Readers that must not see
// part of an unfinished transaction read committed records only, as this bus's subscriptions
// do.
//
// A Transactor must not be used concurrently. It needs no Close. After an error it can't be
// used any more: create another.
type Transactor struct {
	bus      *Bus
	tx       transport.Transactor
	topics   map[string]*transactorTopic
	encoders []wire.Encoder
	records  []transport.Record
}

// transactorTopic is the number of a topic's partitions, and the partition for the next
// records without a key.
type transactorTopic struct {
	partitions int32
	next       int32
	asked      time.Time
}

// partitionsAge is how long a known number of partitions is used.
const partitionsAge = time.Minute

// NewTransactor returns the Transactor of a transactional id, and fences every other one with
// that id, in any process. It returns an error if the bus's transport has no transactions.
func (b *Bus) NewTransactor(ctx context.Context, id string) (*Transactor, error) {
	t, ok := b.transport.(transport.Transactional)
	if !ok {
		return nil, &Error{Op: "begin transactions", Err: fmt.Errorf("the transport %T has no transactions", b.transport)}
	}
	if b.closed() {
		return nil, &Error{Op: "begin transactions", Err: ErrClosed}
	}
	tx, err := t.Transactor(ctx, id, b.config.Producer)
	if err != nil {
		return nil, &Error{Op: "begin transactions", Err: err}
	}
	return &Transactor{bus: b, tx: tx, topics: make(map[string]*transactorTopic)}, nil
}

// Publish publishes all envelopes in one transaction, in order per key. If it returns nil, all
// are written. If the error is ErrOutcomeUnknown, either all or none are. With any other error
// none are, and the transaction was aborted. transport.ErrFenced means that another
// Transactor has taken over the id.
func (t *Transactor) Publish(ctx context.Context, envelopes []*Envelope) error {
	if len(envelopes) == 0 {
		return nil
	}
	batch := t.bus.signals.SendSignals(envelopes[0].Topic).StartBatch(ctx, len(envelopes))
	for _, e := range envelopes {
		batch.LinkEvent((*wire.Event)(e))
	}
	err := t.publish(ctx, envelopes)
	batch.End(err)
	return err
}

func (t *Transactor) publish(ctx context.Context, envelopes []*Envelope) error {
	if err := t.encode(ctx, envelopes); err != nil {
		return err
	}
	err := t.tx.Produce(ctx, t.records...)
	if err == nil {
		if err = t.tx.Commit(ctx); err == nil {
			return nil
		}
	}
	if !errors.Is(err, ErrOutcomeUnknown) {
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_ = t.tx.Abort(ending) // otherwise the id's next Transactor ends it
	}
	return publishError(envelopes[0].Topic, "", fmt.Errorf("transaction of %d events: %w", len(envelopes), err))
}

// encode turns the envelopes into records, in memory that is reused.
func (t *Transactor) encode(ctx context.Context, envelopes []*Envelope) error {
	for len(t.encoders) < len(envelopes) {
		t.encoders = append(t.encoders, make([]wire.Encoder, len(envelopes)-len(t.encoders))...)
	}
	t.records = t.records[:0]
	for i, e := range envelopes {
		d, err := t.bus.forwarded(e)
		if err != nil {
			return publishError("", e.ID, err)
		}
		var r transport.Record
		err = t.bus.encode(d.form, &t.encoders[i], &d.envelope, &r)
		d.free()
		if err == nil {
			r.Partition, err = t.partition(ctx, &r, len(t.records) == 0 || t.records[len(t.records)-1].Topic != r.Topic)
		}
		if err != nil {
			return publishError(e.Topic, e.ID, err)
		}
		t.records = append(t.records, r)
	}
	return nil
}

// partition returns the partition of a record, as the producer would choose it. Records without
// a key share a partition until the topic changes.
func (t *Transactor) partition(ctx context.Context, r *transport.Record, another bool) (int32, error) {
	topic := t.topics[r.Topic]
	if topic == nil {
		topic = new(transactorTopic)
		t.topics[r.Topic] = topic
	}
	if topic.partitions == 0 || time.Since(topic.asked) > partitionsAge {
		infos, err := t.bus.transport.Admin().Topics(ctx, r.Topic)
		if err != nil {
			return 0, err
		}
		if infos[0].Err != nil {
			return 0, infos[0].Err
		}
		if infos[0].Partitions < 1 {
			return 0, fmt.Errorf("topic %q has no partitions: is it being created?", r.Topic)
		}
		topic.partitions, topic.asked = infos[0].Partitions, time.Now()
	}
	if r.Key != nil {
		return transport.CheckPartition(t.bus.partitions.Of(r.Topic, r.Key, topic.partitions), r.Topic, topic.partitions)
	}
	if another {
		topic.next++
	}
	return topic.next % topic.partitions, nil
}
