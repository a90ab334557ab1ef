package kafka

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/transport"
)

const (
	// metadataAge is how long what is known of a topic is used without asking
	// again: new partitions are noticed within it. As in Kafka's own clients.
	metadataAge = 5 * time.Minute
	// missingAge is how long a topic that was missing counts as missing.
	missingAge = 100 * time.Millisecond
	// metadataGap lies between two metadata requests, so that everybody who
	// learns of a leader's move at once is answered by one.
	metadataGap = 20 * time.Millisecond
	// lookAgainAfter lies between two looks for a leader that is out of reach. A
	// cluster takes seconds to depose it, and from then on every moment counts.
	lookAgainAfter = 250 * time.Millisecond
)

// topicMeta is what the cluster said of a topic. It never changes once made.
type topicMeta struct {
	name       string
	id         transport.TopicID // zero from brokers before 2.8
	cluster    string            // the id of the topic's cluster
	partitions []partitionMeta   // by index
	err        error             // what the cluster said instead
	asked      time.Time
}

// partitionMeta names a partition's leader, −1 if it has none.
type partitionMeta struct {
	leader, epoch int32
	replicas      int16
}

// metadata is what this client knows of the cluster. It is safe for concurrent use.
type metadata struct {
	client *client

	mu         sync.Mutex
	clusterID  string
	controller int32
	brokers    map[int32]transport.Broker
	topics     map[string]*topicMeta
	stale      map[string]bool
	ids        map[string]*identity
	silent     map[int32]time.Time // when brokers that were asked anything did not answer in time
	next       *refresh            // gathers names; nil if nobody waits for one
	running    bool
	last       time.Time // when the last request ended
}

// refresh is one metadata request to come, shared by all who wait for it.
type refresh struct {
	names map[string]bool
	done  chan struct{}
	err   error
}

func (m *metadata) init(c *client) {
	m.client = c
	m.controller = -1
	m.brokers = make(map[int32]transport.Broker)
	m.topics = make(map[string]*topicMeta)
	m.stale = make(map[string]bool)
	m.ids = make(map[string]*identity)
	m.silent = make(map[int32]time.Time)
}

// topic is what is known of a topic, asking the cluster if nothing is or if it
// was invalidated. The error is ErrTopicMissing if the cluster doesn't have it.
func (c *client) topic(ctx context.Context, name string) (*topicMeta, error) {
	m := &c.metadata
	m.mu.Lock()
	t, age := m.topics[name], time.Duration(0)
	if t != nil {
		age = time.Since(t.asked)
	}
	usable := t != nil && !m.stale[name] && (t.err == nil || age < missingAge)
	if usable && age > metadataAge {
		m.joinLocked(name)
	}
	m.mu.Unlock()
	if usable {
		return t, t.err
	}
	return c.freshTopic(ctx, name)
}

// freshTopic asks the cluster, in a request that begins after the call.
func (c *client) freshTopic(ctx context.Context, name string) (*topicMeta, error) {
	if err := c.refresh(ctx, name); err != nil {
		return nil, err
	}
	t := c.knownTopic(name)
	if t == nil {
		return nil, fmt.Errorf("topic %q: the brokers' metadata does not mention it", name)
	}
	return t, t.err
}

// knownTopic is what is known of a topic without asking, nil if nothing is.
func (c *client) knownTopic(name string) *topicMeta {
	c.metadata.mu.Lock()
	defer c.metadata.mu.Unlock()
	return c.metadata.topics[name]
}

// leader is the broker that leads a partition, and its leader epoch (−1 if
// unknown). A partition without a leader is a retriable error.
func (c *client) leader(ctx context.Context, topic string, partition int32) (broker, epoch int32, err error) {
	t, err := c.topic(ctx, topic)
	for again := true; ; again = false {
		if err != nil {
			return -1, -1, err
		}
		missing := partition < 0 || int(partition) >= len(t.partitions)
		if !missing && t.partitions[partition].leader >= 0 {
			p := t.partitions[partition]
			return p.leader, p.epoch, nil
		}
		if !again {
			if missing {
				return -1, -1, missingPartition(topic, partition, len(t.partitions))
			}
			return -1, -1, fmt.Errorf("partition %s/%d has no leader: %w", topic, partition, leaderNotAvailable)
		}
		t, err = c.freshTopic(ctx, topic)
	}
}

func missingPartition(topic string, partition int32, has int) error {
	return fmt.Errorf("partition %d of topic %q, which has %d: %w", partition, topic, has, transport.ErrTopicMissing)
}

// invalidate makes the next look at a topic ask the cluster.
func (c *client) invalidate(topic string) {
	c.metadata.mu.Lock()
	defer c.metadata.mu.Unlock()
	c.metadata.stale[topic] = true
}

// moved notes what a broker said about a partition's new leader (KIP-951), and
// tells whether that was news.
func (c *client) moved(topic string, partition, leader, epoch int32) bool {
	m := &c.metadata
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.topics[topic]
	if t == nil || partition < 0 || int(partition) >= len(t.partitions) || leader < 0 || epoch <= t.partitions[partition].epoch {
		return false
	}
	if _, known := m.brokers[leader]; !known {
		return false
	}
	next := *t
	next.partitions = slices.Clone(t.partitions)
	next.partitions[partition].leader, next.partitions[partition].epoch = leader, epoch
	m.topics[topic] = &next
	return true
}

