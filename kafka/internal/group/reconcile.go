package group

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/kafka/internal/cluster"
	"github.com/eventbus-go/eventbus/kafka/internal/fetch"
	"github.com/eventbus-go/eventbus/kafka/internal/kerr"
	"github.com/eventbus-go/eventbus/transport"
)

// reconcile turns what the member owns into what the group has assigned: first it releases what
// now belongs to others, then it begins what is new. It reports whether to join again, so that
// the group can assign what was released.
func (m *membership) reconcile(assigned []transport.Partition) (again bool) {
	m.setReconciling(true)
	defer m.setReconciling(false)
	// Companions are owned too, and go with the assigned partitions.
	owned := m.fetch.Owned()
	assigned = m.accompanied(assigned, owned)
	added := without(assigned, owned)
	if gone := without(owned, assigned); len(gone) > 0 {
		// Release before beginning anything: the group may be waiting for it.
		m.revoke(m.patient, gone)
		again = m.balancer.Cooperative
	}
	// Even if nothing was released: the coordinator may wait for partitions that were assigned but
	// not begun, until a heartbeat lists what the member has.
	m.claim()
	if others := m.kept.others(assigned); len(others) > 0 {
		m.work.Go(func() { m.restoreOthers(others) })
	}
	m.begin(added, assigned)
	// What has begun by the next join is claimed there, and so kept.
	if again {
		m.awaitBegun()
	}
	return again && m.stateError() == nil
}

// setReconciling records, for the status, whether run is at work.
func (m *membership) setReconciling(settling bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reconciling = settling
}

// without returns the partitions of a that are not in b; both are sorted.
func without(a, b []transport.Partition) (rest []transport.Partition) {
	for _, p := range a {
		if _, found := slices.BinarySearchFunc(b, p, transport.Partition.Compare); !found {
			rest = append(rest, p)
		}
	}
	return rest
}

// during returns a context that ends when the coordinator says that the member's state has
// changed, or with Close.
func (m *membership) during() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(m.ctx)
	m.work.Go(func() {
		defer cancel()
		for {
			m.mu.Lock()
			rejoins, changed := m.state != stateMember, m.changed
			m.mu.Unlock()
			if rejoins {
				return
			}
			select {
			case <-changed:
			case <-m.closing:
				return
			case <-ctx.Done():
				return
			}
		}
	})
	return ctx, cancel
}

// revoke lets the Listener release partitions. None of their records is polled from now on, but
// they can be committed until revoke returns.
//
// The group does not have to wait: its rebalance began, at the earliest, when this call did,
// and waits for the rebalance timeout.
func (m *membership) revoke(patient context.Context, partitions []transport.Partition) {
	if len(partitions) == 0 || !m.listener.Enter(m.ctx) {
		return
	}
	defer m.listener.Leave()
	// Stop before Revoked, which may take long: none of their records is returned meanwhile.
	m.fetch.Stop(partitions)
	// patient ends with Close's context; the timeout is how long the group waits.
	ctx, cancel := context.WithTimeout(patient, m.cfg.RebalanceTimeout-m.margin())
	defer cancel()
	m.mu.Lock()
	// Under the same lock as the state: the member is expelled either before this, which is
	// seen here, or later, and then setState calls cancel.
	m.expelled = cancel
	if m.state >= stateLost {
		cancel()
	}
	m.mu.Unlock()
	m.log.Info("partitions revoked", "group", m.cfg.Group, "partitions", names(partitions))
	m.listener.Revoked(ctx, partitions)
	m.mu.Lock()
	m.expelled = nil
	// Another member commits on them from here on, unless this one was expelled meanwhile.
	if m.state < stateLost {
		m.kept.handOver(partitions)
	}
	m.mu.Unlock()
	m.fetch.Remove(partitions)
}

// margin is the part of the rebalance timeout left for noticing the rebalance by a heartbeat,
// and for joining.
func (m *membership) margin() time.Duration {
	return min(m.cfg.HeartbeatInterval+time.Second, m.cfg.RebalanceTimeout/4)
}

// lose gives up everything: the partitions already belong to others.
func (m *membership) lose(err error) {
	m.mu.Lock()
	// A member that only missed a generation is still known by its id, and in the consumer
	// protocol the id is its own choice. Any other id is dropped, and the coordinator assigns a
	// new one.
	if !errors.Is(err, kerr.IllegalGeneration) && m.epochs == nil {
		m.id = ""
	}
	m.generation = -1
	m.leads, m.planned = false, nil
	m.companions.assigned = nil
	// An earlier description does not say who is in the group when the member is in it again.
	m.companions.version++
	m.failure = err
	m.kept.lose(append(m.companions.topics(), m.topics...))
	m.changeLocked()
	m.mu.Unlock()
	m.types.lost()
	m.stopBeginning()
	m.drop(m.fetch.Owned())
}

// drop removes lost partitions and calls Listener.Lost. Commits on them are refused before that.
func (m *membership) drop(lost []transport.Partition) {
	if len(lost) == 0 || !m.listener.Enter(m.ctx) {
		return
	}
	defer m.listener.Leave()
	// Remove first, so that no commit on them is sent once Lost runs.
	m.fetch.Remove(lost)
	m.log.Warn("partitions lost", "group", m.cfg.Group, "partitions", names(lost))
	m.listener.Lost(lost)
}

