package kafka

import (
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

const (
	// topicAge is how old what is known of the subscribed topics may become: new
	// partitions, and topics that were created anew, are noticed within it.
	topicAge = 5 * time.Second
	// absentAge is the same for a leader whose group waits for a topic to be
	// created.
	absentAge = time.Second
)

// watchTopics looks for changes of the topics: those that this member's group
// reads, if it is the leader, else its own.
func (m *membership) watchTopics() {
	for {
		timer := time.NewTimer(m.topicPace())
		select {
		case <-timer.C:
		case <-m.ctx.Done():
			timer.Stop()
			return
		}
		m.lookAtTopics()
	}
}

func (m *membership) topicPace() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, n := range m.planned {
		if n == 0 {
			return absentAge
		}
	}
	return topicAge
}

func (m *membership) lookAtTopics() {
	m.mu.Lock()
	planned := m.planned
	m.mu.Unlock()
	topics := m.topics
	if len(planned) > 0 {
		topics = slices.Sorted(maps.Keys(planned))
	}
	if err := m.client.refresh(m.ctx, topics...); err != nil {
		return // whoever needs the topics has the same trouble, and says so
	}
	grown := false
	for _, topic := range topics {
		t := m.client.knownTopic(topic)
		if t == nil || t.err != nil && !errors.Is(t.err, transport.ErrTopicMissing) {
			continue
		}
		if n, counted := planned[topic]; counted && int(n) != len(t.partitions) {
			grown = true
			m.log.Info("topic has changed", "group", m.cfg.Group, "topic", topic, "partitions", len(t.partitions), "before", n)
		}
		if t.err == nil && m.fetch.differs(topic, t.id) {
			m.recreated(topic)
		}
	}
	m.mu.Lock()
	same := m.leads && maps.Equal(planned, m.planned) && !m.joining
	m.mu.Unlock()
	if grown && same {
		// A leader that joins makes the group rebalance.
		m.judge(mustRejoin, rebalanceInProgress)
	}
}

// differs tells whether a topic has another id than when it was assigned.
func (f *fetcher) differs(topic string, id transport.TopicID) bool {
	none := transport.TopicID{}
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.ContainsFunc(f.order, func(p *fetchPartition) bool {
		return p.Topic == topic && p.topicID != id && p.topicID != none && id != none
	})
}

// recreated notes that a topic was created anew.
func (m *membership) recreated(topic string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.anew == nil {
		m.anew = make(map[string]bool)
	}
	m.anew[topic] = true
	signal(m.news)
}

// restart gives up the partitions of a topic that was created anew, of which
// nothing may be committed any more, and begins with those of the new one, at
// their first record.
func (m *membership) restart(topic string) {
	t, err := m.client.freshTopic(m.ctx, topic)
	if err != nil {
		return // still being created; watchTopics comes back to it
	}
	if !m.fetch.differs(topic, t.id) {
		return
	}
	before := make(map[transport.Partition]int64)
	var lost []transport.Partition
	for _, s := range m.fetch.status() {
		if s.Topic == topic {
			before[s.Partition] = s.Next
			lost = append(lost, s.Partition)
		}
	}
	m.log.Error("a topic was created anew: its partitions start at their first record", "group", m.cfg.Group, "topic", topic)
	m.drop(lost)
	var again []transport.Assignment
	var starts []transport.Commit
	for _, p := range lost {
		if int(p.Partition) < len(t.partitions) {
			again = append(again, m.assignment(p, t, transport.Commit{LeaderEpoch: -1}))
			starts = append(starts, transport.Commit{Partition: p, LeaderEpoch: -1})
		}
	}
	ctx, cancel := m.during()
	defer cancel()
	if failed := m.store(ctx, starts, nil); len(failed) > 0 {
		m.trouble(&transport.CommitError{Partitions: failed})
	}
	m.assign(again, before)
}
