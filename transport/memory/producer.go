package memory

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/eventbus-go/eventbus/internal/murmur2"
	"github.com/eventbus-go/eventbus/transport"
)

// producer is a transport.Producer. Its fields are guarded by the cluster's mutex.
// bytes is the sum of the records' sizes, headers included, and with records the
// measure of BufferBytes and BufferRecords. room has the same life as Cluster.changed.
type producer struct {
	cluster *Cluster
	config  transport.ProducerConfig
	closed  bool
	next    map[string]int32                  // the partition of the next keyless record, by topic
	queues  map[transport.Partition]*outcomes // what was accepted and has no outcome yet
	bytes   int                               // of what was accepted and has no outcome yet
	records int
	room    chan struct{} // closed when something got its outcome; nil while nobody waits
}

// NewProducer returns a producer.
func (c *Cluster) NewProducer(config transport.ProducerConfig) (transport.Producer, error) {
	// Nothing is compressed, but a misspelt name must fail here as it does with a driver.
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

// Produce appends the record before it returns, unless a fault says otherwise, and
// calls done before it returns, unless the acknowledgement is held or another
// goroutine is calling the completions of that partition.
func (p *producer) Produce(ctx context.Context, r *transport.Record, done transport.Completion) error {
	// Before the buffer is waited for: it would never fit.
	size := r.Size()
	if size > p.config.BatchBytes {
		return &transport.TooLargeError{Size: size, Limit: p.config.BatchBytes, Setting: "Producer.BatchBytes"}
	}
	c := p.cluster
	c.mu.Lock()
	defer c.mu.Unlock()
	// What is refused here has cost neither room nor a probe of the gate.
	if err := p.refuse(r); err != nil {
		return err
	}
	if err := p.reserve(ctx, size); err != nil {
		return err
	}
	// After the reservation, which may wait long: the gate's answer is to be fresh.
	if err := p.ask(r); err != nil {
		p.giveBack(size)
		return err
	}

	// ask has looked for the topic again, so it is there.
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
	// In the queue before it has an outcome: completions come in the order of Produce.
	q.waiting = append(q.waiting, o)
	p.write(l, r, o)
	// What was never sent has no acknowledgement to hold.
	if h := c.faults.hold(r.Topic); h != nil && !errors.Is(o.err, ErrUnreachable) {
		h.waiting = append(h.waiting, o)
		o.deadline = time.AfterFunc(p.config.DeliveryTimeout, func() { p.expire(o) })
	} else {
		o.settled = true
		p.drain(q)
	}
	return nil
}

// refuse tells why a record can't be accepted, if it can't.
// A negative partition leaves the choice to the producer, and stands for any here.
func (p *producer) refuse(r *transport.Record) error {
	if p.closed {
		return fmt.Errorf("producer: %w", transport.ErrClosed)
	}
	_, err := p.cluster.log(r.Topic, max(r.Partition, 0))
	return err
}

// reserve waits until the buffer has room, and takes it. The mutex is held, and
// free while it waits.
// An empty buffer takes a record of any size, or one larger than BufferBytes would wait
// indefinitely.
func (p *producer) reserve(ctx context.Context, size int) error {
	for p.records >= p.config.BufferRecords || p.records > 0 && p.bytes+size > p.config.BufferBytes {
		// One channel for all who wait: each looks for itself when it is closed.
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

// giveBack is the end of a reservation.
// The mutex is held.
func (p *producer) giveBack(size int) {
	p.records--
	p.bytes -= size
	p.wakeWaiting()
}

// reconnected implements client: what was produced meanwhile has failed already.
func (p *producer) reconnected() {}

// wakeWaiting lets every Produce that waits for room look again. The mutex is held.
func (p *producer) wakeWaiting() {
	if p.room != nil {
		close(p.room)
		p.room = nil
	}
}

// ask asks the gate, outside the mutex. What it let pass it hears of again, by
// Report, also when the topic went or the producer closed in between: a breaker that
// counts the probes it allowed waits for that.
func (p *producer) ask(r *transport.Record) error {
	if p.config.Gate == nil {
		return nil
	}
	p.cluster.mu.Unlock()
	// 0 is the only broker: see New.
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

// worked reports to the gate that what it let pass failed by itself, outside the mutex.
func (p *producer) worked() {
	if p.config.Gate == nil {
		return
	}
	p.cluster.mu.Unlock()
	p.config.Gate.Report(0, nil)
	p.cluster.mu.Lock()
}

// choose is the partition of a record.
// Keys go by murmur2 as in Kafka's Java client, so that a test sees the same partition
// as production does; a record without a key goes to the next one in turn.
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
	// The count runs up to partitions, and the topic may have been created again with fewer.
	n := p.next[r.Topic] % partitions
	p.next[r.Topic] = n + 1
	return n, nil
}

// write appends the record, or does what a fault asks for, and notes the outcome.
// The position's offset stays −1 with an error: where it was appended nobody heard.
func (p *producer) write(l *log, r *transport.Record, o *outcome) {
	c := p.cluster
	if !c.cutAt.IsZero() {
		o.err = ErrUnreachable
		return
	}
	// The broker's limit, and so an outcome and not a refusal: Produce has accepted it.
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
	// A record batch has milliseconds, so no more than that may come back.
	at = time.UnixMilli(at.UnixMilli())
	for n := range copies {
		c.appended++
		// The first copy is the one that is acknowledged.
		if position := l.append(r, at, c.appended); n == 0 && o.err == nil {
			o.position = position
		}
	}
	c.change()
}

// Flush waits until every completion of what was accepted before has returned.
func (p *producer) Flush(ctx context.Context) error {
	p.cluster.mu.Lock()
	// The last of each queue is enough: completions of a queue come in order. Records that
	// are accepted from here on are not waited for.
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

// Close fails what has no outcome when ctx ends with an error that is ErrClosed and
// ErrOutcomeUnknown: all of it is in the log, and nobody heard so.
func (p *producer) Close(ctx context.Context) error {
	c := p.cluster
	c.mu.Lock()
	// First: nothing is accepted any more, so that Flush comes to an end.
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
			// settle leaves those that have an outcome, and wait only for their turn, as they are.
			o.settle(fmt.Errorf("producer: %w: %w", transport.ErrClosed, transport.ErrOutcomeUnknown))
		}
		p.drain(q)
	}
	c.mu.Unlock()
	// Another goroutine may be calling completions: they don't block.
	return errors.Join(err, p.Flush(context.Background()))
}
