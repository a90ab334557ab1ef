package memory

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/eventbus-go/eventbus/internal/murmur2"
	"github.com/eventbus-go/eventbus/transport"
)

// producer is a transport.Producer. The cluster's mutex guards its fields. bytes and records
// count the accepted records without an outcome, against BufferBytes and BufferRecords. room
// works as Cluster.changed does.
type producer struct {
	cluster *Cluster
	config  transport.ProducerConfig
	closed  bool
	next    map[string]int32                  // partition of the next keyless record, by topic
	queues  map[transport.Partition]*outcomes // accepted records without an outcome
	bytes   int                               // sum of these records' sizes
	records int
	room    chan struct{} // closed when a record gets its outcome; nil while nobody waits
}

// NewProducer returns a producer.
func (c *Cluster) NewProducer(config transport.ProducerConfig) (transport.Producer, error) {
	// Nothing is compressed, but a misspelled name must fail as it does with a driver.
	switch config.Compression {
	case "", "none", "gzip", "snappy", "lz4", "zstd":
	default:
		return nil, fmt.Errorf("compression %q: none, gzip, snappy, lz4 and zstd are known", config.Compression)
	}
	p := &producer{
		cluster: c,
		config:  config.WithDefaults(),
		next:    make(map[string]int32),
		queues:  make(map[transport.Partition]*outcomes),
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, fmt.Errorf("memory transport: %w", transport.ErrClosed)
	}
	c.clients = append(c.clients, p)
	return p, nil
}

// Produce appends the record before it returns, unless a fault says otherwise. It also calls
// done before it returns, unless the acknowledgement is held or another goroutine is calling
// that partition's completions.
func (p *producer) Produce(ctx context.Context, r *transport.Record, done transport.Completion) error {
	// Check before waiting for the buffer, which it would never fit.
	size := r.Size()
	if size > p.config.BatchBytes {
		return &transport.TooLargeError{Size: size, Limit: p.config.BatchBytes, Setting: "Producer.BatchBytes"}
	}
	c := p.cluster
	c.mu.Lock()
	defer c.mu.Unlock()
	// A record refused here costs neither buffer space nor a probe of the gate.
	if err := p.refuse(r); err != nil {
		return err
	}
	if err := p.reserve(ctx, size); err != nil {
		return err
	}
	// Ask after the reservation, which may take long: the gate's answer must be current.
	if err := p.ask(r); err != nil {
		p.giveBack(size)
		return err
	}

	// ask has checked the topic again, so it exists.
	chosen, err := p.choose(r)
	if err != nil {
		p.giveBack(size)
		p.worked()
		return err
	}
	l := c.topics[r.Topic].logs[chosen]
	o := &outcome{producer: p, done: done, size: size, position: transport.Position{Partition: l.Partition, Offset: -1}}
	q := p.queues[l.Partition]
	if q == nil {
		q = new(outcomes)
		p.queues[l.Partition] = q
	}
	// Queue it before it has an outcome: completions come in the order of Produce.
	q.waiting = append(q.waiting, o)
	p.write(l, r, o)
	// A record that was never sent has no acknowledgement to hold.
	if h := c.faults.hold(r.Topic); h != nil && !errors.Is(o.err, ErrUnreachable) {
		h.waiting = append(h.waiting, o)
		o.deadline = time.AfterFunc(p.config.DeliveryTimeout, func() { p.expire(o) })
	} else {
		o.settled = true
		p.drain(q)
	}
	return nil
}

// refuse returns why a record can't be accepted, or nil. A negative partition means any.
func (p *producer) refuse(r *transport.Record) error {
	if p.closed {
		return fmt.Errorf("producer: %w", transport.ErrClosed)
	}
	_, err := p.cluster.log(r.Topic, max(r.Partition, 0))
	return err
}

// reserve waits for space in the buffer and takes it. The mutex is held, and released while
// waiting. An empty buffer takes a record of any size, or one larger than BufferBytes would
// wait indefinitely.
func (p *producer) reserve(ctx context.Context, size int) error {
	for p.records >= p.config.BufferRecords || p.records > 0 && p.bytes+size > p.config.BufferBytes {
		// One channel for all waiters: each checks for itself when it is closed.
		if p.room == nil {
			p.room = make(chan struct{})
		}
		room := p.room
		p.cluster.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
		}
		p.cluster.mu.Lock()
		if p.closed {
			return fmt.Errorf("producer: %w", transport.ErrClosed)
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%w: %w", transport.ErrBufferFull, ctx.Err())
		}
	}
	p.records++
	p.bytes += size
	return nil
}

