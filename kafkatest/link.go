package kafkatest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/transport"
)

// link is the transport that each bus gets. It notes what Settle has to look at. Its
// Close does nothing, since a bus closes its transport and the cluster outlives the
// bus.
type link struct {
	transport.Transport
	cluster *Cluster
}

// links holds what all links of a cluster noted. It has its own lock.
type links struct {
	mu sync.Mutex
	// live has consumers and producers that are not closed, by *linkedConsumer or
	// *linkedProducer.
	live map[any]membership
	// topics are those produced to or subscribed to.
	topics map[string]struct{}
}

// membership is what a live consumer subscribed to. It is empty for producers.
type membership struct {
	group  string
	topics []string
}

// add notes a new consumer or producer.
func (l *links) add(owner any, m membership) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.live[owner] = m
	for _, topic := range m.topics {
		l.topics[topic] = struct{}{}
	}
}

// remove forgets a closed consumer or producer.
func (l *links) remove(owner any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.live, owner)
}

// used notes that a topic was produced to.
func (l *links) used(topic string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.topics[topic] = struct{}{}
}

// environments returns the first segments of the topics in use.
func (l *links) environments() map[string]bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	found := make(map[string]bool)
	for topic := range l.topics {
		environment, _, _ := strings.Cut(topic, ".")
		found[environment] = true
	}
	return found
}

// groups returns the topics that live members subscribed to, by group.
func (l *links) groups() map[string][]string {
	l.mu.Lock()
	defer l.mu.Unlock()
	topics := make(map[string]map[string]struct{})
	for _, m := range l.live {
		// A producer has neither group nor topics.
		if m.group != "" && topics[m.group] == nil {
			topics[m.group] = make(map[string]struct{})
		}
		for _, topic := range m.topics {
			topics[m.group][topic] = struct{}{}
		}
	}
	groups := make(map[string][]string, len(topics))
	for group, names := range topics {
		groups[group] = slices.Sorted(maps.Keys(names))
	}
	return groups
}

// producers returns the producers that are not closed.
func (l *links) producers() (live []*linkedProducer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for owner := range l.live {
		// Callers flush them without the lock: Flush waits for brokers.
		if p, ok := owner.(*linkedProducer); ok {
			live = append(live, p)
		}
	}
	return live
}

// Close leaves the cluster open.
func (l *link) Close(context.Context) error { return nil }

// Transactor returns a transactor of the cluster, or an error if its transport has no
// transactions.
func (l *link) Transactor(ctx context.Context, id string, config transport.ProducerConfig) (transport.Transactor, error) {
	t, ok := l.Transport.(transport.Transactional)
	if !ok {
		return nil, fmt.Errorf("the transport %T has no transactions", l.Transport)
	}
	return t.Transactor(ctx, id, config)
}

// NewProducer returns a producer that FailPublishes applies to and Settle flushes.
func (l *link) NewProducer(config transport.ProducerConfig) (transport.Producer, error) {
	p, err := l.Transport.NewProducer(config)
	if err != nil {
		return nil, err
	}
	linked := &linkedProducer{p, l.cluster}
	l.cluster.links.add(linked, membership{})
	return linked, nil
}

// NewConsumer returns a consumer that lends its batches and whose group Settle
// watches.
func (l *link) NewConsumer(config transport.ConsumerConfig) (transport.Consumer, error) {
	c, err := l.Transport.NewConsumer(config)
	if err != nil {
		return nil, err
	}
	m := membership{group: config.Group}
	for _, topic := range config.Topics {
		m.topics = append(m.topics, topic.Topic)
	}
	linked := &linkedConsumer{c, l.cluster}
	l.cluster.links.add(linked, m)
	return linked, nil
}

// NewReader returns a reader that lends its records as consumers do.
func (l *link) NewReader(config transport.ReaderConfig) (transport.Reader, error) {
	r, err := l.Transport.NewReader(config)
	if err != nil {
		return nil, err
	}
	return &linkedReader{r, l.cluster}, nil
}

// Watch adds a bus to those that Settle and Handled include. eventbus.New calls it.
func (l *link) Watch(bus *eventbus.Bus) {
	c := l.cluster
	if err := bus.Use(c.record); err != nil {
		panic(err) // it is new
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.buses = append(c.buses, bus)
}

// linkedProducer is a bus's producer.
type linkedProducer struct {
	transport.Producer
	cluster *Cluster
}

// Produce implements transport.Producer. A refused record never reaches the log.
func (p *linkedProducer) Produce(ctx context.Context, r *transport.Record, done transport.Completion) error {
	p.cluster.links.used(r.Topic)
	// Records are decoded only while a fault is in force.
	if faults := p.cluster.inForce(&p.cluster.publishFaults); len(faults) > 0 {
		if e := envelopeOf(p.cluster.formOf(r.Topic), r); e != nil {
			if err := faults.meets(r.Topic, e); err != nil {
				// Like the driver, Produce reports a refusal to done, not as its own
				// error.
				done.Done(transport.Position{Partition: transport.Partition{Topic: r.Topic, Partition: r.Partition}, Offset: -1}, err)
				return nil
			}
		}
	}
	return p.Producer.Produce(ctx, r, done)
}

// Close implements transport.Producer.
func (p *linkedProducer) Close(ctx context.Context) error {
	// It is removed only after Close, since Settle must flush what Close still writes.
	defer p.cluster.links.remove(p)
	return p.Producer.Close(ctx)
}

// linkedConsumer is a group member of a bus.
type linkedConsumer struct {
	transport.Consumer
	cluster *Cluster
}

// Poll implements transport.Consumer.
func (c *linkedConsumer) Poll(ctx context.Context) ([]transport.Batch, error) {
	batches, err := c.Consumer.Poll(ctx)
	c.cluster.lendBatches(batches)
	return batches, err
}

// Close implements transport.Consumer.
func (c *linkedConsumer) Close(ctx context.Context) error {
	defer c.cluster.links.remove(c)
	return c.Consumer.Close(ctx)
}
