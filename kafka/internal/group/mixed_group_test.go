package group

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/kafka/internal/balance"
	"github.com/eventbus-go/eventbus/kafka/internal/bed"
)

// describedByBoth makes the coordinator answer as for a group whose members use both protocols:
// it describes the group only in that of KIP-848.
func describedByBoth(b *bed.Bed, members func() []kmsg.ConsumerGroupDescribeResponseGroupMember) {
	b.ControlKey(int16(kmsg.DescribeGroups), func(req kmsg.Request) (kmsg.Response, error, bool) {
		b.KeepControl()
		resp := req.ResponseKind().(*kmsg.DescribeGroupsResponse)
		resp.Groups = []kmsg.DescribeGroupsResponseGroup{{Group: "group", State: "Dead"}}
		return resp, nil, true
	})
	b.ControlKey(int16(kmsg.ConsumerGroupDescribe), func(req kmsg.Request) (kmsg.Response, error, bool) {
		b.KeepControl()
		shown := members()
		if shown == nil {
			return nil, nil, false
		}
		resp := req.ResponseKind().(*kmsg.ConsumerGroupDescribeResponse)
		resp.Groups = []kmsg.ConsumerGroupDescribeResponseGroup{{Group: "group", State: "Stable", Members: shown}}
		return resp, nil, true
	})
}

// TestCompanionInMixedGroup: members that use the classic protocol read their companions even
// after others have gone over to KIP-848, when the coordinator calls the group dead in the
// classic protocol.
func TestCompanionInMixedGroup(t *testing.T) {
	bed.Bubble(t, 2, func(t *testing.T, b *bed.Bed) {
		if err := b.CreateTopic("again", 2, nil); err != nil {
			t.Fatal(err)
		}
		describedByBoth(b, func() []kmsg.ConsumerGroupDescribeResponseGroupMember {
			return []kmsg.ConsumerGroupDescribeResponseGroupMember{{MemberID: "one", ClientID: "eventbus", SubscribedTopics: []string{"events"}}}
		})
		r := startReader(b, newLedger(), withCompanion)
		together(t, 2, 2, r)
	})
}

// TestTypesInMixedGroup: a member that uses KIP-848 can't see the types of a member that uses
// the classic protocol. While there is one in the group, no type counts as one that nobody
// handles. A member that uses the classic protocol sees the types of those that use KIP-848.
func TestTypesInMixedGroup(t *testing.T) {
	for _, epochs := range []bool{true, false} {
		bed.Bubble(t, 2, func(t *testing.T, b *bed.Bed) {
			membershipOf(b).ConsumerProtocol = epochs
			var alone atomic.Bool
			other := newGroupTypes(map[string][]string{"events": {"Moved"}})
			describedByBoth(b, func() []kmsg.ConsumerGroupDescribeResponseGroupMember {
				if alone.Load() {
					return nil
				}
				return []kmsg.ConsumerGroupDescribeResponseGroupMember{
					{MemberID: "classic", ClientID: "eventbus"},
					{MemberID: "older", ClientID: "eventbus"},
					{MemberID: "newer", ClientID: clientID("eventbus", other.own)},
				}
			})
			if !epochs { // the assignment is not a leader's of this library
				b.ControlKey(int16(kmsg.SyncGroup), func(req kmsg.Request) (kmsg.Response, error, bool) {
					b.KeepControl()
					for i := range req.(*kmsg.SyncGroupRequest).GroupAssignment {
						share := &req.(*kmsg.SyncGroupRequest).GroupAssignment[i]
						partitions, _ := balance.DecodeAssignment(share.MemberAssignment)
						share.MemberAssignment = balance.EncodeAssignment(partitions, &balance.Types{})
					}
					return nil, nil, false
				})
			}
			r := startReader(b, newLedger(), handling("", "V2"))
			r.awaitOwned(2)
			r.awaitLive("Moved", true)
			for range 20 {
				if s := r.TypeState("events", "Old"); s.Known {
					t.Fatalf("a type that a silent member may handle is %+v", s)
				}
				time.Sleep(time.Second) // the clock is the bubble's
			}
			if !epochs {
				return
			}
			alone.Store(true)
			r.awaitLive("Old", false)
		})
	}
}
