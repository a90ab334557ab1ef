package group

import (
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/eventbus-go/eventbus/kafka/internal/kerr"
	"github.com/eventbus-go/eventbus/transport"
)

const (
	// topicAge is how old the metadata of subscribed topics may get: new partitions, and topics
	// that were created again, are noticed within it.
	topicAge = 5 * time.Second
	// absentAge is the same for a leader whose group waits for a topic to be created.
	absentAge = time.Second
)

// watchTopics watches the topics for changes: as the leader those that the group reads,
// otherwise the member's own.
func (m *membership) watchTopics() {
	for {
		// A new timer each time: the pace may change with every plan.
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

// topicPace returns the time until the topics are checked again.
func (m *membership) topicPace() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, n := range m.planned {
		// A topic of the plan does not exist yet.
		if n == 0 {
			return absentAge
		}
	}
	return topicAge
}

// lookAtCompanions notices that the number of partitions of a companion, or of the topic that
// it goes with, has changed.
func (m *membership) lookAtCompanions() {
	changed := false
	for _, topic := range m.companions.accompanying() {
		if t := m.client.KnownTopic(topic); t != nil && m.companions.counts[topic] != len(t.Partitions) {
			m.companions.counts[topic] = len(t.Partitions)
			changed = true
		}
	}
	if changed {
		m.companionsChanged()
	}
}

// lookAtTopics asks the cluster once. As a leader it makes the group rebalance if a topic's
// partitions differ from the plan. Every member notices topics that were created again.
func (m *membership) lookAtTopics() {
	m.mu.Lock()
	// Each join replaces the map, which never changes, so it may be read without mu.
	planned := m.planned
	m.mu.Unlock()
	// A leader's plan has the topics of all members.
	topics := m.topics
	if len(planned) > 0 {
		topics = slices.Sorted(maps.Keys(planned))
	}
	topics = append(slices.Clone(topics), m.companions.topics()...)
	if err := m.client.Refresh(m.ctx, topics...); err != nil {
		return // callers that need the topics have the same trouble, and report it
	}
	m.lookAtCompanions()
	grown := false
	for _, topic := range topics {
		t := m.client.KnownTopic(topic)
		// A topic that can't be described now says nothing about its partitions.
		if t == nil || t.Err != nil && !errors.Is(t.Err, transport.ErrTopicMissing) {
			continue
		}
		if n, counted := planned[topic]; counted && int(n) != len(t.Partitions) {
			grown = true
			m.log.Info("topic has changed", "group", m.cfg.Group, "topic", topic, "partitions", len(t.Partitions), "before", n)
		}
		if t.Err != nil {
			continue
		}
		m.notice(t)
	}
	m.mu.Lock()
	// The plan may have changed while the cluster was asked.
	same := m.leads && maps.Equal(planned, m.planned) && !m.joining
	m.mu.Unlock()
	if grown && same {
		// A leader that joins makes the group rebalance.
		m.setState(stateRejoin, kerr.RebalanceInProgress)
	}
}
