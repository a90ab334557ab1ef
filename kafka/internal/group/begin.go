package group

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eventbus-go/eventbus/kafka/internal/cluster"
	"github.com/eventbus-go/eventbus/transport"
)

const (
	// startPatience is how long a member waits for another one, which has the topic's first
	// partition, to store where the group starts on the topic.
	startPatience = 5 * time.Second
	// beginPatience is how long a member that has released partitions waits for its new ones to
	// begin, before it joins again. It keeps those begun by then; the released ones have no
	// owner until it joins.
	beginPatience = time.Second
	// maxStarting bounds the topics whose start is looked up at the same time, and with them the
	// connections that wait for brokers.
	maxStarting = 16
)

// beginning is what a member begins between two joins: the assigned partitions, topic by topic
// and in the background. A topic that has a partition without a leader delays neither the
// others nor the membership.
type beginning struct {
	// ctx ends when the coordinator says otherwise, or with Close. It also ends waits for a
	// busy Listener.
	ctx   context.Context
	stop  context.CancelFunc
	work  sync.WaitGroup
	slots chan struct{} // a token for each topic whose start is being looked up

	mu     sync.Mutex
	topics map[string]*topicStart
	// waiting has the topics that another member starts, each with a channel that is closed
	// once it has. watched is set if a goroutine checks for that.
	waiting map[string]chan struct{}
	watched bool
}

// topicStart is held while a topic's start is looked up and stored. A topic that is created again
// meanwhile may be begun twice.
type topicStart struct {
	sync.Mutex
	// lookups counts how often the start was looked up. Commits read before the last time may
	// be out of date.
	lookups atomic.Int64
}

// topic returns the start of a topic, creating it on first use.
func (b *beginning) topic(name string) *topicStart {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.topics[name]
	if t == nil {
		t = new(topicStart)
		b.topics[name] = t
	}
	return t
}

// begin begins partitions in the background. Only run calls it. assigned is all that the member
// has of their topics.
func (m *membership) begin(added, assigned []transport.Partition) {
	if len(added) == 0 {
		return
	}
	if m.begins == nil {
		ctx, stop := m.during()
		m.begins = &beginning{ctx: ctx, stop: stop, slots: make(chan struct{}, maxStarting), topics: make(map[string]*topicStart), waiting: make(map[string]chan struct{})}
	}
	m.mu.Lock()
	for _, p := range added {
		// Recorded first, so that the status is rebalancing from here on.
		m.unbegun[p] = nil
	}
	m.mu.Unlock()
	b := m.begins
	b.work.Go(func() { m.beginAll(b, added, assigned) })
}

// stopBeginning ends what begin has not finished. run calls it before the member joins again:
// partitions not begun by then are not claimed, and may be assigned to another member.
func (m *membership) stopBeginning() {
	if m.begins == nil {
		return
	}
	m.begins.stop()
	// The goroutines may be in Assigned. What they have assigned by then is owned.
	m.begins.work.Wait()
	m.begins = nil
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.unbegun)
}

// awaitBegun waits until all partitions are begun, for at most beginPatience.
func (m *membership) awaitBegun() {
	if m.begins == nil {
		return
	}
	done := make(chan struct{})
	b := m.begins
	// This goroutine ends with the work, which stopBeginning ends at the latest.
	m.work.Go(func() {
		b.work.Wait()
		close(done)
	})
	timer := time.NewTimer(beginPatience)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	case <-b.ctx.Done():
	}
}

