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
	// MetadataAge is the age at which a topic's metadata is refreshed, and so the longest time
	// for which new partitions go unnoticed. Kafka's own clients have the same default.
	MetadataAge = 5 * time.Minute
	// missingAge is how long the answer that a topic is missing is used.
	missingAge = 100 * time.Millisecond
	// metadataGap is the pause between two metadata requests, so that callers who learn about a
	// move of a leader at the same time share one.
	metadataGap = 20 * time.Millisecond
	// LookAgainAfter is the time between two requests for a leader while the known one can't be
	// reached. The cluster takes seconds to elect another, and from then on every moment
	// counts.
	LookAgainAfter = 250 * time.Millisecond
)

// metadata is the cluster as this client knows it.
type metadata struct {
	// client is set by init and asks the brokers.
	client *Client

	mu sync.Mutex
	// mu guards the fields below. It is never held while waiting for a broker.
	// clusterID and controller are from the last response; at first they are empty and −1.
	clusterID  string
	controller int32
	// brokers are from the last response, by id. The map is replaced, never changed.
	brokers map[int32]transport.Broker
	// topics has the last metadata of every topic asked for so far. Entries are replaced, never
	// changed, so they may be read without mu.
	topics map[string]*TopicMeta
	// stale has the topics whose metadata was found to be wrong since the last request.
	stale map[string]bool
	// ids has the topic id that each name means, in case brokers disagree.
	ids     map[string]*identity
	silent  map[int32]time.Time // when brokers did not answer in time
	next    *refresh            // collects names; nil if nobody waits for one
	running bool
	last    time.Time // when the last request ended
}

// refresh is a future metadata request, shared by everyone waiting for it.
type refresh struct {
	// names are the topics to ask for; guarded by metadata.mu until the request is sent.
	names map[string]bool
	// done is closed once err is set.
	done chan struct{}
	err  error
}

// init makes the zero value ready. It is called once, before c is shared.
func (m *metadata) init(c *Client) {
	m.client = c
	m.controller = -1
	m.brokers = make(map[int32]transport.Broker)
	m.topics = make(map[string]*TopicMeta)
	m.stale = make(map[string]bool)
	m.ids = make(map[string]*identity)
	m.silent = make(map[int32]time.Time)
}

// Topic returns the metadata of a topic. It asks the cluster if the topic is unknown or
// Invalidate was called. The error is transport.ErrTopicMissing if the cluster does not have
// the topic.
func (c *Client) Topic(ctx context.Context, name string) (*TopicMeta, error) {
	m := &c.metadata
	m.mu.Lock()
	t, usable := m.topics[name], m.usableLocked(name)
	// Old metadata is good enough while newer is fetched.
	if usable && time.Since(t.Asked) > MetadataAge {
		m.joinLocked(name)
	}
	m.mu.Unlock()
	if usable {
		return t, t.Err
	}
	return c.FreshTopic(ctx, name)
}

// usableLocked reports whether Topic need not ask the cluster about a topic. The caller
// holds mu.
func (m *metadata) usableLocked(name string) bool {
	t := m.topics[name]
	return t != nil && !m.stale[name] && (t.Err == nil || time.Since(t.Asked) < missingAge)
}

// Prepare asks for the topics that Topic would have to ask for, in one request. Call it before
// Topic for many topics: with a request for each, the last of a thousand would come half a
// minute later. The error is that of the request.
func (c *Client) Prepare(ctx context.Context, names ...string) error {
	c.metadata.mu.Lock()
	names = slices.DeleteFunc(slices.Clone(names), c.metadata.usableLocked)
	c.metadata.mu.Unlock()
	if len(names) < 2 {
		return nil
	}
	return c.Refresh(ctx, names...)
}

// Prepared is Topic after a Prepare that returned failed: if that is an error, Prepared does
// not ask again, topic by topic, but still returns metadata that is known.
func (c *Client) Prepared(ctx context.Context, name string, failed error) (*TopicMeta, error) {
	c.metadata.mu.Lock()
	asks := !c.metadata.usableLocked(name)
	c.metadata.mu.Unlock()
	if asks && failed != nil {
		return nil, failed
	}
	return c.Topic(ctx, name)
}

// FreshTopic returns the metadata of a topic from a request sent after the call.
func (c *Client) FreshTopic(ctx context.Context, name string) (*TopicMeta, error) {
	if err := c.Refresh(ctx, name); err != nil {
		return nil, err
	}
	t := c.KnownTopic(name)
	if t == nil {
		return nil, fmt.Errorf("topic %q: %w", name, ErrUnmentioned)
	}
	return t, t.Err
}

// KnownTopic returns the known metadata of a topic without asking the cluster; nil if there is
// none.
func (c *Client) KnownTopic(name string) *TopicMeta {
	c.metadata.mu.Lock()
	defer c.metadata.mu.Unlock()
	return c.metadata.topics[name]
}

