package group

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/kafka/internal/fetch"
	"github.com/eventbus-go/eventbus/kafka/internal/kerr"
)

// heartbeats sends heartbeats while the member is in the group, even while it waits for
// JoinGroup or the Listener runs.
func (m *membership) heartbeats() {
	timer := time.NewTimer(m.cfg.HeartbeatInterval)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		// If the timer has fired meanwhile, that is one extra heartbeat.
		case <-m.heartbeatNow:
		case <-m.ctx.Done():
			return
		}
		if m.epochs != nil {
			timer.Reset(m.heartbeatByEpochs())
		} else {
			timer.Reset(m.heartbeat())
		}
	}
}

// heartbeat sends a heartbeat if the member is in the group, and returns when to send the next one.
//
// A failed heartbeat says nothing about the membership: the coordinator counts the member in
// until the session times out, and a coordinator that restarts gives every member its full
// session. So the next one is sent soon.
func (m *membership) heartbeat() time.Duration {
	req := kmsg.NewPtrHeartbeatRequest()
	m.mu.Lock()
	req.Group, req.MemberID, req.Generation, req.InstanceID = m.cfg.Group, m.id, m.generation, m.instance()
	// It also sends them while it joins: JoinGroup may wait for minutes.
	out := m.generation < 0 || m.state >= stateLost
	m.mu.Unlock()
	if out {
		return m.cfg.HeartbeatInterval
	}
	// A frozen broker must not cost the session.
	ctx, cancel := context.WithTimeout(m.ctx, max(m.session()/4, time.Second))
	defer cancel()
	// Before the request: the session that it renews begins when the broker gets it, which is
	// later.
	sent := time.Now()
	answer, err := m.ask(ctx, req)
	if err == nil {
		err = m.refusedBy(answer.(*kmsg.HeartbeatResponse).ErrorCode)
	}
	if m.ctx.Err() != nil {
		return m.cfg.HeartbeatInterval
	}
	return m.handleHeartbeat(req, sent, err)
}

// handleHeartbeat handles the answer to a heartbeat, and returns when to send the next one.
func (m *membership) handleHeartbeat(req *kmsg.HeartbeatRequest, sent time.Time, err error) time.Duration {
	code, _ := errors.AsType[kerr.Error](err)
	m.mu.Lock()
	// While the member joins, its generation may end at any moment; the answer to JoinGroup
	// tells. An answer to a heartbeat of an earlier generation says nothing about this one.
	current := m.generation == req.Generation && m.id == req.MemberID && !m.joining
	// REBALANCE_IN_PROGRESS comes from a coordinator that counts the member in.
	acknowledged := err == nil || code == kerr.RebalanceInProgress
	if acknowledged {
		m.lastAck = sent
		m.failure = nil
	}
	soon := m.nextHeartbeat(m.cfg.HeartbeatInterval)
	m.mu.Unlock()
	switch {
	case err == nil:
		return soon
	case code == kerr.RebalanceInProgress:
		if current {
			m.setState(stateRejoin, err)
		}
		return soon
	case code == kerr.UnknownMemberID || code == kerr.IllegalGeneration || code == kerr.GroupIDNotFound:
		if current {
			m.setState(stateLost, fmt.Errorf("group %q has expelled the member: %w", m.cfg.Group, err))
		}
		return soon
	case m.fenced(err):
		if current {
			m.setState(stateFenced, fmt.Errorf("group %q: instance id %q: %w", m.cfg.Group, m.cfg.InstanceID, err))
		}
		return soon
	}
	m.reportFailure(fmt.Errorf("heartbeat to group %q: %w", m.cfg.Group, err))
	return min(m.cfg.HeartbeatInterval, 200*time.Millisecond)
}

// speedUpHeartbeats makes the next heartbeats come soon, and then gradually slower until they
// are back at their interval. A rebalance may be followed by another, when members have
// released what was taken from them, and the sooner everyone knows, the shorter moving
// partitions have no owner. The caller holds mu.
func (m *membership) speedUpHeartbeats() {
	m.heartbeatWait = m.cfg.HeartbeatInterval / 64
	fetch.Signal(m.heartbeatNow)
}

// nextHeartbeat returns the time until the next heartbeat. The caller holds mu.
func (m *membership) nextHeartbeat(interval time.Duration) time.Duration {
	soon := m.heartbeatWait
	if soon == 0 || soon > interval {
		return interval
	}
	m.heartbeatWait *= 2
	return soon
}
