package produce

import (
	"context"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/eventbus-go/eventbus/internal/murmur2"
	"github.com/eventbus-go/eventbus/kafka/internal/cluster"
	"github.com/eventbus-go/eventbus/kafka/internal/kerr"
	"github.com/eventbus-go/eventbus/transport"
)

// producerTopic is a topic that a producer writes to. There is one for each name, even after
// the topic was deleted and created again.
type producerTopic struct {
	name   string
	layout atomic.Pointer[topicLayout]
	// limit bounds batches, below BatchBytes once the broker has refused one for its size.
	limit atomic.Int64
	// looked is when the topic's metadata was last checked, in Unix nanoseconds. New partitions
	// are noticed within cluster.MetadataAge.
	looked atomic.Int64
	// soughtAt is when its leaders were last looked up because the gate refuses one of them, in
	// Unix nanoseconds.
	soughtAt atomic.Int64
	// current is the partition for records without a key.
	current atomic.Int32
}

// topicLayout is what the producer last learned about a topic. It is immutable.
type topicLayout struct {
	// id is zero if the brokers report none (before Kafka 2.8). A topic that is deleted and
	// created again has the same name and another id.
	id    transport.TopicID
	asked time.Time // when the metadata was requested
	// known has every partition that the topic ever had, since one that is gone may have
	// records without an outcome. It never shrinks.
	known []*partition
	n     int // number of existing partitions, the first of known
}

// partitions returns the topic's existing partitions, by index.
func (l *topicLayout) partitions() []*partition { return l.known[:l.n] }

// topicOf returns the state of a topic. It looks up a topic that is new to the producer, within
// ctx.
func (p *Producer) topicOf(ctx context.Context, name string) (*producerTopic, error) {
	t := (*p.topics.Load())[name]
	if t == nil {
		p.mu.Lock()
		closed := p.closed
		p.mu.Unlock()
		if closed {
			return nil, errProducerClosed
		}
		var meta *cluster.TopicMeta
		err := p.client.Persist(ctx, func() (err error) {
			meta, err = p.client.Topic(ctx, name)
			return err
		})
		if err != nil {
			return nil, err
		}
		return p.learn(meta)
	}
	return t, nil
}

// lookAgain notices new partitions of a topic whose metadata is old. It is called for each
// opened batch.
func (p *Producer) lookAgain(t *producerTopic, now time.Time) {
	if looked := t.looked.Load(); now.UnixNano()-looked > int64(cluster.MetadataAge) && t.looked.CompareAndSwap(looked, now.UnixNano()) {
		p.client.Spawn(func() {
			if meta, err := p.client.FreshTopic(p.ctx, t.name); err == nil {
				_, _ = p.learn(meta)
			}
		})
	}
}

// lookElsewhere finds out, now and then, whether another broker leads what this broker led. It
// is called when the gate refuses a record because of the broker: nothing is then sent whose
// answer, or failure, would show that.
func (p *Producer) lookElsewhere(t *producerTopic, broker int32, now time.Time) {
	at := t.soughtAt.Load()
	if now.UnixNano()-at < int64(cluster.LookAgainAfter) || !t.soughtAt.CompareAndSwap(at, now.UnixNano()) {
		return
	}
	p.spawn(func() {
		if p.client.Refresh(p.ctx, t.name) != nil {
			return
		}
		meta := p.relearn(t.name)
		if meta == nil {
			return
		}
		for i, part := range t.layout.Load().partitions() {
			if i < len(meta.Partitions) && meta.Partitions[i].Leader >= 0 {
				// The partition's owner may have found out meanwhile, and more.
				part.leader.CompareAndSwap(broker, meta.Partitions[i].Leader)
			}
		}
	})
}

// relearn takes over the client's metadata of a topic and returns it, or nil if there is none.
func (p *Producer) relearn(name string) *cluster.TopicMeta {
	meta := p.client.KnownTopic(name)
	if meta != nil && meta.Err == nil {
		_, _ = p.learn(meta)
	}
	return meta
}