// assign starts fetching partitions and tells the Listener. For those that start over,
// restarted has what was committed: Listener.Skipped is called before any of their records can
// be polled.
func (m *membership) assign(ctx context.Context, assigned []transport.Assignment, restarted map[transport.Partition]int64) {
	if len(assigned) == 0 || !m.listener.Enter(ctx) {
		return
	}
	defer m.listener.Leave()
	if ctx.Err() != nil {
		return // Enter may choose either when both are ready
	}
	// Add before calling Assigned, which may pause partitions; announce after it, since Poll
	// must return none of their records before.
	m.fetch.Add(assigned)
	partitions := make([]transport.Partition, len(assigned))
	for i := range assigned {
		partitions[i] = assigned[i].Partition
	}
	m.log.Info("partitions assigned", "group", m.cfg.Group, "partitions", names(partitions))
	m.listener.Assigned(assigned)
	for i := range assigned {
		if from, known := restarted[assigned[i].Partition]; known {
			m.listener.Skipped(assigned[i].Partition, from, assigned[i].Offset, fetch.ErrRecreated)
		}
	}
	m.types.assigned()
	m.fetch.Announce(assigned)
	m.mu.Lock()
	m.begunLocked(partitions)
	m.mu.Unlock()
	m.claim()
	// What align found while these were begun did not concern them.
	if _, begun := m.companions.split(partitions); len(begun) > 0 {
		m.companionsChanged()
	}
}

// names returns the names of partitions for logs.
func names(partitions []transport.Partition) []string {
	all := make([]string, len(partitions))
	for i, p := range partitions {
		all[i] = p.String()
	}
	return all
}

// finish releases everything and leaves the group. Most of Close's time goes to the Listener;
// the rest is for leaving.
func (m *membership) finish() {
	m.stopBeginning()
	patient := m.closeContext
	if deadline, bounded := patient.Deadline(); bounded {
		// Keep a tenth of the time, at most a second, for leaving.
		left := time.Until(deadline)
		var cancel context.CancelFunc
		patient, cancel = context.WithTimeout(patient, left-min(time.Second, left/10))
		defer cancel()
	}
	// First, while a join in progress continues: the Listener commits under the generation that
	// it had, or that the join brings.
	m.revoke(patient, m.fetch.Owned())
	if m.abandonJoin != nil {
		m.abandonJoin()
	}
	m.mu.Lock()
	id, static := m.id, m.cfg.InstanceID != ""
	m.mu.Unlock()
	switch {
	case m.epochs != nil:
		m.leaveByEpoch()
	// A static member stays in the group: it is expected back within the session (KIP-345).
	case id != "" && !static:
		m.leaveGroup(id)
	}
}

// leaveGroup leaves the group in the classic protocol, so that it need not wait for the session
// to time out.
func (m *membership) leaveGroup(id string) {
	m.leaving(func() error {
		req := kmsg.NewPtrLeaveGroupRequest()
		req.Group, req.MemberID = m.cfg.Group, id
		// Appears in the coordinator's log (KIP-800).
		reason := "the consumer was closed"
		member := kmsg.NewLeaveGroupRequestMember()
		member.MemberID, member.Reason = id, &reason
		req.Members = append(req.Members, member)
		answer, err := m.ask(m.closeContext, req)
		if err == nil {
			err = m.refusedBy(answer.(*kmsg.LeaveGroupResponse).ErrorCode)
		}
		return err
	})
}

// leaveByEpoch leaves the group in the protocol of KIP-848; for a static member the absence is
// temporary.
//
// A joining heartbeat may be in flight, or lie unread at a silent coordinator. Handled after
// the member has left, it would create a member that nobody runs, whose partitions nobody reads
// for a session. So the member leaves once the heartbeat has ended, and if there was no answer
// it leaves again for a while.
func (m *membership) leaveByEpoch() {
	m.stopHeartbeats()
	within, cancel := context.WithTimeout(m.closeContext, joinAnswerPatience)
	defer cancel()
	m.leaving(func() error {
		req := m.epochRequest()
		// The formatter is that of all heartbeats, so that the member has one client id to the end.
		req.MemberEpoch, req.Topics = leaveEpoch, nil
		if m.cfg.InstanceID != "" {
			req.MemberEpoch = leaveEpochStatic
		}
		answer, err := m.ask(m.closeContext, cluster.Named{Request: req, ClientID: m.clientID})
		if err == nil {
			err = m.refusedBy(answer.(*kmsg.ConsumerGroupHeartbeatResponse).ErrorCode)
		}
		if m.unsure() && within.Err() == nil && (errors.Is(err, kerr.UnknownMemberID) || errors.Is(err, kerr.GroupIDNotFound)) {
			return kerr.CoordinatorLoadInProgress // it may still join: leave again
		}
		return err
	})
}

// stopHeartbeats waits until no heartbeat is in flight, and prevents further ones. It waits for
// one that joins as long as Close allows; any other is harmless once the member has left.
func (m *membership) stopHeartbeats() {
	// Longer for one that joins; see unsure.
	patient := m.closeContext
	if !m.unsure() {
		var cancel context.CancelFunc
		patient, cancel = context.WithTimeout(patient, joinAnswerPatience)
		defer cancel()
	}
	select {
	case m.epochs.turn <- struct{}{}: // never released
	case <-patient.Done():
	}
}

// leaving retries leaving for as long as Close allows.
func (m *membership) leaving(try func() error) {
	for failures := 0; m.closeContext.Err() == nil; failures++ {
		// A permanent error is no reason to stay: the group notices by the session timeout.
		if err := try(); err == nil || !kerr.Retriable(err) {
			return
		}
		cluster.Pause(m.closeContext, cluster.Backoff(failures))
	}
}
