package cluster

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/kafka/internal/kerr"
	"github.com/eventbus-go/eventbus/transport"
)

const (
	// MetadataAge is how long what is known of a topic is used without asking
	// again: new partitions are noticed within it. As in Kafka's own clients.
	MetadataAge = 5 * time.Minute
	// missingAge is how long a topic that was missing counts as missing.
	missingAge = 100 * time.Millisecond
	// metadataGap lies between two metadata requests, so that everybody who
	// learns of a leader's move at once is answered by one.
	metadataGap = 20 * time.Millisecond
	// LookAgainAfter lies between two looks for a leader that is out of reach. A
	// cluster takes seconds to depose it, and from then on every moment counts.
	LookAgainAfter = 250 * time.Millisecond
)

// TopicMeta is what the cluster said of a topic. It never changes once made.
type TopicMeta struct {
	Name       string
	ID         transport.TopicID // zero from brokers before 2.8
	Cluster    string            // the id of the topic's cluster
	Partitions []partitionMeta   // by index
	Err        error             // what the cluster said instead
	Asked      time.Time
}

// partitionMeta names a partition's leader, −1 if it has none.
type partitionMeta struct {
	Leader, Epoch int32
	Replicas      int16
}

// Metadata is what this client knows of the cluster. It is safe for concurrent use.
type Metadata struct {
	Client *Client

	Mu         sync.Mutex
	ClusterID  string
	Controller int32
	Brokers    map[int32]transport.Broker
	topics     map[string]*TopicMeta
	stale      map[string]bool
	IDs        map[string]*Identity
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

func (m *Metadata) init(c *Client) {
	m.Client = c
	m.Controller = -1
	m.Brokers = make(map[int32]transport.Broker)
	m.topics = make(map[string]*TopicMeta)
	m.stale = make(map[string]bool)
	m.IDs = make(map[string]*Identity)
	m.silent = make(map[int32]time.Time)
}

// Topic is what is known of a topic, asking the cluster if nothing is or if it
// was invalidated. The error is ErrTopicMissing if the cluster doesn't have it.
func (c *Client) Topic(ctx context.Context, name string) (*TopicMeta, error) {
	m := &c.Metadata
	m.Mu.Lock()
	t, age := m.topics[name], time.Duration(0)
	if t != nil {
		age = time.Since(t.Asked)
	}
	usable := t != nil && !m.stale[name] && (t.Err == nil || age < missingAge)
	if usable && age > MetadataAge {
		m.joinLocked(name)
	}
	m.Mu.Unlock()
	if usable {
		return t, t.Err
	}
	return c.FreshTopic(ctx, name)
}

// FreshTopic asks the cluster, in a request that begins after the call.
func (c *Client) FreshTopic(ctx context.Context, name string) (*TopicMeta, error) {
	if err := c.Refresh(ctx, name); err != nil {
		return nil, err
	}
	t := c.KnownTopic(name)
	if t == nil {
		return nil, fmt.Errorf("topic %q: the brokers' metadata does not mention it", name)
	}
	return t, t.Err
}

// KnownTopic is what is known of a topic without asking, nil if nothing is.
func (c *Client) KnownTopic(name string) *TopicMeta {
	c.Metadata.Mu.Lock()
	defer c.Metadata.Mu.Unlock()
	return c.Metadata.topics[name]
}

// Leader is the broker that leads a partition, and its leader epoch (−1 if
// unknown). A partition without a leader is a retriable error.
func (c *Client) Leader(ctx context.Context, topic string, partition int32) (broker, epoch int32, err error) {
	t, err := c.Topic(ctx, topic)
	for again := true; ; again = false {
		if err != nil {
			return -1, -1, err
		}
		missing := partition < 0 || int(partition) >= len(t.Partitions)
		if !missing && t.Partitions[partition].Leader >= 0 {
			p := t.Partitions[partition]
			return p.Leader, p.Epoch, nil
		}
		if !again {
			if missing {
				return -1, -1, MissingPartition(topic, partition, len(t.Partitions))
			}
			return -1, -1, fmt.Errorf("partition %s/%d has no leader: %w", topic, partition, kerr.LeaderNotAvailable)
		}
		t, err = c.FreshTopic(ctx, topic)
	}
}

func MissingPartition(topic string, partition int32, has int) error {
	return fmt.Errorf("partition %d of topic %q, which has %d: %w", partition, topic, has, transport.ErrTopicMissing)
}

// Invalidate makes the next look at a topic ask the cluster.
func (c *Client) Invalidate(topic string) {
	c.Metadata.Mu.Lock()
	defer c.Metadata.Mu.Unlock()
	c.Metadata.stale[topic] = true
}

// Moved notes what a broker said about a partition's new leader (KIP-951), and
// tells whether that was news.
func (c *Client) Moved(topic string, partition, leader, epoch int32) bool {
	m := &c.Metadata
	m.Mu.Lock()
	defer m.Mu.Unlock()
	t := m.topics[topic]
	if t == nil || partition < 0 || int(partition) >= len(t.Partitions) || leader < 0 || epoch <= t.Partitions[partition].Epoch {
		return false
	}
	if _, known := m.Brokers[leader]; !known {
		return false
	}
	next := *t
	next.Partitions = slices.Clone(t.Partitions)
	next.Partitions[partition].Leader, next.Partitions[partition].Epoch = leader, epoch
	m.topics[topic] = &next
	return true
}

// Refresh asks the cluster about topics. Callers at about the same time share
// one request; each is answered by one that began after its call.
func (c *Client) Refresh(ctx context.Context, names ...string) error {
	c.Metadata.Mu.Lock()
	r := c.Metadata.joinLocked(names...)
	c.Metadata.Mu.Unlock()
	if r == nil {
		return ErrClosed
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
func (m *Metadata) joinLocked(names ...string) *refresh {
	if m.next == nil {
		m.next = &refresh{names: make(map[string]bool), done: make(chan struct{})}
	}
	for _, name := range names {
		m.next.names[name] = true
	}
	if !m.running {
		if !m.Client.Spawn(m.run) {
			m.next = nil
			return nil
		}
		m.running = true
	}
	return m.next
}

// run sends requests one after another until nobody waits for one.
func (m *Metadata) run() {
	for {
		m.Mu.Lock()
		if m.next == nil {
			m.running = false
			m.Mu.Unlock()
			return
		}
		gap := time.Until(m.last.Add(metadataGap))
		m.Mu.Unlock()
		Pause(m.Client.Ctx, gap)

		m.Mu.Lock()
		r := m.next
		m.next = nil
		m.Mu.Unlock()
		r.err = m.ask(slices.Sorted(maps.Keys(r.names)))
		m.Mu.Lock()
		m.last = time.Now()
		m.Mu.Unlock()
		close(r.done)
	}
}

func (m *Metadata) ask(names []string) error {
	asked := time.Now()
	resp, err := m.Client.AnyBroker(m.Client.Ctx, MetadataRequest(names))
	if err != nil {
		return err
	}
	m.Learn(resp.(*kmsg.MetadataResponse), asked)
	return nil
}

// MetadataRequest asks for those topics, and creates none. Without names it asks
// for the cluster alone.
func MetadataRequest(names []string) *kmsg.MetadataRequest {
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = make([]kmsg.MetadataRequestTopic, 0, len(names)) // nil would ask for all
	for _, name := range names {
		topic := kmsg.NewMetadataRequestTopic()
		topic.Topic = &name
		req.Topics = append(req.Topics, topic)
	}
	return req
}

// Learn takes over what a broker said.
func (m *Metadata) Learn(resp *kmsg.MetadataResponse, asked time.Time) {
	m.LearnBrokers(resp)
	m.Mu.Lock()
	defer m.Mu.Unlock()
	for i := range resp.Topics {
		t := NewTopicMeta(&resp.Topics[i], asked)
		if t.Name == "" {
			continue
		}
		old := m.topics[t.Name]
		if old != nil && old.Asked.After(asked) || m.Outdated(t) {
			continue
		}
		t.Cluster = m.ClusterID
		if t.Err != nil && old != nil && old.Err == nil && kerr.Retriable(t.Err) {
			continue // being moved or loaded; what was known is better than nothing
		}
		t.keepNewer(old)
		m.topics[t.Name] = t
		delete(m.stale, t.Name)
	}
}

func NewTopicMeta(topic *kmsg.MetadataResponseTopic, asked time.Time) *TopicMeta {
	t := &TopicMeta{ID: topic.TopicID, Asked: asked}
	if topic.Topic != nil {
		t.Name = *topic.Topic
	}
	if topic.ErrorCode != 0 {
		t.Err = TopicError(t.Name, kerr.Error(topic.ErrorCode))
		return t
	}
	t.Partitions = make([]partitionMeta, len(topic.Partitions))
	for i := range t.Partitions {
		t.Partitions[i] = partitionMeta{Leader: -1, Epoch: -1}
	}
	for _, p := range topic.Partitions {
		if p.Partition >= 0 && int(p.Partition) < len(t.Partitions) {
			t.Partitions[p.Partition] = partitionMeta{p.Leader, p.LeaderEpoch, int16(len(p.Replicas))}
		}
	}
	return t
}

// keepNewer keeps leaders that were known with a higher epoch: brokers learn of
// an election one after another, and the one asked may be late.
func (t *TopicMeta) keepNewer(old *TopicMeta) {
	if old == nil || old.ID != t.ID {
		return
	}
	for i := range min(len(t.Partitions), len(old.Partitions)) {
		if old.Partitions[i].Epoch > t.Partitions[i].Epoch && t.Partitions[i].Epoch >= 0 {
			t.Partitions[i] = old.Partitions[i]
		}
	}
}

// TopicError is what the metadata says instead of describing a topic. That it
// is missing is the cluster's own word and not retriable, unlike the code
// UNKNOWN_TOPIC_OR_PARTITION from a leader, which may not know it yet.
func TopicError(name string, code kerr.Error) error {
	if code == kerr.UnknownTopicOrPartition {
		return fmt.Errorf("topic %q: %w", name, transport.ErrTopicMissing)
	}
	return fmt.Errorf("topic %q: %w", name, code)
}

// Pause waits for d or the end of ctx.
func Pause(ctx context.Context, d time.Duration) {
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
