package group

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/kafka/internal/balance"
	"github.com/eventbus-go/eventbus/kafka/internal/cluster"
	"github.com/eventbus-go/eventbus/kafka/internal/kerr"
	"github.com/eventbus-go/eventbus/transport"
)

// join joins the group, or takes part in its rebalance, and returns the assignment. If Close is
// called meanwhile, join returns and the exchange continues: owned partitions are then released
// while the group waits for others, and committed under the old generation or, once it is
// there, the new one.
func (m *membership) join() ([]transport.Partition, error) {
	type result struct {
		assigned []transport.Partition
		err      error
	}
	// Not the context of Close, which may end long before the group has answered.
	ctx, cancel := context.WithCancel(m.ctx)
	// The exchange continues if nobody receives the result.
	done := make(chan result, 1)
	m.setJoining(true)
	m.work.Go(func() {
		assigned, err := m.joinAndSync(ctx)
		m.setJoining(false)
		done <- result{assigned, err}
	})
	select {
	case r := <-done:
		cancel()
		return r.assigned, r.err
	// run continues with end, and finish ends the exchange when the Listener is done.
	case <-m.closing:
		// finish calls this after owned partitions were released under the generation that join
		// may still bring.
		m.abandonJoin = func() {
			m.mu.Lock()
			unnamed := m.id == "" && m.cfg.InstanceID == ""
			m.mu.Unlock()
			if unnamed {
				// The coordinator may have assigned a member ID that the group now waits for.
				// It is in the answer on its way, and the member needs it to leave.
				timer := time.NewTimer(joinAnswerPatience)
				defer timer.Stop()
				select {
				case r := <-done:
					done <- r
				case <-timer.C:
				case <-m.closeContext.Done():
				}
			}
			cancel()
			<-done
		}
		return nil, errClosing
	}
}

// joinAnswerPatience is how long a closing member waits for the id in the answer to its first
// JoinGroup.
const joinAnswerPatience = 2 * time.Second

// setJoining records whether JoinGroup or SyncGroup is in flight. Meanwhile what heartbeats say
// about the generation doesn't count.
func (m *membership) setJoining(joining bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.joining = joining
	m.changeLocked()
}

// joinAndSync performs one exchange of JoinGroup and SyncGroup. A leader plans in between.
func (m *membership) joinAndSync(ctx context.Context) ([]transport.Partition, error) {
	resp, err := m.joinGroup(ctx)
	if err != nil {
		return nil, fmt.Errorf("joining group %q: %w", m.cfg.Group, err)
	}
	// The generation counts from here on, even for commits on what the member has kept.
	m.entered(resp)
	req := kmsg.NewPtrSyncGroupRequest()
	req.Group, req.Generation, req.MemberID, req.InstanceID = m.cfg.Group, resp.Generation, resp.MemberID, m.instance()
	// KIP-559: brokers check that both requests of a join name the same protocol.
	protocolType := "consumer"
	req.ProtocolType, req.Protocol = &protocolType, &m.balancer.Name
	// Nil unless the member leads.
	planned := map[string]int32(nil)
	// Members other than the leader send an empty plan and wait for their share.
	if resp.LeaderID == resp.MemberID {
		if planned, err = m.plan(ctx, resp, req); err != nil {
			return nil, fmt.Errorf("spreading the partitions of group %q: %w", m.cfg.Group, err)
		}
	}
	// The leader may take its time, which the coordinator bounds. Unlike JoinGroup, SyncGroup
	// has no timeout in the request.
	within, cancel := context.WithTimeout(ctx, m.cfg.RebalanceTimeout+m.cfg.SessionTimeout)
	defer cancel()
	answer, err := m.ask(within, req)
	if err == nil {
		err = m.refusedBy(answer.(*kmsg.SyncGroupResponse).ErrorCode)
	}
	if err != nil {
		return nil, fmt.Errorf("waiting for the assignment of group %q: %w", m.cfg.Group, err)
	}
	assigned, err := balance.DecodeAssignment(answer.(*kmsg.SyncGroupResponse).MemberAssignment)
	if err != nil {
		return nil, fmt.Errorf("the assignment of group %q: %w", m.cfg.Group, err)
	}
	assigned = m.readable(assigned)
	unknown := m.types.applyAssignment(answer.(*kmsg.SyncGroupResponse).MemberAssignment)
	m.mu.Lock()
	defer m.mu.Unlock()
	if unknown {
		// Directly and not through setState, as the member is not at rest: run checks it next.
		m.state, m.reason = stateRejoin, kerr.RebalanceInProgress
	}
	// watchTopics compares with this, and makes the group rebalance when a topic has grown.
	m.planned, m.leads = planned, planned != nil
	m.lastAck, m.failure = time.Now(), nil
	m.rebalances++
	m.speedUpHeartbeats()
	return assigned, nil
}

// readable returns the partitions of an assignment that the member can read, each once. Leaders
// of other libraries assign what they like. A static member that comes back gets what it had
// before, even of topics to which it no longer subscribes: their records are for members that
// do.
func (m *membership) readable(assigned []transport.Partition) []transport.Partition {
	refused := 0
	var first transport.Partition
	readable := slices.DeleteFunc(assigned, func(p transport.Partition) bool {
		_, subscribed := slices.BinarySearch(m.topics, p.Topic)
		if subscribed && p.Partition >= 0 {
			return false
		}
		if refused++; refused == 1 {
			first = p
		}
		return true
	})
	if refused > 0 {
		m.logFailure(fmt.Errorf("group %q assigns %d partitions that this member does not subscribe to, such as %q", m.cfg.Group, refused, first))
	}
	transport.SortPartitions(readable)
	return slices.Compact(readable)
}