// giveBack ends a reservation. The mutex is held.
func (p *producer) giveBack(size int) {
	p.records--
	p.bytes -= size
	p.wakeWaiting()
}

// reconnected implements client. Records produced during the outage have already failed.
func (p *producer) reconnected() {}

// wakeWaiting makes every Produce that waits for space check again. The mutex is held.
func (p *producer) wakeWaiting() {
	if p.room != nil {
		close(p.room)
		p.room = nil
	}
}

// ask asks the gate, outside the mutex. Whatever the gate allows it is told the outcome of, by
// Report, even if the topic is deleted or the producer closed meanwhile: a breaker waits for
// the outcome of each probe it allows.
func (p *producer) ask(r *transport.Record) error {
	if p.config.Gate == nil {
		return nil
	}
	p.cluster.mu.Unlock()
	// Broker 0 is the only one; see New.
	err := p.config.Gate.Allow(0)
	p.cluster.mu.Lock()
	if err != nil {
		return err
	}
	if err := p.refuse(r); err != nil {
		p.worked()
		return err
	}
	return nil
}

// worked reports to the gate, outside the mutex, that an allowed record failed for its own reasons.
func (p *producer) worked() {
	if p.config.Gate == nil {
		return
	}
	p.cluster.mu.Unlock()
	p.config.Gate.Report(0, nil)
	p.cluster.mu.Lock()
}

// choose returns the partition of a record. Keys go by murmur2, as in Kafka's Java client, so
// that a test sees the same partition as production does. Records without a key take the
// partitions in turn.
func (p *producer) choose(r *transport.Record) (int32, error) {
	partitions := int32(len(p.cluster.topics[r.Topic].logs))
	switch {
	case r.Partition >= 0:
		return r.Partition, nil
	case r.Key != nil && p.config.Partitioner != nil:
		return transport.CheckPartition(p.config.Partitioner(r.Topic, r.Key, partitions), r.Topic, partitions)
	case r.Key != nil:
		return murmur2.Partition(r.Key, partitions), nil
	}
	// The topic may have been created again with fewer partitions.
	n := p.next[r.Topic] % partitions
	p.next[r.Topic] = n + 1
	return n, nil
}

// write appends the record, or applies a fault, and sets the outcome. With an error the
// position's offset stays −1, since a producer would not know it.
func (p *producer) write(l *log, r *transport.Record, o *outcome) {
	c := p.cluster
	if !c.cutAt.IsZero() {
		o.err = ErrUnreachable
		return
	}
	// The broker's limit is an outcome, not a refusal: Produce has accepted the record.
	if limit := c.topics[l.Topic].maxMessageBytes(); o.size > limit {
		o.err = &transport.TooLargeError{Size: o.size}
		return
	}
	copies := 1
	if f := c.faults.next(l.Topic); f != nil {
		copies, o.err = f.copies, f.err
	}
	at := r.Time
	if at.IsZero() {
		at = time.Now()
	}
	// A record batch stores milliseconds.
	at = time.UnixMilli(at.UnixMilli())
	for n := range copies {
		c.appended++
		// The first copy is the acknowledged one.
		if position := l.append(r, at, c.appended); n == 0 && o.err == nil {
			o.position = position
		}
	}
	c.change()
}

// Flush waits until the completions of all records accepted before the call have returned.
func (p *producer) Flush(ctx context.Context) error {
	p.cluster.mu.Lock()
	// The last record of each queue is enough, since completions of a queue come in order. Records
	// accepted from here on are not waited for.
	var last []<-chan struct{}
	for _, q := range p.queues {
		if len(q.waiting) > 0 {
			last = append(last, q.waiting[len(q.waiting)-1].heardChannel())
		}
	}
	p.cluster.mu.Unlock()
	for _, heard := range last {
		select {
		case <-heard:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// Close completes records that have no outcome when ctx ends with an error that is ErrClosed and
// ErrOutcomeUnknown: they are in the log, and nobody was told.
func (p *producer) Close(ctx context.Context) error {
	c := p.cluster
	c.mu.Lock()
	// Accept nothing more, so that Flush ends.
	p.closed = true
	p.wakeWaiting()
	c.forget(p)
	c.mu.Unlock()

	err := p.Flush(ctx)
	if err == nil {
		return nil
	}
	c.mu.Lock()
	for _, q := range p.queues {
		for _, o := range q.waiting {
			// settle changes nothing for records that already have an outcome.
			o.settle(fmt.Errorf("producer: %w: %w", transport.ErrClosed, transport.ErrOutcomeUnknown))
		}
		p.drain(q)
	}
	c.mu.Unlock()
	// Another goroutine may be calling completions; they don't block.
	return errors.Join(err, p.Flush(context.Background()))
}