// refresh asks the cluster about topics. Callers at about the same time share
// one request; each is answered by one that began after its call.
func (c *client) refresh(ctx context.Context, names ...string) error {
	c.metadata.mu.Lock()
	r := c.metadata.joinLocked(names...)
	c.metadata.mu.Unlock()
	if r == nil {
		return errClosed
	}
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return fmt.Errorf("waiting for metadata of %v: %w", names, ctx.Err())
	}
}

// joinLocked adds names to the next request, and sees to it that there will be
// one. It returns nil if the client is closed.
func (m *metadata) joinLocked(names ...string) *refresh {
	if m.next == nil {
		m.next = &refresh{names: make(map[string]bool), done: make(chan struct{})}
	}
	for _, name := range names {
		m.next.names[name] = true
	}
	if !m.running {
		if !m.client.spawn(m.run) {
			m.next = nil
			return nil
		}
		m.running = true
	}
	return m.next
}

// run sends requests one after another until nobody waits for one.
func (m *metadata) run() {
	for {
		m.mu.Lock()
		if m.next == nil {
			m.running = false
			m.mu.Unlock()
			return
		}
		gap := time.Until(m.last.Add(metadataGap))
		m.mu.Unlock()
		pause(m.client.ctx, gap)

		m.mu.Lock()
		r := m.next
		m.next = nil
		m.mu.Unlock()
		r.err = m.ask(slices.Sorted(maps.Keys(r.names)))
		m.mu.Lock()
		m.last = time.Now()
		m.mu.Unlock()
		close(r.done)
	}
}

func (m *metadata) ask(names []string) error {
	asked := time.Now()
	resp, err := m.client.anyBroker(m.client.ctx, metadataRequest(names))
	if err != nil {
		return err
	}
	m.learn(resp.(*kmsg.MetadataResponse), asked)
	return nil
}

// metadataRequest asks for those topics, and creates none. Without names it asks
// for the cluster alone.
func metadataRequest(names []string) *kmsg.MetadataRequest {
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = make([]kmsg.MetadataRequestTopic, 0, len(names)) // nil would ask for all
	for _, name := range names {
		topic := kmsg.NewMetadataRequestTopic()
		topic.Topic = &name
		req.Topics = append(req.Topics, topic)
	}
	return req
}

// learn takes over what a broker said.
func (m *metadata) learn(resp *kmsg.MetadataResponse, asked time.Time) {
	m.learnBrokers(resp)
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range resp.Topics {
		t := newTopicMeta(&resp.Topics[i], asked)
		if t.name == "" {
			continue
		}
		old := m.topics[t.name]
		if old != nil && old.asked.After(asked) || m.outdated(t) {
			continue
		}
		t.cluster = m.clusterID
		if t.err != nil && old != nil && old.err == nil && retriable(t.err) {
			continue // being moved or loaded; what was known is better than nothing
		}
		t.keepNewer(old)
		m.topics[t.name] = t
		delete(m.stale, t.name)
	}
}

func newTopicMeta(topic *kmsg.MetadataResponseTopic, asked time.Time) *topicMeta {
	t := &topicMeta{id: topic.TopicID, asked: asked}
	if topic.Topic != nil {
		t.name = *topic.Topic
	}
	if topic.ErrorCode != 0 {
		t.err = topicError(t.name, Error(topic.ErrorCode))
		return t
	}
	t.partitions = make([]partitionMeta, len(topic.Partitions))
	for i := range t.partitions {
		t.partitions[i] = partitionMeta{leader: -1, epoch: -1}
	}
	for _, p := range topic.Partitions {
		if p.Partition >= 0 && int(p.Partition) < len(t.partitions) {
			t.partitions[p.Partition] = partitionMeta{p.Leader, p.LeaderEpoch, int16(len(p.Replicas))}
		}
	}
	return t
}

// keepNewer keeps leaders that were known with a higher epoch: brokers learn of
// an election one after another, and the one asked may be late.
func (t *topicMeta) keepNewer(old *topicMeta) {
	if old == nil || old.id != t.id {
		return
	}
	for i := range min(len(t.partitions), len(old.partitions)) {
		if old.partitions[i].epoch > t.partitions[i].epoch && t.partitions[i].epoch >= 0 {
			t.partitions[i] = old.partitions[i]
		}
	}
}

// topicError is what the metadata says instead of describing a topic. That it
// is missing is the cluster's own word and not retriable, unlike the code
// UNKNOWN_TOPIC_OR_PARTITION from a leader, which may not know it yet.
func topicError(name string, code Error) error {
	if code == unknownTopicOrPartition {
		return fmt.Errorf("topic %q: %w", name, transport.ErrTopicMissing)
	}
	return fmt.Errorf("topic %q: %w", name, code)
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