// joinGroup sends JoinGroup, and repeats it with the member id that the coordinator wants a new
// member to use (KIP-394).
func (m *membership) joinGroup(ctx context.Context) (*kmsg.JoinGroupResponse, error) {
	// Partitions assigned but not begun before this rebalance are not claimed: anyone may get them.
	owned := m.fetch.Owned()
	// Once for both tries, which are one join.
	types := m.types.subscription()
	for named := false; ; {
		req := kmsg.NewPtrJoinGroupRequest()
		m.mu.Lock()
		req.MemberID = m.id
		// The generation in which the member owned what it claims; −1 after it was lost.
		generation := m.generation
		m.mu.Unlock()
		req.Group, req.InstanceID = m.cfg.Group, m.instance()
		req.SessionTimeoutMillis = int32(m.cfg.SessionTimeout / time.Millisecond)
		req.RebalanceTimeoutMillis = int32(m.cfg.RebalanceTimeout / time.Millisecond)
		req.ProtocolType = "consumer"
		protocol := kmsg.NewJoinGroupRequestProtocol()
		// One protocol only: offering several would let the group choose an eager one although
		// members are cooperative.
		protocol.Name = m.balancer.Name
		protocol.Metadata = m.balancer.Metadata(m.topics, owned, generation, m.rack, types)
		req.Protocols = append(req.Protocols, protocol)
		answer, err := m.ask(ctx, req)
		if err != nil {
			return nil, err
		}
		resp := answer.(*kmsg.JoinGroupResponse)
		switch code := kerr.Error(resp.ErrorCode); code {
		case 0:
			return resp, nil
		case kerr.MemberIDRequired:
			// A member that has an id can't act on this answer, and would get it again.
			if named {
				return nil, code
			}
			named = true
			m.mu.Lock()
			m.id = resp.MemberID
			m.mu.Unlock()
			// finish leaves the group by this ID: a rebalance waits for its member (KIP-394).
			if m.isClosing() {
				return nil, errClosing
			}
		// Not a rebalance, which JoinGroup would be part of: the coordinator could not store the
		// group. Joining again at once would spin.
		case kerr.RebalanceInProgress:
			return nil, fmt.Errorf("%v in answer to JoinGroup: %w", code, kerr.CoordinatorNotAvailable)
		case inconsistentGroupProtocol:
			return nil, fmt.Errorf("its members use another balancer than %q: all must use the same: %w", m.balancer.Name, code)
		default:
			return nil, m.refusedBy(resp.ErrorCode)
		}
	}
}

// instance returns the static member's name for requests, nil for a dynamic member.
func (m *membership) instance() *string {
	if m.cfg.InstanceID == "" {
		return nil
	}
	return &m.cfg.InstanceID
}

// entered records the new generation. What the coordinator said about the previous one no
// longer counts.
func (m *membership) entered(resp *kmsg.JoinGroupResponse) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.id, m.generation = resp.MemberID, resp.Generation
	m.state, m.reason = stateMember, nil
	m.lastAck = time.Now()
	m.changeLocked()
}

// plan spreads the partitions, as the group's leader, into req. It returns the number of
// partitions of all members' topics.
func (m *membership) plan(ctx context.Context, resp *kmsg.JoinGroupResponse, req *kmsg.SyncGroupRequest) (map[string]int32, error) {
	var members []balance.Member
	partitions := make(map[string]int32)
	for i := range resp.Members {
		member, err := balance.ReadMember(&resp.Members[i])
		if err != nil {
			// It gets nothing, but must not keep the others from getting theirs.
			m.logFailure(fmt.Errorf("the subscription of member %s of group %q can't be read: %w", resp.Members[i].MemberID, m.cfg.Group, err))
			continue
		}
		members = append(members, member)
		for _, topic := range member.Topics {
			// Of all members, since the leader plans for everyone. A missing topic has no
			// partitions, and is checked every second.
			partitions[topic] = 0
		}
	}
	if err := m.client.Prepare(ctx, slices.Collect(maps.Keys(partitions))...); err != nil {
		return nil, err
	}
	for topic := range partitions {
		t, err := m.client.Topic(ctx, topic)
		switch {
		case err == nil:
			partitions[topic] = int32(len(t.Partitions))
		case errors.Is(err, transport.ErrTopicMissing):
		// One member's topic must not cost the group its other topics: the name may be invalid,
		// or not visible to this client.
		case t != nil && (errors.Is(err, transport.ErrUnauthorized) || errors.Is(err, transport.ErrRejected)), errors.Is(err, cluster.ErrUnmentioned):
			m.logFailure(fmt.Errorf("group %q gets no partitions of a topic: %w", m.cfg.Group, err))
		default:
			return nil, err
		}
	}
	// KIP-814. Return the topics all the same: the leader watches them.
	if resp.SkipAssignment {
		// A static leader came back: the members keep what they had.
		return partitions, nil
	}
	plan := m.balancer.Assign(members, partitions)
	types := m.types.union(members)
	for i := range members {
		share := kmsg.NewSyncGroupRequestGroupAssignment()
		share.MemberID = members[i].ID
		// Each member gets its own digest, so that one that handles something else now joins again.
		types.Known = balance.Digest(members[i].Types.Live)
		share.MemberAssignment = balance.EncodeAssignment(plan[members[i].ID], &types)
		req.GroupAssignment = append(req.GroupAssignment, share)
	}
	return partitions, nil
}
