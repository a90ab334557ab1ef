package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/internal/grouptypes"
	"github.com/eventbus-go/eventbus/kafka/internal/balance"
	"github.com/eventbus-go/eventbus/kafka/internal/cluster"
	"github.com/eventbus-go/eventbus/kafka/internal/group"
	"github.com/eventbus-go/eventbus/kafka/internal/kerr"
	"github.com/eventbus-go/eventbus/transport"
)

// ErrGroupMissing means that the cluster has no group of that name. A group exists while it has
// members or committed offsets.
var ErrGroupMissing = errors.New("no such group")

// GroupListing is one consumer group in the cluster's list.
type GroupListing struct {
	Name string
	// State is one of Kafka's names: Empty, Stable, PreparingRebalance, CompletingRebalance,
	// Assigning, Reconciling or Dead; empty before Kafka 2.6.
	State string
	// Protocol is "consumer" for groups of KIP-848, in which the broker assigns partitions,
	// "classic" for others, and empty before Kafka 3.8.
	Protocol string
}

// Groups lists the consumer groups of the cluster by name. Each broker lists the groups that it
// coordinates; if some brokers don't answer, Groups returns the groups of the others and an
// error that names the brokers.
func (a *Admin) Groups(ctx context.Context) ([]GroupListing, error) {
	known, err := a.cluster(ctx)
	if err != nil {
		return nil, err
	}
	var found []GroupListing
	var errs []error
	for _, b := range known.Brokers {
		var listed []GroupListing
		err := a.client.Persist(ctx, func() (err error) {
			listed, err = groupsOf(ctx, a.client, b.ID)
			return err
		})
		if err != nil {
			errs = append(errs, fmt.Errorf("kafka: listing the groups of broker %d: %w", b.ID, err))
		}
		found = append(found, listed...)
	}
	slices.SortFunc(found, func(a, b GroupListing) int { return cmp.Compare(a.Name, b.Name) })
	return slices.CompactFunc(found, func(a, b GroupListing) bool { return a.Name == b.Name }), errors.Join(errs...)
}

// groupsOf lists the groups that a broker coordinates.
func groupsOf(ctx context.Context, c *cluster.Client, broker int32) ([]GroupListing, error) {
	answer, err := c.Request(ctx, broker, cluster.Rare(kmsg.NewPtrListGroupsRequest(), (*kmsg.ListGroupsRequest).AppendTo, (*kmsg.ListGroupsResponse).ReadFrom))
	if err != nil {
		return nil, err
	}
	resp := answer.(*kmsg.ListGroupsResponse)
	var listed []GroupListing
	for _, g := range resp.Groups {
		// A group with commits but never a member has no protocol type; share groups and
		// Connect's workers have others.
		if g.ProtocolType == "consumer" || g.ProtocolType == "" {
			listed = append(listed, GroupListing{Name: g.Group, State: g.GroupState, Protocol: g.GroupType})
		}
	}
	return listed, kerr.CodeError(resp.ErrorCode)
}

// Group is a consumer group and its members.
type Group struct {
	GroupListing
	Coordinator int32  // the id of the broker that coordinates the group
	Balancer    string // the name of its assignment strategy; empty without members
	Members     []GroupMember
}

// GroupMember is one member of a group.
type GroupMember struct {
	ID         string // unique; new whenever the member starts
	InstanceID string // name of a static member (KIP-345), or empty
	ClientID   string // Config.ClientID of the member
	Host       string // as seen by the coordinator, such as "/10.0.0.7"
	Assigned   []transport.Partition
	// Types are the types of events that the member handles, by topic. A member that uses the
	// protocol of KIP-848, or handles too many types to name them, reports only TypeIDs. A
	// member of another library, or of an older version of this one, reports nothing.
	Types map[string][]string
	// TypeIDs identify all of these types, in no order; see Handles.
	TypeIDs []uint32
}

// Handles reports whether the member handles a type of events on a topic, as far as it tells:
// by name, or by "*" for all types.
func (m *GroupMember) Handles(topic, typ string) bool {
	return slices.Contains(m.TypeIDs, uint32(grouptypes.Of(topic, typ))) ||
		slices.Contains(m.TypeIDs, uint32(grouptypes.Of(topic, grouptypes.Any)))
}

// handles sets the types that a member reports.
func (m *GroupMember) handles(t balance.Types) {
	m.Types = t.Names
	for _, id := range t.Live {
		m.TypeIDs = append(m.TypeIDs, uint32(id))
	}
}

