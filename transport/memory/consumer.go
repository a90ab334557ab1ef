package memory

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/eventbus-go/eventbus/internal/grouptypes"
	"github.com/eventbus-go/eventbus/transport"
)

// fetchLimit bounds a batch with more than one record, in bytes: Kafka's default
// max.partition.fetch.bytes.
const fetchLimit = 1 << 20

// consumer is a transport.Consumer. The cluster's mutex guards the fields below the blank line. The
// Listener is called on one goroutine, listen, and never with the mutex held: its methods may call
// the consumer.
type consumer struct {
	cluster *Cluster
	config  transport.ConsumerConfig
	topics  map[string]transport.TopicStart
	types   []grouptypes.ID
	patient context.Context // parent of Revoked's contexts; ends with Close's
	hurry   context.CancelFunc
	wake    chan struct{} // a token for Poll: there may be something to fetch
	work    chan struct{} // a token for listen: an event is queued
	left    chan struct{} // closed once listen has returned

	group      *group
	member     *member // nil unless the group counts this consumer in
	assigned   map[transport.Partition]*assignment
	events     []func() // for listen, in order
	busy       bool     // listen is running one
	closing    bool
	gone       bool // tells listen to end
	fenced     error
	rebalances int64
	cursor     int // index of the partition that the next Poll starts with
}

// NewConsumer joins the group before it returns or, while the cluster is disconnected, once it is
// connected again.
func (c *Cluster) NewConsumer(config transport.ConsumerConfig) (transport.Consumer, error) {
	config = config.WithDefaults()
	topics, err := check(config)
	if err != nil {
		return nil, err
	}
	m := &consumer{
		cluster:  c,
		config:   config,
		topics:   topics,
		types:    grouptypes.All(config.Types),
		wake:     make(chan struct{}, 1),
		work:     make(chan struct{}, 1),
		left:     make(chan struct{}),
		assigned: make(map[transport.Partition]*assignment),
	}
	// Not Close's own context, which does not exist yet when Revoked begins.
	m.patient, m.hurry = context.WithCancel(context.Background())
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		m.hurry()
		return nil, fmt.Errorf("memory transport: %w", transport.ErrClosed)
	}
	c.consumers = append(c.consumers, m)
	m.group = c.groupOf(config.Group)
	go m.listen()
	m.group.join(m)
	return m, nil
}

// check checks a configuration and returns the topics by name. The error names everything wrong.
func check(config transport.ConsumerConfig) (map[string]transport.TopicStart, error) {
	var errs []error
	if config.Group == "" {
		errs = append(errs, errors.New("no Group"))
	}
	if config.Listener == nil {
		errs = append(errs, errors.New("no Listener"))
	}
	if len(config.Topics) == 0 {
		errs = append(errs, errors.New("no Topics"))
	}
	// heartbeat.interval.ms must be lower, by its documentation, so that one lost or late
	// heartbeat does not end the session.
	if config.HeartbeatInterval > config.SessionTimeout/3 {
		errs = append(errs, fmt.Errorf("HeartbeatInterval %v is more than a third of SessionTimeout %v", config.HeartbeatInterval, config.SessionTimeout))
	}
	topics := make(map[string]transport.TopicStart)
	for _, t := range config.Topics {
		if _, twice := topics[t.Topic]; twice {
			errs = append(errs, fmt.Errorf("topic %s twice", t.Topic))
		}
		topics[t.Topic] = t
	}
	// After all names are known: a companion may come before its other topic.
	for _, t := range config.Topics {
		if other, there := topics[t.CompanionOf]; t.CompanionOf != "" && (!there || other.CompanionOf != "") {
			errs = append(errs, fmt.Errorf("topic %s is the companion of %s, which is not one of the Topics or is a companion itself", t.Topic, t.CompanionOf))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("consumer config: %w", err)
	}
	return topics, nil
}

// Poll returns at least one batch or an error. The token may be stale: Poll then looks, finds
// nothing and waits again.
func (m *consumer) Poll(ctx context.Context) ([]transport.Batch, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if batches, err := m.fetch(); len(batches) > 0 || err != nil {
			return batches, err
		}
		select {
		case <-ctx.Done():
		case <-m.wake:
		}
	}
}

// fetch takes records from the partitions in turn, up to FetchBytes.
func (m *consumer) fetch() ([]transport.Batch, error) {
	m.cluster.mu.Lock()
	defer m.cluster.mu.Unlock()
	if m.closing {
		return nil, fmt.Errorf("consumer: %w", transport.ErrClosed)
	}
	partitions := sortedPartitions(maps.Keys(m.assigned))
	// The modulo below would divide by zero.
	if len(partitions) == 0 {
		return nil, nil
	}
	var batches []transport.Batch
	// In turn, so that one partition with many records does not starve the others.
	first := m.cursor % len(partitions)
	room := m.config.FetchBytes
	for i := range partitions {
		// Take the first batch even if FetchBytes is too small for it.
		if room <= 0 && len(batches) > 0 {
			break
		}
		at := (first + i) % len(partitions)
		b, size := m.assigned[partitions[at]].fetch(min(room, fetchLimit))
		if b == nil {
			continue
		}
		room -= size
		batches = append(batches, *b)
		m.cursor = at + 1
	}
	// Status shows positions, and has changed.
	if len(batches) > 0 {
		m.cluster.change()
	}
	return batches, nil
}