// learn takes over the metadata of a topic, including its partitions. It ignores metadata older
// than the known.
func (p *Producer) learn(meta *cluster.TopicMeta) (*producerTopic, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, errProducerClosed
	}
	topics := *p.topics.Load()
	t := topics[meta.Name]
	if t == nil {
		t = &producerTopic{name: meta.Name}
		t.limit.Store(int64(p.cfg.BatchBytes))
		t.looked.Store(meta.Asked.UnixNano())
		t.layout.Store(&topicLayout{id: meta.ID})
		// Store the map last, once the topic has its partitions.
		more := make(map[string]*producerTopic, len(topics)+1)
		maps.Copy(more, topics)
		more[meta.Name] = t
		defer p.topics.Store(&more)
	}
	t.learn(p, meta)
	return t, nil
}

// learn replaces the layout if meta has news. The caller holds p.mu.
//
// Partitions are only added to a topic, so an answer with fewer comes from a late broker,
// unless it has another id. Then it is another topic, which counts: keys are spread over its
// partitions. Records queued for a partition that it lacks end like any record whose partition
// is missing. The other partitions continue with their sequence numbers, which a log without
// history accepts.
func (t *producerTopic) learn(p *Producer, meta *cluster.TopicMeta) {
	old := t.layout.Load()
	recreated := meta.ID != old.id && meta.ID != (transport.TopicID{})
	if meta.Asked.Before(old.asked) || !recreated && len(meta.Partitions) <= old.n {
		return
	}
	next := &topicLayout{id: old.id, asked: meta.Asked, known: slices.Clone(old.known), n: len(meta.Partitions)}
	if recreated {
		next.id = meta.ID
		t.limit.Store(int64(p.cfg.BatchBytes)) // its max.message.bytes may differ
	}
	for i := len(next.known); i < next.n; i++ {
		next.known = append(next.known, newPartition(p, t, int32(i), meta.Partitions[i].Leader))
	}
	t.layout.Store(next)
}

// partitionFor is choose, except that it refreshes the metadata if the record names an unknown
// partition.
func (p *Producer) partitionFor(ctx context.Context, t *producerTopic, r *transport.Record) (*partition, error) {
	part, err := p.choose(t, r)
	if err == nil {
		return part, nil
	}
	var meta *cluster.TopicMeta
	err = p.client.Persist(ctx, func() (err error) {
		// The partition may have been added after the metadata was requested.
		meta, err = p.client.FreshTopic(ctx, t.name)
		return err
	})
	if err == nil {
		t, err = p.learn(meta)
	}
	if err != nil {
		return nil, err
	}
	return p.choose(t, r)
}

// choose returns the partition of a record: the one it names, that of its key or, without a
// key, the current one. Unless configured otherwise, keys are spread as by Kafka's Java client,
// so that all clients of a topic agree. An empty key is a key.
func (p *Producer) choose(t *producerTopic, r *transport.Record) (*partition, error) {
	partitions := t.layout.Load().partitions()
	switch {
	case r.Partition >= 0 && int(r.Partition) < len(partitions):
		return partitions[r.Partition], nil
	case r.Partition >= 0:
		return nil, cluster.MissingPartition(t.name, r.Partition, len(partitions))
	case len(partitions) == 0:
		return nil, cluster.TopicError(t.name, kerr.LeaderNotAvailable)
	case r.Key != nil && p.cfg.Partitioner != nil:
		n := int32(len(partitions)) //nolint:gosec // a topic's partitions fit
		chosen, err := transport.CheckPartition(p.cfg.Partitioner(t.name, r.Key, n), t.name, n)
		if err != nil {
			return nil, err
		}
		return partitions[chosen], nil
	case r.Key != nil:
		return partitions[murmur2.Partition(r.Key, int32(len(partitions)))], nil
	}
	return partitions[int(t.current.Load())%len(partitions)], nil
}

// advance moves records without a key on to another partition, after a batch of partition p was
// closed: to the next idle one or, if none is idle, to the next that is not in trouble.
func (t *producerTopic) advance(p *partition) {
	if t.current.Load() != p.index {
		return
	}
	partitions := t.layout.Load().partitions()
	next := -1
	for i := 1; i < len(partitions); i++ {
		at := (int(p.index) + i) % len(partitions)
		switch partitions[at].load.Load() {
		// An idle partition sends at once, so the record need not wait.
		case loadNone:
			t.current.CompareAndSwap(p.index, int32(at))
			return
		case loadSome:
			if next < 0 {
				next = at
			}
		}
	}
	if next >= 0 {
		t.current.CompareAndSwap(p.index, int32(next))
	}
}