// Group describes a group of either protocol. If the cluster has no group of that name the error
// is ErrGroupMissing.
func (a *Admin) Group(ctx context.Context, name string) (Group, error) {
	if a.err != nil {
		return Group{}, a.err
	}
	var g Group
	err := a.client.Persist(ctx, func() error {
		return a.client.AtCoordinator(ctx, name, func(broker int32) (err error) {
			g, err = describeGroup(ctx, a.client, broker, name)
			return err
		})
	})
	if err != nil {
		return Group{}, fmt.Errorf("kafka: group %q: %w", name, err)
	}
	return g, nil
}

// describeGroup asks for a group of the classic protocol and, if there is none, for one of
// KIP-848: brokers answer each request only for groups of its protocol.
func describeGroup(ctx context.Context, c *cluster.Client, coordinator int32, name string) (Group, error) {
	req := kmsg.NewPtrDescribeGroupsRequest()
	req.Groups = []string{name}
	answer, err := c.Request(ctx, coordinator, cluster.Rare(req, (*kmsg.DescribeGroupsRequest).AppendTo, (*kmsg.DescribeGroupsResponse).ReadFrom))
	if err != nil {
		return Group{}, err
	}
	described := answer.(*kmsg.DescribeGroupsResponse).Groups
	if len(described) == 0 {
		return Group{}, cluster.ErrLeftOut
	}
	d := &described[0]
	switch {
	case kerr.Error(d.ErrorCode) == kerr.GroupIDNotFound, d.ErrorCode == 0 && d.State == "Dead":
		return describeConsumerGroup(ctx, c, coordinator, name)
	case d.ErrorCode != 0:
		return Group{}, kerr.Error(d.ErrorCode)
	}
	g := Group{GroupListing: GroupListing{name, d.State, "classic"}, Coordinator: coordinator, Balancer: d.Protocol}
	for _, m := range d.Members {
		assigned, err := balance.DecodeAssignment(m.MemberAssignment)
		if err != nil {
			return Group{}, fmt.Errorf("assignment of member %q: %w", m.MemberID, err)
		}
		member := GroupMember{ID: m.MemberID, InstanceID: deref(m.InstanceID), ClientID: m.ClientID, Host: m.ClientHost, Assigned: assigned}
		if types, ok := balance.DecodeTypes(m.ProtocolMetadata); ok {
			member.handles(types)
		}
		g.Members = append(g.Members, member)
	}
	return g, nil
}

func describeConsumerGroup(ctx context.Context, c *cluster.Client, coordinator int32, name string) (Group, error) {
	req := kmsg.NewPtrConsumerGroupDescribeRequest()
	req.Groups = []string{name}
	answer, err := c.Request(ctx, coordinator, cluster.Rare(req, (*kmsg.ConsumerGroupDescribeRequest).AppendTo, (*kmsg.ConsumerGroupDescribeResponse).ReadFrom))
	if errors.Is(err, kerr.UnsupportedVersion) {
		return Group{}, ErrGroupMissing
	}
	if err != nil {
		return Group{}, err
	}
	described := answer.(*kmsg.ConsumerGroupDescribeResponse).Groups
	if len(described) == 0 {
		return Group{}, cluster.ErrLeftOut
	}
	d := &described[0]
	switch {
	case kerr.Error(d.ErrorCode) == kerr.GroupIDNotFound, kerr.Error(d.ErrorCode) == kerr.UnsupportedVersion, d.State == "Dead":
		return Group{}, ErrGroupMissing
	case d.ErrorCode != 0:
		return Group{}, kerr.Error(d.ErrorCode)
	}
	g := Group{GroupListing: GroupListing{name, d.State, "consumer"}, Coordinator: coordinator, Balancer: d.AssignorName}
	for i := range d.Members {
		m := &d.Members[i]
		member := GroupMember{ID: m.MemberID, InstanceID: deref(m.InstanceID), ClientID: m.ClientID, Host: m.ClientHost}
		member.handles(balance.Types{Live: group.ClientTypes(m.ClientID)})
		for _, topic := range m.Assignment.TopicPartitions {
			for _, p := range topic.Partitions {
				member.Assigned = append(member.Assigned, transport.Partition{Topic: topic.Topic, Partition: p})
			}
		}
		transport.SortPartitions(member.Assigned)
		g.Members = append(g.Members, member)
	}
	return g, nil
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
