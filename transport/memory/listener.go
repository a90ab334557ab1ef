package memory

import (
	"context"
	"slices"

	"github.com/eventbus-go/eventbus/transport"
)

// listen calls the Listener on the consumer's one goroutine, running each event to its end
// before the next. NewConsumer starts it, and leave, the last event, ends it.
func (m *consumer) listen() {
	defer close(m.left)
	for {
		do, gone := m.nextEvent()
		switch {
		case do != nil:
			do()
		case gone:
			return
		default:
			// One token stands for any number of events: nextEvent checks the queue.
			<-m.work
		}
	}
}

// nextEvent removes and returns the next event, nil if there is none. It also marks the
// previous one as finished, so that Status may report stable.
func (m *consumer) nextEvent() (do func(), gone bool) {
	m.cluster.mu.Lock()
	defer m.cluster.mu.Unlock()
	if m.busy = len(m.events) > 0; m.busy {
		do, m.events = m.events[0], m.events[1:]
	}
	m.cluster.change()
	return do, m.gone
}

// enqueue adds an event for listen. The mutex is held. It never waits: a slow Listener delays
// only its own events.
func (m *consumer) enqueue(do func()) {
	m.events = append(m.events, do)
	select {
	case m.work <- struct{}{}:
	default:
	}
}

// announce calls Assigned with the partitions that were not taken away meanwhile.
func (m *consumer) announce(given []*assignment) {
	var assigned []transport.Assignment
	m.cluster.mu.Lock()
	for _, a := range given {
		if !a.gone {
			a.announced = true
			assigned = append(assigned, a.Assignment)
		}
	}
	m.cluster.mu.Unlock()
	if len(assigned) > 0 {
		m.config.Listener.Assigned(assigned)
	}
	m.cluster.mu.Lock()
	defer m.cluster.mu.Unlock()
	for _, a := range given {
		// Ready only now: no batch of a partition may come before Assigned has returned. A
		// partition that was not announced had gone before its turn.
		a.ready = a.announced
	}
	m.wakePoll()
}

// revoke calls Revoked with the partitions that are still assigned, then returns them to the
// group. Until then they belong to the consumer, and commits are accepted.
func (m *consumer) revoke(taken []*assignment) {
	var revoked []transport.Partition
	m.cluster.mu.Lock()
	for _, a := range taken {
		// Otherwise it was lost meanwhile, which lose reports.
		if a.announced && !a.gone {
			a.warned = true
			revoked = append(revoked, a.Partition)
		}
	}
	m.cluster.mu.Unlock()
	if len(revoked) > 0 {
		m.callRevoked(revoked)
	}
	m.cluster.mu.Lock()
	defer m.cluster.mu.Unlock()
	// It may have been expelled during Revoked, and the partitions assigned to others.
	taken = slices.DeleteFunc(taken, func(a *assignment) bool { return a.gone })
	m.group.release(taken)
}

// callRevoked bounds Revoked by the rebalance timeout and by Close's context. When either ends
// the group waits no longer and expels the member, whatever Revoked does.
func (m *consumer) callRevoked(revoked []transport.Partition) {
	ctx, cancel := context.WithTimeout(m.patient, m.config.RebalanceTimeout)
	defer cancel()
	// Wait for the expulsion to keep the order: later events must find it done.
	expelled := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(expelled)
		m.cluster.mu.Lock()
		defer m.cluster.mu.Unlock()
		m.group.expel(m)
	})
	m.config.Listener.Revoked(ctx, revoked)
	if !stop() {
		<-expelled
	}
}

// lose calls Lost with the partitions that were announced and not revoked: each partition ends
// with one call, Revoked or Lost, never both.
func (m *consumer) lose(taken []*assignment) {
	var lost []transport.Partition
	m.cluster.mu.Lock()
	for _, a := range taken {
		if a.announced && !a.warned {
			lost = append(lost, a.Partition)
		}
	}
	m.cluster.mu.Unlock()
	if len(lost) > 0 {
		m.config.Listener.Lost(lost)
	}
}

// rejoin is the event after a member has lost everything. A fenced consumer stays out: another
// one has its instance id.
func (m *consumer) rejoin() {
	m.cluster.mu.Lock()
	defer m.cluster.mu.Unlock()
	if !m.closing && m.fenced == nil {
		m.group.join(m)
	}
}
