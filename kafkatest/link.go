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

// link is the cluster's transport as each bus gets it. Its Close ends nothing,
// since a bus closes its transport and the cluster outlives it; and it notes what
// Settle has to look at.
type link struct {
	transport.Transport
	cluster *Cluster
}

// links is what all links of a cluster noted.
type links struct {
	mu     sync.Mutex
	live   map[any]membership  // by *linkedConsumer or *linkedProducer
	topics map[string]struct{} // produced to or subscribed to
}

// membership is what a live consumer subscribed to, and empty for producers.
type membership struct {
	group  string
	topics []string
}

func (l *links) add(owner any, m membership) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.live[owner] = m
	for _, topic := range m.topics {
		l.topics[topic] = struct{}{}
	}
}

func (l *links) remove(owner any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.live, owner)
}

func (l *links) used(topic string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.topics[topic] = struct{}{}
}

// environments are the first parts of the names of the topics in use.
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

// groups lists the topics that live members subscribed to, by group.
func (l *links) groups() map[string][]string {
	l.mu.Lock()
	defer l.mu.Unlock()
	topics := make(map[string]map[string]struct{})
	for _, m := range l.live {
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

func (l *links) producers() (live []*linkedProducer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for owner := range l.live {
		if p, ok := owner.(*linkedProducer); ok {
			live = append(live, p)
		}
	}
	return live
}

// Close leaves the cluster open.
func (l *link) Close(context.Context) error { return nil }

// Transactor is the cluster's, where that has transactions.
func (l *link) Transactor(ctx context.Context, id string, config transport.ProducerConfig) (transport.Transactor, error) {
	t, ok := l.Transport.(transport.Transactional)
	if !ok {
		return nil, fmt.Errorf("the transport %T has no transactions", l.Transport)
	}
	return t.Transactor(ctx, id, config)
}

func (l *link) NewProducer(config transport.ProducerConfig) (transport.Producer, error) {
	p, err := l.Transport.NewProducer(config)
	if err != nil {
		return nil, err
	}
	linked := &linkedProducer{p, l.cluster}
	l.cluster.links.add(linked, membership{})
	return linked, nil
}

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

// Watch is called by eventbus.New: Settle and Handled know the bus from then on.
func (l *link) Watch(bus *eventbus.Bus) {
	c := l.cluster
	if err := bus.Use(c.record); err != nil {
		panic(err) // it is new
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.buses = append(c.buses, bus)
}

type linkedProducer struct {
	transport.Producer
	cluster *Cluster
}

func (p *linkedProducer) Produce(ctx context.Context, r *transport.Record, done transport.Completion) error {
	p.cluster.links.used(r.Topic)
	if faults := p.cluster.inForce(&p.cluster.publishFaults); len(faults) > 0 {
		if e := envelopeOf(r); e != nil {
			if err := faults.meets(r.Topic, e); err != nil {
				done.Done(transport.Position{Partition: transport.Partition{Topic: r.Topic, Partition: r.Partition}, Offset: -1}, err)
				return nil
			}
		}
	}
	return p.Producer.Produce(ctx, r, done)
}

func (p *linkedProducer) Close(ctx context.Context) error {
	defer p.cluster.links.remove(p)
	return p.Producer.Close(ctx)
}

type linkedConsumer struct {
	transport.Consumer
	cluster *Cluster
}

func (c *linkedConsumer) Poll(ctx context.Context) ([]transport.Batch, error) {
	batches, err := c.Consumer.Poll(ctx)
	c.cluster.lendBatches(batches)
	return batches, err
}

func (c *linkedConsumer) Close(ctx context.Context) error {
	defer c.cluster.links.remove(c)
	return c.Consumer.Close(ctx)
}