// wakePoll makes Poll look again. One token is enough: Poll looks at every partition.
func (m *consumer) wakePoll() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

func (m *consumer) Pause(partitions ...transport.Partition)  { m.pause(true, partitions) }
func (m *consumer) Resume(partitions ...transport.Partition) { m.pause(false, partitions) }

// pause ignores partitions that are not assigned: they may have just been revoked.
func (m *consumer) pause(paused bool, partitions []transport.Partition) {
	m.cluster.mu.Lock()
	defer m.cluster.mu.Unlock()
	for _, p := range partitions {
		if a := m.assigned[p]; a != nil {
			// Before paused is set, which ends fetching.
			a.noteFetch()
			a.paused = paused
		}
	}
	m.wakePoll()
	m.cluster.change()
}

// Alive reports whether the cluster was connected within the session timeout: while it is,
// heartbeats are acknowledged continuously.
func (m *consumer) Alive() bool {
	m.cluster.mu.Lock()
	defer m.cluster.mu.Unlock()
	return m.member != nil && time.Since(m.lastHeartbeat()) < m.config.SessionTimeout
}

// lastHeartbeat returns when the last heartbeat was acknowledged: now, or when the outage
// began. The mutex is held.
func (m *consumer) lastHeartbeat() time.Time {
	if cut := m.cluster.cutAt; !cut.IsZero() {
		return cut
	}
	return time.Now()
}

// TypeState answers for the group as a whole: members need not tell each other anything. It takes
// only the lock of the group's book.
func (m *consumer) TypeState(topic, typ string) transport.TypeState {
	return m.group.types.StateFor(topic, typ)
}

// Status returns the consumer's own view, in the words of the group protocol: it is not stable
// before the Listener has been told everything.
func (m *consumer) Status() transport.ConsumerStatus {
	m.cluster.mu.Lock()
	defer m.cluster.mu.Unlock()
	s := transport.ConsumerStatus{Generation: m.group.generation, Rebalances: m.rebalances, LastError: m.fenced}
	if m.member != nil {
		s.Joined, s.MemberID, s.LastHeartbeat = true, m.member.id, m.lastHeartbeat()
	}
	if !m.cluster.cutAt.IsZero() {
		s.LastError = ErrUnreachable
	}
	switch {
	case m.closing:
		s.State = "closed"
	case m.member == nil:
		s.State = "joining"
	case m.busy || len(m.events) > 0 || m.group.moving():
		s.State = "rebalancing"
	default:
		s.State = "stable"
	}
	for _, p := range sortedPartitions(maps.Keys(m.assigned)) {
		s.Partitions = append(s.Partitions, m.assigned[p].status())
	}
	return s
}

// closeGrace is how long Close waits beyond its context for Revoked, whose context has ended, to
// return. If it does, no goroutine is left behind.
const closeGrace = time.Second

// Close calls Revoked, so that the Listener can finish and commit, and leaves the group. If ctx
// ends first the member is expelled and its partitions go to others. A second Close waits for
// the first.
func (m *consumer) Close(ctx context.Context) error {
	if m.startClosing() {
		stop := context.AfterFunc(ctx, m.hurry)
		defer stop()
	}
	select {
	case <-m.left:
		return nil
	case <-ctx.Done():
	}
	m.cluster.mu.Lock()
	// Expel before the grace: commits in Revoked are refused from here on.
	m.group.expel(m)
	m.cluster.mu.Unlock()
	grace := time.NewTimer(closeGrace)
	defer grace.Stop()
	select {
	case <-m.left:
	case <-grace.C:
	}
	return fmt.Errorf("closing the consumer: %w", ctx.Err())
}

// startClosing makes listen revoke the assigned partitions, leave the group and end. It returns
// false if it was called before.
func (m *consumer) startClosing() bool {
	m.cluster.mu.Lock()
	defer m.cluster.mu.Unlock()
	if m.closing {
		return false
	}
	// closing keeps the group from assigning anything, and rejoin from joining again.
	m.closing = true
	m.wakePoll()
	var held []*assignment
	for _, p := range sortedPartitions(maps.Keys(m.assigned)) {
		// A partition that a rebalance is revoking has its own event, ahead of this one.
		if a := m.assigned[p]; !a.revoking {
			a.revoking = true
			held = append(held, a)
		}
	}
	// In this order: a consumer that has left can't commit.
	m.enqueue(func() { m.revoke(held) })
	m.enqueue(m.leave)
	m.cluster.change()
	return true
}

// leave is the last event. It runs on listen after Revoked has returned; listen then sees gone and
// ends.
func (m *consumer) leave() {
	c := m.cluster
	c.mu.Lock()
	defer c.mu.Unlock()
	m.gone = true
	// Release the context if Close's has not ended.
	m.hurry()
	c.consumers = slices.DeleteFunc(c.consumers, func(o *consumer) bool { return o == m })
	m.group.leave(m)
}
