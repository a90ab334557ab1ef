package group

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/kafka/internal/cluster"
	"github.com/eventbus-go/eventbus/kafka/internal/fetch"
	"github.com/eventbus-go/eventbus/kafka/internal/kerr"
	"github.com/eventbus-go/eventbus/transport"
)

// Epochs with which a member joins and leaves (KIP-848).
const (
	joinEpoch        = 0
	leaveEpoch       = -1
	leaveEpochStatic = -2 // the group keeps the partitions for the session
)

// byEpochs is the state of a membership that only the consumer protocol of KIP-848 needs. There
// the coordinator spreads the partitions, and heartbeats carry everything: what the member
// should have, and what it has. The member's epoch takes the place of the generation.
type byEpochs struct {
	// membership.mu guards the fields down to session.
	target    []transport.Partition // what the coordinator wants the member to have
	listOwned bool                  // the next heartbeat must list what it has
	full      bool                  // and everything else, since the last one was not answered
	interval  time.Duration         // of heartbeats; at most what the coordinator wants
	session   time.Duration         // the group's session timeout, if known

	// turn is held while a heartbeat is in flight. It is a channel, not a mutex, since leaving
	// waits for it within a context.
	turn chan struct{}
	// unsure is set while the coordinator may still act on a heartbeat that would join the
	// member: it was sent and not answered.
	unsure bool
}

func newEpochs(cfg *transport.ConsumerConfig) *byEpochs {
	return &byEpochs{
		interval: cfg.HeartbeatInterval, session: min(cfg.SessionTimeout, brokerSession), turn: make(chan struct{}, 1),
	}
}

// runByEpochs runs the member in the consumer protocol.
func (m *membership) runByEpochs() {
	m.mu.Lock()
	// Since Kafka 4.0 the member chooses its ID, so that a repeated join is the same member.
	m.id = rand.Text()
	m.mu.Unlock()
	fetch.Signal(m.heartbeatNow)
	for !m.isClosing() && m.ctx.Err() == nil {
		// Assignments come with heartbeats, which set stateRejoin when the target changes.
		m.rest()
		// Whatever ended the rest, the newest target counts.
		target, err := m.takeTarget()
		switch {
		case m.isClosing():
		// As in the classic protocol: taking the id back would never end.
		case m.fenced(err):
			m.lose(err)
			m.log.Error("another consumer has taken the instance id over; this one stays out of the group",
				"group", m.cfg.Group, "instance", m.cfg.InstanceID)
			m.wait(forever)
		case err != nil:
			m.lose(err)
			m.mu.Lock()
			m.state, m.reason = stateMember, nil
			m.mu.Unlock()
			fetch.Signal(m.heartbeatNow)
		default:
			// What has begun by now is claimed. The rest is begun again if it is still in the
			// target.
			m.stopBeginning()
			m.reconcile(target)
		}
	}
	m.end()
}

// takeTarget returns the target that the coordinator wants, or why the member is out of the group.
func (m *membership) takeTarget() ([]transport.Partition, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.state >= stateLost {
		return nil, m.reason
	}
	m.state, m.reason = stateMember, nil
	return slices.Clone(m.epochs.target), nil
}

// session returns the time without a heartbeat after which the group gives the member's
// partitions to others. A member that overestimates it handles records that another member
// already has.
func (m *membership) session() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sessionLocked()
}

// sessionLocked is session for callers that hold mu.
func (m *membership) sessionLocked() time.Duration {
	if m.epochs != nil {
		return m.epochs.session
	}
	return m.cfg.SessionTimeout
}

// watchSession keeps the session timeout of KIP-848, which the member does not choose, in line
// with the brokers'. It returns when the member has left.
func (m *membership) watchSession() {
	for failures := 0; m.ctx.Err() == nil; {
		wait := sessionAge
		session, err := askSession(m.ctx, m.client, m.cfg.Group)
		switch {
		case err == nil:
			failures = 0
			m.setSession(session)
		case m.ctx.Err() != nil:
			return
		// Ask again after the usual time all the same: rights may be granted later.
		case errors.Is(err, transport.ErrUnauthorized), errors.Is(err, kerr.UnsupportedVersion):
			m.log.Info("the group's session timeout is not known: without the right to describe its configuration the default of the brokers is assumed",
				"group", m.cfg.Group, "assumed", m.session(), "error", err)
		default:
			wait = cluster.Backoff(failures)
			failures++
		}
		cluster.Pause(m.ctx, wait)
	}
}

