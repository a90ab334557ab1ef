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

// Epochs of a member by which it joins and leaves (KIP-848).
const (
	joinEpoch        = 0
	leaveEpoch       = -1
	leaveEpochStatic = -2 // the group keeps the partitions for the session
)

// byEpochs is what a membership has to itself in the consumer protocol of
// KIP-848. There the coordinator spreads the partitions, and heartbeats say
// everything: what the member should have, and what it has. The member's epoch
// takes the place of the generation.
type byEpochs struct {
	// The fields down to session are guarded by membership.mu.
	target    []transport.Partition // what the coordinator wants the member to have
	listOwned bool                  // the next heartbeat lists what it has
	full      bool                  // and everything else, since the last was not answered
	interval  time.Duration         // of heartbeats, at most what the coordinator wants
	session   time.Duration         // the group's session timeout, as far as it is known

	// turn is held while a heartbeat is under way.
	// A channel in place of a mutex, as leaving waits for it within a context.
	turn chan struct{}
	// unsure is set while the coordinator may yet act on a heartbeat that would join
	// the member: it was sent and not answered.
	unsure bool
}

func newEpochs(cfg *transport.ConsumerConfig) *byEpochs {
	return &byEpochs{
		interval: cfg.HeartbeatInterval, session: min(cfg.SessionTimeout, brokerSession), turn: make(chan struct{}, 1),
	}
}

// runByEpochs is the member's life in the consumer protocol.
func (m *membership) runByEpochs() {
	m.mu.Lock()
	// Since Kafka 4.0 the member chooses its ID, so that a repeated join is the same member.
	m.id = rand.Text()
	m.mu.Unlock()
	fetch.Signal(m.heartbeatNow)
	for !m.isClosing() && m.ctx.Err() == nil {
		// Assignments come with heartbeats, which set stateRejoin when the target changes.
		m.rest()
		// Whatever rest was left for, the newest target counts, not the one that woke it.
		target, err := m.takeTarget()
		switch {
		case m.isClosing():
		// As in the classic protocol: taking the id back would go on without end.
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
			// What it has begun by then is claimed. What it has not is begun again if it still is in
			// the target.
			m.stopBeginning()
			m.reconcile(target)
		}
	}
	m.end()
}

// takeTarget takes up what the coordinator wants, or why the member is out.
func (m *membership) takeTarget() ([]transport.Partition, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.state >= stateLost {
		return nil, m.reason
	}
	m.state, m.reason = stateMember, nil
	return slices.Clone(m.epochs.target), nil
}

// session returns the time without a heartbeat after which the group gives the
// member's partitions to others. A member that overestimates it handles records
// that another member has already been given.
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

// watchSession keeps the session timeout of KIP-848, which the member does not
// choose, as the brokers have it. It returns when the member has left.
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
		// Asked again all the same, after the usual time: rights may be given later.
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

// setSession notes what the brokers have, and logs a change.
func (m *membership) setSession(session time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if session != m.epochs.session {
		m.log.Info("session timeout", "group", m.cfg.Group, "timeout", session)
	}
	m.epochs.session = session
}

// claim says with the next heartbeat, which is sent now, what the member has.
func (m *membership) claim() {
	if m.epochs == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.epochs.listOwned = true
	fetch.Signal(m.heartbeatNow)
}

// heartbeatByEpochs sends a heartbeat, joining if the member is not in the group,
// and returns when to send the next.
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
	// A member that is being closed does not join any more.
	if out || m.isClosing() && !m.alive() {
		return m.cfg.HeartbeatInterval
	}
	// A broker that is frozen must not cost the session.
	ctx, cancel := context.WithTimeout(m.ctx, max(m.session()/4, time.Second))
	defer cancel()
	req := m.epochRequest()
	// Noted before it is sent: if no answer comes, it may have joined all the same.
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
		// The coordinator names topics by their IDs alone.
		if target, err = m.named(ctx, resp.Assignment); err != nil {
			return m.heartbeatRefused(err)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lastAck, m.failure = sent, nil
	// The coordinator has taken everything in, so the next heartbeat may be short.
	e.full = false
	// Members came or went, or partitions moved: what the group handles, and who reads the
	// companions, may differ now.
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
	// configuration may only shorten it.
	if wanted := time.Duration(resp.HeartbeatIntervalMillis) * time.Millisecond; wanted > 0 {
		e.interval = min(wanted, m.cfg.HeartbeatInterval)
	}
	return m.nextHeartbeat(e.interval)
}

// heartbeatRefused passes on that the member is out of the group, or tries again
// soon, with everything in the request.
func (m *membership) heartbeatRefused(err error) time.Duration {
	m.mu.Lock()
	// The coordinator may have handled the request or not.
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
		// A member that is not in the group is joining, and tries again.
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

// epochRequest is the next heartbeat: what has changed since the last that was
// answered, or everything when joining.
func (m *membership) epochRequest() *kmsg.ConsumerGroupHeartbeatRequest {
	req, lists := m.epochChanges()
	if !lists {
		return req
	}
	req.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	if req.MemberEpoch == joinEpoch {
		return req // it owns nothing, or is just giving up what it had
	}
	owned, _ := m.companions.split(m.fetch.Owned()) // the coordinator knows nothing of the others
	for _, p := range owned {
		// By the ID under which it was assigned, not that of the topic that has the name now.
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

// epochChanges is epochRequest without the partitions that the member has; it
// reports whether the request lists them. They and their topics' ids are the
// fetcher's, which calls the membership while it holds its mutex, and so is not
// called under m.mu.
func (m *membership) epochChanges() (req *kmsg.ConsumerGroupHeartbeatRequest, lists bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.epochs
	req = kmsg.NewPtrConsumerGroupHeartbeatRequest()
	req.Group, req.MemberID, req.MemberEpoch, req.InstanceID = m.cfg.Group, m.id, m.generation, m.instance()
	req.RebalanceTimeoutMillis = -1
	// A member that is out joins with everything that the coordinator has to know.
	if m.generation < 0 {
		req.MemberEpoch = joinEpoch
		e.full = true
	}
	// What the coordinator knows already is left out, as the protocol wants it (−1, null).
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

// named is an assignment by the names of its topics.
func (m *membership) named(ctx context.Context, a *kmsg.ConsumerGroupHeartbeatResponseAssignment) ([]transport.Partition, error) {
	names := make(map[transport.TopicID]string)
	if err := m.client.Prepare(ctx, m.topics...); err != nil {
		return nil, err
	}
	for _, topic := range m.topics {
		// Topics that can't be asked for now are left out. If one of them is assigned, its ID is
		// unknown below.
		if t, err := m.client.Topic(ctx, topic); err == nil {
			names[t.ID] = topic
			m.notice(t)
		}
	}
	var partitions []transport.Partition
	for _, t := range a.Topics {
		name, known := names[t.TopicID]
		if !known { // created, or created again, since it was last asked for
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
