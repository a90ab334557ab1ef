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
	// startPatience is how long a member waits for another, which has the topic's
	// first partition, to store where the group starts on a topic.
	startPatience = 5 * time.Second
	// beginPatience is how long a member that has handed partitions over waits for
	// those that it was given instead, before it joins again. What it has begun by
	// then it keeps; what it hands over has no owner until then.
	beginPatience = time.Second
	// maxStarting bounds the topics whose start is looked up at a time, and with them
	// the connections that wait for brokers.
	maxStarting = 16
)

// beginning is what a member begins between two joins: the partitions that it was
// assigned, each topic by itself and in the background. A topic with a partition
// that has no leader keeps neither the others nor the membership waiting.
type beginning struct {
	// It is also the end of waits for a Listener that is busy.
	ctx   context.Context // ends when the coordinator says otherwise, or with Close
	stop  context.CancelFunc
	work  sync.WaitGroup
	slots chan struct{} // a token for each topic whose start is being looked up

	mu     sync.Mutex
	topics map[string]*topicStart
	// waiting has the topics that another member starts, each with a channel that is closed
	// when it has; watched says that a goroutine looks for that.
	waiting map[string]chan struct{}
	watched bool
}

// topicStart is held while the start of a topic is looked up and stored. A topic
// that is created again meanwhile may be begun twice.
type topicStart struct {
	sync.Mutex
	// lookups counts how often the start was looked up so far: what was committed before the
	// last of them may be out of date.
	lookups atomic.Int64 // so far
}

// topic returns the start of a topic, made on first use.
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

// begin begins partitions in the background. It is called by run alone. assigned is
// all that the member has of their topics.
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
		// Noted first, so that the status says rebalancing from here on.
		m.unbegun[p] = nil
	}
	m.mu.Unlock()
	b := m.begins
	b.work.Go(func() { m.beginAll(b, added, assigned) })
}

// stopBeginning ends what begin has not finished. It is called by run before the
// member joins again: what is not begun by then is not claimed, and may be given to
// another member.
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

// awaitBegun waits until all is begun, for beginPatience at most.
func (m *membership) awaitBegun() {
	if m.begins == nil {
		return
	}
	done := make(chan struct{})
	b := m.begins
	// It ends with the work, which ends with stopBeginning at the latest.
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

// beginAll assigns at once what the group has begun before, which needs no more than
// its commits. Every other topic is begun by itself.
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
	// All commits of the group, which are asked for then, leave out what may not be seen.
	unknown := m.unknownTopics(names)
	// What is committed is needed for every topic, so there is nothing to do without.
	for failures := 0; ; failures++ {
		var err error
		if committed, err = m.committedOn(b.ctx, names, added); err == nil {
			break
		}
		if b.ctx.Err() != nil {
			return
		}
		if _, alone := errors.AsType[*cluster.PartitionError](err); alone {
			// One that may not be seen, say, does not hold up the others.
			for _, topic := range names {
				b.work.Go(func() { m.beginAlone(b, topic, topics[topic], assigned, nil) })
			}
			return
		}
		m.unbegunBecause(added, fmt.Errorf("looking up what the group has committed: %w", err))
		cluster.Pause(b.ctx, cluster.RetryCoordinator(err, failures))
	}
	// startOn takes the marks out by itself, from what it is given.
	plain := maps.Clone(committed)
	marks := UnmarkAll(plain)
	// A topic whose start was committed, and that is the one which was begun, needs nothing
	// more: these are assigned together, however many there are.
	var ready []transport.Assignment
	for _, topic := range names {
		t, err := m.client.Topic(b.ctx, topic)
		if err == nil && !slices.Contains(unknown, topic) {
			_, restoring := m.kept.vanished(t, plain)
			restoring = restoring || m.kept.isBack(topic) && lacks(plain, topics[topic])
			if started, begun := startedOn(t, plain, marks); started && !begun && !restoring && !m.tookOver(t) {
				m.remember(t, false)
				m.kept.begun(topic)
				// startOn would come to the same, with a request for each topic.
				ready = append(ready, m.assignments(topics[topic], t, plain)...)
				continue
			}
		}
		// Each on its own: a topic that is being created, or whose partition has no leader, may take
		// long.
		b.work.Go(func() {
			m.beginAlone(b, topic, topics[topic], assigned, func(lookups int64) map[transport.Partition]transport.Commit {
				if lookups != before[topic] || slices.Contains(unknown, topic) {
					return nil // what is committed may be old, or not all
				}
				return of(topic, committed)
			})
		})
	}
	m.assign(b.ctx, ready, nil)
}

// beginAlone begins partitions of a topic. Those that were added at different times are
// begun one after another. committed returns what is known of the group's commits on the
// topic, which has been looked up so many times; a nil committed, or nil, is to ask.
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

// unknownTopics returns the topics of which no partitions are known yet.
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

// beginTopic finds out where partitions of a topic start and assigns them. It tries
// until it succeeds or the beginning ends. committed is what the group has committed
// on the topic, or nil to ask. The caller holds the topic's start.
func (m *membership) beginTopic(b *beginning, topic string, added, assigned []transport.Partition, committed map[transport.Partition]transport.Commit) {
	began, patience := time.Now(), patienceOf(topic, assigned)
	for failures := 0; b.ctx.Err() == nil; {
		select {
		// A slot is held while brokers are asked, and not during the waits in between.
		case b.slots <- struct{}{}:
		case <-b.ctx.Done():
			return
		}
		b.topic(topic).lookups.Add(1)
		s, err := m.startOn(b.ctx, topic, added, assigned, committed, time.Since(began) >= patience)
		// From the second time on it is asked for: another member may have committed a start.
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

// unbegunBecause notes why partitions are assigned and not read. The reason stays
// until they are begun, or assigned no longer.
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

// begunLocked notes that partitions are read.
func (m *membership) begunLocked(partitions []transport.Partition) {
	for _, p := range partitions {
		delete(m.unbegun, p)
	}
}