// setSession records the brokers' session timeout, and logs a change.
func (m *membership) setSession(session time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if session != m.epochs.session {
		m.log.Info("session timeout", "group", m.cfg.Group, "timeout", session)
	}
	m.epochs.session = session
}

// claim sends a heartbeat now that lists what the member has.
func (m *membership) claim() {
	if m.epochs == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.epochs.listOwned = true
	fetch.Signal(m.heartbeatNow)
}

// heartbeatByEpochs sends a heartbeat, which joins if the member is not in the group, and
// returns when to send the next one.
func (m *membership) heartbeatByEpochs() time.Duration {
	e := m.epochs
	select {
	case e.turn <- struct{}{}:
		defer func() { <-e.turn }()
	case <-m.ctx.Done():
		return m.cfg.HeartbeatInterval
	}
	m.mu.Lock()
	out := m.state >= stateLost
	m.mu.Unlock()
	// A closing member does not join any more.
	if out || m.isClosing() && !m.alive() {
		return m.cfg.HeartbeatInterval
	}
	// A frozen broker must not cost the session.
	ctx, cancel := context.WithTimeout(m.ctx, max(m.session()/4, time.Second))
	defer cancel()
	req := m.epochRequest()
	// Set before sending: without an answer, it may have joined all the same.
	joins := req.MemberEpoch == joinEpoch
	if joins {
		m.setUnsure(true)
	}
	sent := time.Now()
	answer, err := m.ask(ctx, cluster.Named{Request: req, ClientID: m.clientID})
	if joins && err == nil {
		m.setUnsure(false)
	}
	var resp *kmsg.ConsumerGroupHeartbeatResponse
	if err == nil {
		resp = answer.(*kmsg.ConsumerGroupHeartbeatResponse)
		if err = m.refusedBy(resp.ErrorCode); err != nil && resp.ErrorMessage != nil {
			err = fmt.Errorf("%w: %s", err, *resp.ErrorMessage)
		}
	}
	if m.ctx.Err() != nil {
		return m.cfg.HeartbeatInterval
	}
	if err != nil {
		return m.heartbeatRefused(err)
	}
	var target []transport.Partition
	if resp.Assignment != nil {
		// The coordinator names topics only by ID.
		if target, err = m.named(ctx, resp.Assignment); err != nil {
			return m.heartbeatRefused(err)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lastAck, m.failure = sent, nil
	// The coordinator knows everything, so the next heartbeat may be short.
	e.full = false
	// Members came or went, or partitions moved: what the group handles, and who reads the
	// companions, may have changed.
	if m.generation != resp.MemberEpoch {
		m.generation = resp.MemberEpoch
		m.changeLocked()
		m.types.changed()
		m.groupMayDiffer()
		m.speedUpHeartbeats()
	}
	if resp.Assignment != nil {
		e.target = target
		m.rebalances++
		if m.state < stateRejoin {
			m.state, m.reason = stateRejoin, kerr.RebalanceInProgress
			m.changeLocked()
		}
		fetch.Signal(m.news)
		m.speedUpHeartbeats()
	}
	// The coordinator chooses the interval (group.consumer.heartbeat.interval.ms). The
	// configuration can only shorten it.
	if wanted := time.Duration(resp.HeartbeatIntervalMillis) * time.Millisecond; wanted > 0 {
		e.interval = min(wanted, m.cfg.HeartbeatInterval)
	}
	return m.nextHeartbeat(e.interval)
}

// heartbeatRefused passes on that the member is out of the group, or makes the next heartbeat
// come soon and list everything.
func (m *membership) heartbeatRefused(err error) time.Duration {
	m.mu.Lock()
	// The coordinator may or may not have handled the request.
	m.epochs.full = true
	in := m.generation >= 0
	m.mu.Unlock()
	err = fmt.Errorf("heartbeat to group %q: %w", m.cfg.Group, err)
	if m.fenced(err) {
		m.setState(stateFenced, err)
		return m.cfg.HeartbeatInterval
	}
	switch code, _ := errors.AsType[kerr.Error](err); code {
	case kerr.UnknownMemberID, kerr.FencedMemberEpoch, kerr.GroupIDNotFound:
		// A member that is not in the group is joining, and retries.
		if in {
			m.setState(stateLost, err)
			return m.cfg.HeartbeatInterval
		}
	case kerr.UnsupportedVersion:
		err = fmt.Errorf("%w: the brokers lack the protocol of kafka.Config.ConsumerProtocol, which needs Apache Kafka 4.0", err)
	}
	m.reportFailure(err)
	return min(m.cfg.HeartbeatInterval, 200*time.Millisecond)
}

// epochRequest returns the next heartbeat: with what has changed since the last answered one,
// or with everything when joining.
func (m *membership) epochRequest() *kmsg.ConsumerGroupHeartbeatRequest {
	req, lists := m.epochChanges()
	if !lists {
		return req
	}
	req.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	if req.MemberEpoch == joinEpoch {
		return req // it owns nothing, or is about to give up what it had
	}
	owned, _ := m.companions.split(m.fetch.Owned()) // the coordinator does not know the others
	for _, p := range owned {
		// By the ID under which it was assigned, not that of the topic which has the name now.
		id := m.fetch.TopicID(p)
		if n := len(req.Topics); n == 0 || req.Topics[n-1].TopicID != id {
			t := kmsg.NewConsumerGroupHeartbeatRequestTopic()
			t.TopicID = id
			req.Topics = append(req.Topics, t)
		}
		last := &req.Topics[len(req.Topics)-1]
		last.Partitions = append(last.Partitions, p.Partition)
	}
	return req
}

// epochChanges returns epochRequest without the member's partitions, and reports whether the
// request must list them. They and their topics' ids come from the fetcher. It calls the
// membership while it holds its mutex, so it must not be called under m.mu.
func (m *membership) epochChanges() (req *kmsg.ConsumerGroupHeartbeatRequest, lists bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.epochs
	req = kmsg.NewPtrConsumerGroupHeartbeatRequest()
	req.Group, req.MemberID, req.MemberEpoch, req.InstanceID = m.cfg.Group, m.id, m.generation, m.instance()
	req.RebalanceTimeoutMillis = -1
	// A member that is out joins with everything the coordinator must know.
	if m.generation < 0 {
		req.MemberEpoch = joinEpoch
		e.full = true
	}
	// Omit what the coordinator already knows, as the protocol demands (−1, null).
	if e.full {
		req.RebalanceTimeoutMillis = int32(m.cfg.RebalanceTimeout / time.Millisecond)
		req.SubscribedTopicNames = m.topics
		if m.rack != "" {
			req.RackID = &m.rack
		}
	}
	lists = e.full || e.listOwned
	// If the heartbeat fails, full lists them the next time.
	e.listOwned = false
	return req, lists
}

// named returns an assignment by its topics' names.
func (m *membership) named(ctx context.Context, a *kmsg.ConsumerGroupHeartbeatResponseAssignment) ([]transport.Partition, error) {
	names := make(map[transport.TopicID]string)
	failed := m.client.Prepare(ctx, m.topics...)
	for _, topic := range m.topics {
		// Omit topics that can't be asked about now. If one of them is assigned, its ID is unknown
		// below.
		if t, err := m.client.Prepared(ctx, topic, failed); err == nil {
			names[t.ID] = topic
			m.notice(t)
		}
	}
	var partitions []transport.Partition
	for _, t := range a.Topics {
		name, known := names[t.TopicID]
		if !known { // created, or created again, since it was last looked up
			for _, topic := range m.topics {
				m.client.Invalidate(topic)
			}
			return nil, fmt.Errorf("the coordinator assigns a topic of an unknown id: %w", kerr.UnknownTopicID)
		}
		for _, p := range t.Partitions {
			partitions = append(partitions, transport.Partition{Topic: name, Partition: p})
		}
	}
	return m.readable(partitions), nil
}

func (m *membership) unsure() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.epochs.unsure
}

func (m *membership) setUnsure(unsure bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.epochs.unsure = unsure
}