// Leader returns the broker that leads a partition and its leader epoch (−1 if unknown). If the
// partition has no leader, the error is retriable.
func (c *Client) Leader(ctx context.Context, topic string, partition int32) (broker, epoch int32, err error) {
	t, err := c.Topic(ctx, topic)
	for again := true; ; again = false {
		if err != nil {
			return -1, -1, err
		}
		if leader := t.leader(partition); leader >= 0 {
			return leader, t.Partitions[partition].Epoch, nil
		}
		if !again {
			if partition < 0 || int(partition) >= len(t.Partitions) {
				return -1, -1, MissingPartition(topic, partition, len(t.Partitions))
			}
			return -1, -1, leaderless(transport.Partition{Topic: topic, Partition: partition})
		}
		t, err = c.FreshTopic(ctx, topic)
	}
}

// Invalidate makes the next Topic ask the cluster.
func (c *Client) Invalidate(topic string) {
	c.metadata.mu.Lock()
	defer c.metadata.mu.Unlock()
	c.metadata.stale[topic] = true
}

// Moved records a partition's new leader, named by a broker in an error (KIP-951), and reports
// whether it was news.
func (c *Client) Moved(topic string, partition, leader, epoch int32) bool {
	m := &c.metadata
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.topics[topic]
	if t == nil || partition < 0 || int(partition) >= len(t.Partitions) || leader < 0 || epoch <= t.Partitions[partition].Epoch {
		return false
	}
	if _, known := m.brokers[leader]; !known {
		return false
	}
	next := *t
	next.Partitions = slices.Clone(t.Partitions)
	p := &next.Partitions[partition]
	p.Leader, p.Epoch, p.doubted = leader, epoch, time.Time{}
	m.topics[topic] = &next
	return true
}

// Refresh asks the cluster about topics. Concurrent calls share a request, which is sent after
// each of them has begun.
func (c *Client) Refresh(ctx context.Context, names ...string) error {
	c.metadata.mu.Lock()
	r := c.metadata.joinLocked(names...)
	c.metadata.mu.Unlock()
	if r == nil {
		return ErrClosed
	}
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return fmt.Errorf("waiting for metadata of %d topics, %q: %w", len(names), names[:min(len(names), 3)], ctx.Err())
	}
}

// joinLocked adds names to the next request and makes sure that there is one. It returns nil if
// the client is closed.
func (m *metadata) joinLocked(names ...string) *refresh {
	if m.next == nil {
		m.next = &refresh{names: make(map[string]bool), done: make(chan struct{})}
	}
	for _, name := range names {
		m.next.names[name] = true
	}
	if !m.running {
		if !m.client.Spawn(m.run) {
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
		// The pause collects more names: callers of Refresh during it share the request.
		gap := time.Until(m.last.Add(metadataGap))
		m.mu.Unlock()
		Pause(m.client.Ctx, gap)

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

// ask sends one request, for topics or for the brokers alone.
func (m *metadata) ask(names []string) error {
	asked := time.Now()
	resp, err := m.client.AnyBroker(m.client.Ctx, MetadataRequest(names))
	if err != nil {
		return err
	}
	answer := resp.(*kmsg.MetadataResponse)
	if err := Starting(answer); err != nil {
		return err
	}
	m.learn(answer, asked)
	return nil
}

// Starting returns an error, which is retriable, if an answer comes from a broker that is
// starting. Until it has heard of the cluster such a broker knows no brokers, and calls every
// topic missing.
func Starting(resp *kmsg.MetadataResponse) error {
	if len(resp.Brokers) > 0 {
		return nil
	}
	return fmt.Errorf("a broker that is starting does not know the cluster yet: %w", kerr.LeaderNotAvailable)
}

// MetadataRequest returns a request for the metadata of topics, which does not create them.
// Without names it asks about the cluster only.
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

// Learn records the answer to a MetadataRequest that was sent at the time asked. It ignores an
// answer to a request older than the one already known.
func (c *Client) Learn(resp *kmsg.MetadataResponse, asked time.Time) { c.metadata.learn(resp, asked) }

// learn records a response to a request sent at the time asked. Of two answers about a topic,
// the one to the later request counts; but a leader with a higher epoch always counts.
func (m *metadata) learn(resp *kmsg.MetadataResponse, asked time.Time) {
	m.learnBrokers(resp)
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range resp.Topics {
		t := NewTopicMeta(&resp.Topics[i], asked)
		// An answer without a name belongs to no requested topic.
		if t.Name == "" {
			continue
		}
		old := m.topics[t.Name]
		if old != nil && old.Asked.After(asked) || m.superseded(t) {
			continue
		}
		t.Cluster = m.clusterID
		if t.Err != nil && old != nil && old.Err == nil && kerr.Retriable(t.Err) {
			continue // being moved or loaded; the known metadata is better than nothing
		}
		t.keepNewer(old)
		m.topics[t.Name] = t
		delete(m.stale, t.Name)
	}
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
