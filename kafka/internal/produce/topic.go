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

// producerTopic is a topic that a producer writes to. There is one for each name, also
// after the topic was deleted and created again.
type producerTopic struct {
	name   string
	layout atomic.Pointer[topicLayout]
	// limit bounds batches below BatchBytes, once the broker has refused one
	// for its size.
	limit atomic.Int64
	// looked is when the topic's metadata was last looked at, in Unix
	// nanoseconds. New partitions are noticed within metadataAge.
	looked atomic.Int64
	// soughtAt is when its leaders were asked for last because the gate refuses
	// one of them, in Unix nanoseconds.
	soughtAt atomic.Int64
	// current is the partition that records without a key go to.
	current atomic.Int32
}

// topicLayout is what the producer last learned of a topic. It is immutable.
type topicLayout struct {
	// id is zero if the brokers name none (before Kafka 2.8). A topic that is
	// deleted and created again has the same name and another id.
	id    transport.TopicID
	asked time.Time // when the metadata was asked for that this is from
	// known holds every partition that the topic ever had, since one that is gone
	// may have records whose outcome is to come. It grows and never shrinks.
	known []*partition
	n     int // of known, those that the topic has
}

// partitions returns the partitions that the topic has, by index.
func (l *topicLayout) partitions() []*partition { return l.known[:l.n] }

// topicOf returns the state of a topic. A topic that is new to the producer is
// looked up within ctx.
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

// lookAgain notices new partitions of a topic whose metadata is old. It is called
// with each batch that is opened.
func (p *Producer) lookAgain(t *producerTopic, now time.Time) {
	if looked := t.looked.Load(); now.UnixNano()-looked > int64(cluster.MetadataAge) && t.looked.CompareAndSwap(looked, now.UnixNano()) {
		p.client.Spawn(func() {
			if meta, err := p.client.FreshTopic(p.ctx, t.name); err == nil {
				_, _ = p.learn(meta)
			}
		})
	}
}

// lookElsewhere finds out, every now and then, whether what a broker led is led by
// another now. It is called when the gate refuses a record because of the broker:
// then nothing is sent whose answer, or failure, would show it.
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
				// The goroutine that has the partition may have found out meanwhile, and more.
				part.leader.CompareAndSwap(broker, meta.Partitions[i].Leader)
			}
		}
	})
}

// relearn takes over what the client knows of a topic by now, and returns it, nil
// if that is nothing.
func (p *Producer) relearn(name string) *cluster.TopicMeta {
	meta := p.client.KnownTopic(name)
	if meta != nil && meta.Err == nil {
		_, _ = p.learn(meta)
	}
	return meta
}

// learn takes over what is known of a topic: itself, and its partitions. Metadata
// that was asked for before what is known is ignored.
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
		// The map is stored last, when the topic has its partitions.
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
// Partitions are only ever added to a topic, so an answer with fewer comes from a
// broker that is late. With another id it is another topic: that one counts, and
// keys are spread over the partitions that it has. What is queued for a partition
// that it lacks ends as any record whose partition is missing. The others go on
// with their sequence numbers, which a log without their history accepts.
func (t *producerTopic) learn(p *Producer, meta *cluster.TopicMeta) {
	old := t.layout.Load()
	recreated := meta.ID != old.id && meta.ID != (transport.TopicID{})
	if meta.Asked.Before(old.asked) || !recreated && len(meta.Partitions) <= old.n {
		return
	}
	next := &topicLayout{id: old.id, asked: meta.Asked, known: slices.Clone(old.known), n: len(meta.Partitions)}
	if recreated {
		next.id = meta.ID
		t.limit.Store(int64(p.cfg.BatchBytes)) // its max.message.bytes may be another
	}
	for i := len(next.known); i < next.n; i++ {
		next.known = append(next.known, newPartition(p, t, int32(i), meta.Partitions[i].Leader))
	}
	t.layout.Store(next)
}

// partitionFor returns what choose does, after another look at the metadata if the record names
// a partition that is not known.
func (p *Producer) partitionFor(ctx context.Context, t *producerTopic, r *transport.Record) (*partition, error) {
	part, err := p.choose(t, r)
	if err == nil {
		return part, nil
	}
	var meta *cluster.TopicMeta
	err = p.client.Persist(ctx, func() (err error) {
		// The partition may have been added since the metadata was asked for.
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

// choose returns the partition of a record: its own choice, its key's, or for none the
// current one. Keys are spread as by Kafka's Java client, so that all clients of a topic
// agree where a key belongs, unless the configuration says otherwise. An empty key is a
// key.
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

// advance moves records without a key on to another partition, after a batch of
// partition p was closed: the next one that has nothing to do, or else the next
// that isn't in trouble.
func (t *producerTopic) advance(p *partition) {
	if t.current.Load() != p.index {
		return
	}
	partitions := t.layout.Load().partitions()
	next := -1
	for i := 1; i < len(partitions); i++ {
		at := (int(p.index) + i) % len(partitions)
		switch partitions[at].load.Load() {
		// An idle partition sends at once, so the record waits for nothing.
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
