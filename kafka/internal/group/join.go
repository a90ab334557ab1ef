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
// called meanwhile, join returns errClosing and the exchange continues: owned partitions are then
// released while the group waits for others, and committed under the old generation or, once it
// has begun, the new one.
func (m *membership) join() ([]transport.Partition, error) {
	type result struct {
		assigned []transport.Partition
		err      error
	}
	// Independent of Close's context, which may end long before the group has answered.
	ctx, cancel := context.WithCancel(m.ctx)
	// Buffered, so that the exchange can end when nobody receives its result.
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
		// finish calls this once owned partitions are released, perhaps under the generation that
		// the exchange brings.
		m.abandonJoin = func() {
			m.mu.Lock()
			unnamed := m.id == "" && m.cfg.InstanceID == ""
			m.mu.Unlock()
			if unnamed {
				// The coordinator may have assigned a member ID, for which the group now waits.
				// The member needs the ID to leave, and it is in the answer to come.
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

// joinAnswerPatience is how long a closing member waits for a request in flight: for the first
// JoinGroup, whose answer has the member's ID, and with KIP-848 for a heartbeat. There it is also
// how long the member goes on leaving while it may still join.
const joinAnswerPatience = 2 * time.Second

// setJoining records whether JoinGroup or SyncGroup is in flight. While one is, answers to
// heartbeats say nothing about the generation.
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
	// The new generation applies from here on, also to commits on partitions that the member kept.
	m.entered(resp)
	req := kmsg.NewPtrSyncGroupRequest()
	req.Group, req.Generation, req.MemberID, req.InstanceID = m.cfg.Group, resp.Generation, resp.MemberID, m.instance()
	// KIP-559: brokers check that both requests of a join name the same protocol.
	protocolType := "consumer"
	req.ProtocolType, req.Protocol = &protocolType, &m.balancer.Name
	// Members other than the leader send no plan, and wait for their share.
	var planned map[string]int32
	if resp.LeaderID == resp.MemberID {
		if planned, err = m.plan(ctx, resp, req); err != nil {
			return nil, fmt.Errorf("spreading the partitions of group %q: %w", m.cfg.Group, err)
		}
	}
	// The answer comes once the leader has planned, for which the coordinator allows the
	// rebalance timeout. Unlike JoinGroup, SyncGroup has no timeout in the request.
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
		return nil, fmt.Errorf("reading the assignment of group %q: %w", m.cfg.Group, err)
	}
	assigned = m.readable(assigned)
	unknown := m.types.applyAssignment(answer.(*kmsg.SyncGroupResponse).MemberAssignment)
	m.mu.Lock()
	defer m.mu.Unlock()
	if unknown {
		// Not through setState, which locks mu and wakes run: run checks the state next.
		m.state, m.reason = stateRejoin, kerr.RebalanceInProgress
	}
	// watchTopics makes the group rebalance when a topic's partitions differ from the plan.
	m.planned, m.leads = planned, planned != nil
	m.lastAck, m.failure = time.Now(), nil
	m.rebalances++
	m.speedUpHeartbeats()
	return assigned, nil
}

// readable returns the partitions of an assignment that the member can read, sorted and each
// once. Leaders of other libraries assign what they like. A static member that comes back gets
// what it had before, even partitions of topics to which it no longer subscribes: their records
// are for members that do. readable overwrites assigned.
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
		m.logFailure(fmt.Errorf("group %q assigned this member %d partitions to which it does not subscribe, such as %q", m.cfg.Group, refused, first))
	}
	transport.SortPartitions(readable)
	return slices.Compact(readable)
}

// joinGroup sends JoinGroup, and repeats it with the member id that the coordinator wants a new
// member to use (KIP-394).
func (m *membership) joinGroup(ctx context.Context) (*kmsg.JoinGroupResponse, error) {
	// Partitions assigned but not begun before this rebalance are not claimed: anyone may get them.
	owned := m.fetch.Owned()
	// The same for both tries, which are one join.
	types := m.types.subscription()
	for named := false; ; {
		req := kmsg.NewPtrJoinGroupRequest()
		m.mu.Lock()
		req.MemberID = m.id
		// The generation in which the member owned what it claims; −1 if it has lost everything.
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
			// The second try had the ID that was asked for: a third would fare no better.
			if named {
				return nil, code
			}
			named = true
			m.mu.Lock()
			m.id = resp.MemberID
			m.mu.Unlock()
			// The group now waits for a member with this ID (KIP-394), so finish leaves by it.
			if m.isClosing() {
				return nil, errClosing
			}
		// Not a rebalance, which JoinGroup would be part of: the coordinator could not store the
		// group. Joining again at once would spin.
		case kerr.RebalanceInProgress:
			return nil, fmt.Errorf("%s in answer to JoinGroup: %w", code.Error(), kerr.CoordinatorNotAvailable)
		case inconsistentGroupProtocol:
			return nil, fmt.Errorf("its members use another balancer than %q: all must use the same: %w", m.balancer.Name, code)
		default:
			return nil, m.refusedBy(resp.ErrorCode)
		}
	}
}

// instance returns the instance ID for requests, nil for a dynamic member.
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

// plan assigns the partitions to the members, as the group's leader, and puts the assignments into
// req. It returns the number of partitions of each topic to which a member subscribes.
func (m *membership) plan(ctx context.Context, resp *kmsg.JoinGroupResponse, req *kmsg.SyncGroupRequest) (map[string]int32, error) {
	var members []balance.Member
	partitions := make(map[string]int32)
	for i := range resp.Members {
		member, err := balance.ReadMember(&resp.Members[i])
		if err != nil {
			// That member gets nothing. It must not keep the others from getting their share.
			m.logFailure(fmt.Errorf("the subscription of member %s of group %q can't be read: %w", resp.Members[i].MemberID, m.cfg.Group, err))
			continue
		}
		members = append(members, member)
		for _, topic := range member.Topics {
			// A topic that does not exist stays at 0, and is then checked every second.
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
	// A static leader came back: the members keep what they had (KIP-814). The leader watches the
	// topics all the same.
	if resp.SkipAssignment {
		return partitions, nil
	}
	plan := m.balancer.Assign(members, partitions)
	types := m.types.union(members)
	for i := range members {
		share := kmsg.NewSyncGroupRequestGroupAssignment()
		share.MemberID = members[i].ID
		// Each member gets the digest of the types that the leader knows of it. One that handles
		// others by now joins again.
		types.Known = balance.Digest(members[i].Types.Live)
		share.MemberAssignment = balance.EncodeAssignment(plan[members[i].ID], &types)
		req.GroupAssignment = append(req.GroupAssignment, share)
	}
	return partitions, nil
}
