package produce

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eventbus-go/eventbus/kafka/internal/batch"
	"github.com/eventbus-go/eventbus/kafka/internal/cluster"
	"github.com/eventbus-go/eventbus/kafka/internal/kerr"
	"github.com/eventbus-go/eventbus/transport"
)

// Producer writes records with an idempotent session per partition: a record whose Done error
// is nil is in the log once, and the records of one partition are there in the order of
// Produce.
//
// Produce encodes a record into its partition's open batch. An idle partition is sent at once;
// while it has a batch in flight, the next one fills. So under light load a record waits for
// one round trip, and under heavy load batches grow by themselves. A request carries the
// batches of all ready partitions of a broker, and a broker has a few requests in flight. A
// partition has one batch in flight, or up to five if the broker is so far away that waiting
// for the answer would take most of the time.
//
// A batch is repeated with the same bytes until it is acknowledged or its delivery time is
// over. In the latter case it is lost, together with everything queued behind it on its
// partition. A record that the broker refuses for its content fails alone.
type Producer struct {
	client      *cluster.Client
	cfg         transport.ProducerConfig // with defaults
	compression batch.Compression
	credit      credit
	ids         producerIDs
	farAfter    time.Duration // the constant

	// Both maps are replaced under mu and never changed, so that Produce reads them without a
	// lock. They never shrink.
	topics  atomic.Pointer[map[string]*producerTopic]
	senders atomic.Pointer[map[int32]*sender]
	waiting waiting

	ctx     context.Context // ends when Close gives up or is done
	cancel  context.CancelFunc
	working sync.WaitGroup // senders' workers, and lookups of leaders

	// mu guards closed and ended, and the replacement of topics and senders.
	mu     sync.Mutex
	closed bool // nothing more is accepted
	ended  bool // nothing more is started
}

// NewProducer returns a producer. It connects on first use.
func NewProducer(c *cluster.Client, cfg transport.ProducerConfig) (*Producer, error) {
	if err := validateProducer(cfg); err != nil {
		return nil, err
	}
	cfg = cfg.WithDefaults()
	compression, err := batch.NewCompression(cfg.Compression)
	if err != nil {
		return nil, err
	}
	p := &Producer{client: c, cfg: cfg, compression: compression, farAfter: farAfter}
	p.credit.maxBytes, p.credit.maxRecords = int64(cfg.BufferBytes), int64(cfg.BufferRecords)
	p.credit.closed = make(chan struct{})
	p.topics.Store(new(map[string]*producerTopic))
	p.senders.Store(new(map[int32]*sender))
	p.waiting.producer = p
	p.ctx, p.cancel = context.WithCancel(c.Ctx)
	return p, nil
}

// validateProducer returns an error that names every invalid field and what to write instead.
func validateProducer(cfg transport.ProducerConfig) error {
	var wrong kerr.Faults
	kerr.OneOf(&wrong, "Compression", cfg.Compression, batch.Compressions[:])
	for _, f := range []struct {
		name  string
		value int
	}{
		{"BufferBytes", cfg.BufferBytes}, {"BufferRecords", cfg.BufferRecords},
		{"BatchBytes", cfg.BatchBytes}, {"RequestBytes", cfg.RequestBytes},
		{"DeliveryTimeout", int(cfg.DeliveryTimeout)},
	} {
		if f.value < 0 {
			wrong.Add("%s is negative: write a positive value, or 0 for the default", f.name)
		}
	}
	return wrong.Err("ProducerConfig")
}

// Produce encodes r into its partition's open batch. It looks up a topic that is new to the
// producer, and waits for credit, both within ctx; nothing else here waits. It asks the gate
// before it has any effect.
func (p *Producer) Produce(ctx context.Context, r *transport.Record, done transport.Completion) error {
	t, err := p.topicOf(ctx, r.Topic)
	if err != nil {
		return producing(err)
	}
	part, err := p.partitionFor(ctx, t, r)
	if err != nil {
		return producing(err)
	}
	if leader := part.leader.Load(); p.cfg.Gate != nil && leader >= 0 {
		if err := p.cfg.Gate.Allow(leader); err != nil {
			p.lookElsewhere(part.topic, leader, time.Now())
			return err
		}
	}
	at := r.Time
	if at.IsZero() {
		at = time.Now()
	}
	timestamp := at.UnixMilli()
	content := batch.ContentSize(r)
	// Bounds apply to the size before compression. Only for a record larger than a batch does
	// compression decide whether it fits.
	if batch.HeaderSize+content+maxRecordHead > p.cfg.BatchBytes {
		return p.produceAlone(ctx, part, r, content, timestamp, done)
	}
	size := r.Size()
	if size > p.cfg.BufferBytes {
		return p.largerThanBuffer(size)
	}
	if err := p.credit.acquire(ctx, int64(size)); err != nil {
		return p.noCredit(err)
	}
	return part.add(r, content, timestamp, size, done)
}

