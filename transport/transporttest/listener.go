package transporttest

import (
	"context"
	"slices"

	"github.com/eventbus-go/eventbus/transport"
)

var _ transport.Listener = (*member)(nil)

// enter records that a method of the Listener runs, and returns a function that records its end.
func (m *member) enter(method string) (leave func()) {
	// The first call may come before NewConsumer has returned; what a test does in it needs
	// the consumer.
	<-m.joined
	m.mu.Lock()
	defer m.mu.Unlock()
	// The calls come one at a time. Two at once would let a partition be assigned while its
	// Revoked still commits.
	if m.listening {
		m.r.Errorf("%s was called while another method of the Listener ran", method)
	}
	m.listening = true
	// Deferred by the callers first, so it runs last: after they have unlocked m.mu.
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.listening = false
		m.change()
	}
}

// Assigned records the partitions as assigned just before it returns.
func (m *member) Assigned(assigned []transport.Assignment) {
	defer m.enter("Assigned")()
	// Without m.mu: the test's part may wait, and looks at the member while it does.
	if m.onAssigned != nil {
		m.onAssigned(assigned)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, a := range assigned {
		// All stretches are kept, the ones that are over too: epochs grow within one consumer, and
		// a late batch is recognised by its own.
		for _, before := range m.stretches[a.Partition] {
			if !before.over {
				m.r.Errorf("%v was assigned twice", a.Partition)
			}
			if before.Epoch >= a.Epoch {
				m.r.Errorf("%v was assigned with epoch %d after %d", a.Partition, a.Epoch, before.Epoch)
			}
		}
		// The first batch has to begin at the assigned offset, unless Skipped moves it.
		s := &stretch{Assignment: a, next: a.Offset, skips: make(map[int64]int64)}
		m.stretches[a.Partition] = append(m.stretches[a.Partition], s)
	}
}

// Revoked ends the stretches before the test's own part runs: from here on no Poll that
// begins may return anything of them.
func (m *member) Revoked(ctx context.Context, revoked []transport.Partition) {
	defer m.enter("Revoked")()
	m.end("Revoked", revoked)
	if m.onRevoked != nil {
		m.onRevoked(ctx, revoked)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	// Noted when the call is about to return, so that a test which sees it knows that the
	// commits in it are done.
	m.revoked = append(m.revoked, revoked...)
}

// Lost ends the stretches. Nothing of them can be committed.
func (m *member) Lost(lost []transport.Partition) {
	defer m.enter("Lost")()
	m.end("Lost", lost)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lost = append(m.lost, lost...)
}

// end notes that stretches are over, and in which call of Poll: one that was running
// may still return what it had, see take.
func (m *member) end(method string, partitions []transport.Partition) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range partitions {
		s := m.current(p)
		if s == nil {
			m.r.Errorf("%s was called for %v, which is not assigned", method, p)
			continue
		}
		// By the number of the call, not by time: whether a Poll began before or after is exact.
		s.over, s.at = true, m.polls
	}
	m.change()
}

// Skipped notes a move of the position, which the next batch has to begin at. Every
// move has a reason, and concerns a partition that is assigned.
func (m *member) Skipped(p transport.Partition, from, to int64, reason error) {
	defer m.enter("Skipped")()
	m.mu.Lock()
	defer m.mu.Unlock()
	if reason == nil {
		m.r.Errorf("%v: Skipped from %d to %d without a reason", p, from, to)
	}
	m.skipped = append(m.skipped, skip{p, from, to, reason})
	// By the offset that it leaves, which is how take follows it.
	if s := m.current(p); s != nil {
		s.skips[from] = to
	} else {
		m.r.Errorf("Skipped was called for %v, which is not assigned", p)
	}
}

// current returns the stretch of a partition that is owned, and nil if none is. The
// caller holds m.mu.
func (m *member) current(p transport.Partition) *stretch {
	if all := m.stretches[p]; len(all) > 0 && !all[len(all)-1].over {
		return all[len(all)-1]
	}
	return nil
}

// owned returns the partitions that are assigned now, sorted.
func (m *member) owned() []transport.Partition {
	m.mu.Lock()
	defer m.mu.Unlock()
	var owned []transport.Partition
	for p := range m.stretches {
		if m.current(p) != nil {
			owned = append(owned, p)
		}
	}
	slices.SortFunc(owned, transport.Partition.Compare)
	return owned
}

// awaitOwned waits until n partitions are assigned.
func (m *member) awaitOwned(n int) {
	m.r.Helper()
	m.await("partitions to be assigned", func() bool {
		owned := 0
		for p := range m.stretches {
			if m.current(p) != nil {
				owned++
			}
		}
		// A listener that runs may be about to take partitions or to add others: the number
		// counts once it has returned. Exactly n, so that waiting for fewer works too.
		return owned == n && !m.listening
	})
}

// assignment returns the current assignment of a partition, which must be assigned.
func (m *member) assignment(p transport.Partition) transport.Assignment {
	m.r.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.current(p)
	if s == nil {
		m.r.Fatalf("%v is not assigned", p)
	}
	return s.Assignment
}

// awaitRecords waits until n records of a partition have come, and returns all of the partition's
// records, which may be more, over all its stretches.
func (m *member) awaitRecords(p transport.Partition, n int) []transport.Record {
	m.r.Helper()
	m.await("records of "+p.String(), func() bool { return len(m.records[p]) >= n })
	m.mu.Lock()
	defer m.mu.Unlock()
	// Cloned, because the loop that polls goes on appending.
	return slices.Clone(m.records[p])
}

// awaitSkip waits for a call of Skipped, and returns the first.
func (m *member) awaitSkip() skip {
	m.r.Helper()
	m.await("Skipped", func() bool { return len(m.skipped) > 0 })
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.skipped[0]
}

// commit commits an offset of a partition that is assigned.
func (m *member) commit(p transport.Partition, offset int64, metadata string) {
	m.r.Helper()
	// The leader epoch is unknown to a test that names an offset of its own choice.
	c := transport.Commit{Partition: p, Epoch: m.assignment(p).Epoch, Offset: offset, LeaderEpoch: -1, Metadata: metadata}
	m.r.within("Commit", func(ctx context.Context) error { return m.consumer.Commit(ctx, c) })
}

// subscription returns the config of a member of a group on one topic.
func subscription(group, topic string, start transport.Start) transport.ConsumerConfig {
	return transport.ConsumerConfig{Group: group, Topics: []transport.TopicStart{{Topic: topic, Start: start}}}
}

// read reads the first n records of a partition, in a new group.
func (r *run) read(p transport.Partition, n int) []transport.Record {
	r.Helper()
	m := r.member(subscription(r.name("group"), p.Topic, transport.Earliest()))
	defer m.leave()
	return m.awaitRecords(p, n)
}