// beginAll assigns at once the partitions of topics that the group has begun before, which need
// only their commits. It begins every other topic by itself.
func (m *membership) beginAll(b *beginning, added, assigned []transport.Partition) {
	var committed map[transport.Partition]transport.Commit
	topics := make(map[string][]transport.Partition)
	var names []string
	before := make(map[string]int64) // how many times each was looked up
	for topic, partitions := range cluster.ByTopic(added, cluster.TopicOfPartition) {
		names = append(names, topic)
		topics[topic] = partitions
		before[topic] = b.topic(topic).lookups.Load()
	}
	_ = m.client.Refresh(b.ctx, m.unknownTopics(names)...) // in one request; what fails is asked for again
	// Commits are then asked for the whole group, and the answer omits what may not be seen.
	unknown := m.unknownTopics(names)
	// Every topic needs the group's commits, so nothing can be done without them.
	for failures := 0; ; failures++ {
		var err error
		if committed, err = m.committedOn(b.ctx, names, added); err == nil {
			break
		}
		if b.ctx.Err() != nil {
			return
		}
		if _, alone := errors.AsType[*cluster.PartitionError](err); alone {
			// A topic that fails, because it may not be seen for example, must not hold up the
			// others.
			for _, topic := range names {
				b.work.Go(func() { m.beginAlone(b, topic, topics[topic], assigned, nil) })
			}
			return
		}
		m.unbegunBecause(added, fmt.Errorf("looking up what the group has committed: %w", err))
		cluster.Pause(b.ctx, cluster.RetryCoordinator(err, failures))
	}
	// startOn removes the marks itself, from its argument.
	plain := maps.Clone(committed)
	marks := UnmarkAll(plain)
	// A topic whose start is committed, for the same topic, needs nothing more. All of these
	// are assigned together, however many there are.
	var ready []transport.Assignment
	for _, topic := range names {
		t, err := m.client.Topic(b.ctx, topic)
		if err == nil && !slices.Contains(unknown, topic) {
			_, restoring := m.kept.vanished(t, plain)
			restoring = restoring || m.kept.isBack(topic) && lacks(plain, topics[topic])
			if started, begun := startedOn(t, plain, marks); started && !begun && !restoring && !m.tookOver(t) {
				m.remember(t, false)
				m.kept.begun(topic)
				// startOn would do the same, with a request for each topic.
				ready = append(ready, m.assignments(topics[topic], t, plain)...)
				continue
			}
		}
		// Each by itself: a topic that is being created, or has a partition without a leader,
		// may take long.
		b.work.Go(func() {
			m.beginAlone(b, topic, topics[topic], assigned, func(lookups int64) map[transport.Partition]transport.Commit {
				if lookups != before[topic] || slices.Contains(unknown, topic) {
					return nil // the commits may be outdated or incomplete
				}
				return of(topic, committed)
			})
		})
	}
	m.assign(b.ctx, ready, nil)
}

// beginAlone begins partitions of a topic. Partitions added at different times are begun one
// after another. committed returns the known commits of the group on the topic, given how often
// they were looked up; if it is nil or returns nil, they are asked for.
func (m *membership) beginAlone(b *beginning, topic string, added, assigned []transport.Partition, committed func(lookups int64) map[transport.Partition]transport.Commit) {
	start := b.topic(topic)
	start.Lock()
	defer start.Unlock()
	var known map[transport.Partition]transport.Commit
	if committed != nil {
		known = committed(start.lookups.Load())
	}
	m.beginTopic(b, topic, added, assigned, known)
}

// unknownTopics returns the topics whose partitions are unknown.
func (m *membership) unknownTopics(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		t := m.client.KnownTopic(name)
		return t != nil && len(t.Partitions) > 0
	})
}

// of returns the commits of one topic, never nil.
func of(topic string, commits map[transport.Partition]transport.Commit) map[transport.Partition]transport.Commit {
	found := make(map[transport.Partition]transport.Commit)
	for p, c := range commits {
		if p.Topic == topic {
			found[p] = c
		}
	}
	return found
}

// beginTopic finds out where partitions of a topic start and assigns them. It retries until it
// succeeds or the beginning ends. committed is what the group has committed on the topic, or
// nil to ask. The caller holds the topic's start.
func (m *membership) beginTopic(b *beginning, topic string, added, assigned []transport.Partition, committed map[transport.Partition]transport.Commit) {
	began, patience := time.Now(), patienceOf(topic, assigned)
	for failures := 0; b.ctx.Err() == nil; {
		select {
		// Hold a slot while asking brokers, not while waiting in between.
		case b.slots <- struct{}{}:
		case <-b.ctx.Done():
			return
		}
		b.topic(topic).lookups.Add(1)
		s, err := m.startOn(b.ctx, topic, added, assigned, committed, time.Since(began) >= patience)
		// From now on ask: another member may have committed a start.
		committed = nil
		<-b.slots
		switch {
		case b.ctx.Err() != nil:
			return
		case err != nil:
			m.unbegunBecause(added, fmt.Errorf("looking up where partitions of topic %q start: %w", topic, err))
			cluster.Pause(b.ctx, cluster.Backoff(failures))
			failures++
		case s.restores:
			cluster.Pause(b.ctx, restoreWait)
		case s.waits:
			m.awaitStart(b, topic, time.Until(began.Add(patience)))
		default:
			m.assign(b.ctx, s.found, s.restarted)
			return
		}
	}
}

// unbegunBecause records why partitions are assigned and not read. The reason stays until they
// are begun or no longer assigned.
func (m *membership) unbegunBecause(partitions []transport.Partition, err error) {
	m.mu.Lock()
	for _, p := range partitions {
		if _, waits := m.unbegun[p]; waits {
			m.unbegun[p] = err
		}
	}
	m.mu.Unlock()
	m.logFailure(err)
}

// begunLocked records that partitions are being read.
func (m *membership) begunLocked(partitions []transport.Partition) {
	for _, p := range partitions {
		delete(m.unbegun, p)
	}
}
