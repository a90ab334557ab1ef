package group

import (
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/eventbus-go/eventbus/kafka/internal/cluster"
	"github.com/eventbus-go/eventbus/transport"
)

// startLook is the time until a member first checks whether another has stored where the group
// starts on a topic. It doubles up to maxStartLook.
const (
	startLook    = 100 * time.Millisecond
	maxStartLook = time.Second
)

// patienceOf returns how long a member waits for another to start a topic. Members with higher
// partition numbers wait longer, so that in a large group not all of them store the same when
// the responsible one is slow. assigned is sorted.
func patienceOf(topic string, assigned []transport.Partition) time.Duration {
	at, _ := slices.BinarySearchFunc(assigned, transport.Partition{Topic: topic}, transport.Partition.Compare)
	lowest := int32(0)
	if at < len(assigned) && assigned[at].Topic == topic {
		lowest = assigned[at].Partition
	}
	return startPatience + time.Duration(min(lowest, 200))*50*time.Millisecond
}

// awaitStart waits until another member has stored where the group starts on a topic, for at
// most patience or until the beginning ends. One request checks all awaited topics: if members
// asked separately, topic by topic, a large group would keep its coordinator too busy for the
// member that must store.
func (m *membership) awaitStart(b *beginning, topic string, patience time.Duration) {
	begun := make(chan struct{})
	b.mu.Lock()
	// The caller holds the topic's start, so nobody else waits for it.
	b.waiting[topic] = begun
	if !b.watched {
		b.watched = true
		b.work.Go(func() { m.watchStarts(b) })
	}
	b.mu.Unlock()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-begun:
	case <-timer.C:
	case <-b.ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.waiting, topic)
}

// watchStarts checks whether other members have started the awaited topics, until none is
// awaited or the beginning ends.
func (m *membership) watchStarts(b *beginning) {
	for wait := startLook; ; wait = min(2*wait, maxStartLook) {
		cluster.Pause(b.ctx, wait)
		b.mu.Lock()
		// All partitions of a topic are stored together, so the first stands for all.
		var firsts []transport.Partition
		for topic := range b.waiting {
			firsts = append(firsts, transport.Partition{Topic: topic})
		}
		if b.watched = len(firsts) > 0 && b.ctx.Err() == nil; !b.watched {
			b.mu.Unlock()
			return
		}
		b.mu.Unlock()
		commits, err := m.client.CommittedOn(b.ctx, m.cfg.Group, firsts)
		if _, one := errors.AsType[*cluster.PartitionError](err); one {
			// A partition that fails, because its topic may not be seen for example, must not
			// hide the others.
			commits = make(map[transport.Partition]transport.Commit)
			for _, first := range firsts {
				one, alone := m.client.CommittedOn(b.ctx, m.cfg.Group, []transport.Partition{first})
				if alone == nil {
					maps.Copy(commits, one)
				}
			}
		}
		if err != nil && b.ctx.Err() == nil {
			m.logFailure(err)
		}
		b.mu.Lock()
		for p := range commits {
			if begun := b.waiting[p.Topic]; begun != nil {
				delete(b.waiting, p.Topic)
				close(begun)
			}
		}
		b.mu.Unlock()
	}
}