// produceAlone accepts a record that is too large to share a batch, if its own batch,
// compressed, is not too large.
func (p *Producer) produceAlone(ctx context.Context, part *partition, r *transport.Record, content int, timestamp int64, done transport.Completion) error {
	// The fixed part, the length, the attributes, and deltas of 0.
	single := batch.HeaderSize + batch.VarintSize(int64(batch.RecordSize(content, 0, 0))) + batch.RecordSize(content, 0, 0)
	size := r.Size()
	if single > p.cfg.BatchBytes && p.compression.Codec == 0 {
		return p.largerThanBatch(single)
	}
	if size > p.cfg.BufferBytes {
		return p.largerThanBuffer(size)
	}
	if err := p.credit.acquire(ctx, int64(size)); err != nil {
		return p.noCredit(err)
	}
	now := time.Now()
	p.lookAgain(part.topic, now)
	// Compress in the caller's goroutine, where an error can still be returned.
	b := newBatch(now.Add(p.cfg.DeliveryTimeout))
	b.add(r, content, timestamp, size, done)
	b.pack(&p.compression)
	var err error
	if encoded := len(b.wire()); encoded > p.cfg.BatchBytes {
		err = p.largerThanBatch(encoded)
	} else {
		err = part.addAlone(b)
	}
	if err != nil {
		p.credit.release(int64(size), 1)
		b.recycle()
	}
	return err
}

// largerThanBatch returns the error of a record that no batch of the producer can hold.
func (p *Producer) largerThanBatch(size int) error {
	return fmt.Errorf("kafka: %w", &transport.TooLargeError{Size: size, Limit: p.cfg.BatchBytes,
		Setting: "Producer.BatchBytes, and max.message.bytes of the topic if that is smaller"})
}

// largerThanBuffer returns the error of a record that the producer's buffer can't hold.
func (p *Producer) largerThanBuffer(size int) error {
	return fmt.Errorf("kafka: %w", &transport.TooLargeError{Size: size, Limit: p.cfg.BufferBytes, Setting: "Producer.BufferBytes"})
}

// producing adds a prefix to the error of a record that was not accepted.
func producing(err error) error {
	if errors.Is(err, errProducerClosed) {
		return err
	}
	return fmt.Errorf("kafka: %w", err)
}

// noCredit explains an error of credit.acquire.
func (p *Producer) noCredit(err error) error {
	if errors.Is(err, errProducerClosed) {
		return err
	}
	return fmt.Errorf("kafka: %w, with %d bytes or %d records: %w", transport.ErrBufferFull, p.cfg.BufferBytes, p.cfg.BufferRecords, err)
}

// flush waits for the outcome of everything accepted before it.
type flush struct {
	left atomic.Int64 // partitions to wait for, plus 1 while they are counted
	done chan struct{}
}

// complete records that one partition, or the counting, is done.
func (f *flush) complete() {
	if f.left.Add(-1) == 0 {
		close(f.done)
	}
}

// Flush waits until every record accepted before the call has its outcome.
func (p *Producer) Flush(ctx context.Context) error {
	f := &flush{done: make(chan struct{})}
	// Counted first, so that partitions can't bring it to zero before all are asked.
	f.left.Store(1)
	for _, part := range p.all() {
		part.flush(f)
	}
	f.complete()
	select {
	case <-f.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("kafka: flushing the producer: %w", ctx.Err())
	}
}

// all returns the partitions known to the producer, including those of former topics of the
// same names.
func (p *Producer) all() []*partition {
	var parts []*partition
	for _, t := range *p.topics.Load() {
		parts = append(parts, t.layout.Load().known...)
	}
	return parts
}

// Close flushes within ctx, then fails what is left; if a broker may have a record, its outcome
// is unknown. It waits for the producer's own goroutines, whose context has ended by then, not
// for the network. A second call returns nil at once.
func (p *Producer) Close(ctx context.Context) error {
	p.mu.Lock()
	first := !p.closed
	p.closed = true
	p.mu.Unlock()
	if !first {
		return nil
	}
	// Refuse callers that wait for credit, or have it and are about to add.
	close(p.credit.closed)
	for _, part := range p.all() {
		part.close()
	}
	// From here on nothing is accepted.
	err := p.Flush(ctx)
	p.mu.Lock()
	p.ended = true
	p.mu.Unlock()
	p.cancel()
	// Nothing passes a partition on any more, so once working has ended no goroutine owns one,
	// and lose may be called for each.
	p.waiting.stop()
	for _, s := range *p.senders.Load() {
		s.stop()
	}
	p.working.Wait()
	for _, part := range p.all() {
		part.lose(&DeliveryError{What: "the producer was closed before the record was delivered", Cause: transport.ErrClosed})
	}
	return err
}

// spawn runs f on a goroutine that Close waits for, unless the producer has ended.
func (p *Producer) spawn(f func()) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return false
	}
	p.working.Go(f)
	return true
}
