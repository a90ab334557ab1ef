package group

import (
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/internal/grouptypes"
)

// TestDescribeAsKmsg: this package writes the two requests, and reads their
// responses, as package kmsg does.
func TestDescribeAsKmsg(t *testing.T) {
	classic := kmsg.NewPtrDescribeGroupsRequest()
	epochs := kmsg.NewPtrConsumerGroupDescribeRequest()
	classic.Groups, epochs.Groups = []string{"g"}, []string{"g"}
	for _, want := range []kmsg.Request{classic, epochs} {
		d := &describe{group: "g", epochs: want == kmsg.Request(epochs)}
		want.SetVersion(d.MaxVersion())
		if d.Key() != want.Key() || d.IsFlexible() != want.IsFlexible() || !slices.Equal(d.AppendTo(nil), want.AppendTo(nil)) {
			t.Errorf("%s is %x, want %x", kmsg.NameForKey(d.Key()), d.AppendTo(nil), want.AppendTo(nil))
		}
	}

	old := kmsg.NewPtrDescribeGroupsResponse()
	old.Groups = []kmsg.DescribeGroupsResponseGroup{{ErrorCode: 3, Group: "g", State: "Stable", ProtocolType: "consumer", Protocol: "range",
		Members: []kmsg.DescribeGroupsResponseGroupMember{
			{MemberID: "m1", ClientID: "c1", ClientHost: "/h", ProtocolMetadata: []byte("sub1"), MemberAssignment: []byte("as")},
			{MemberID: "m2", InstanceID: new("i"), ClientID: "c2", ProtocolMetadata: []byte("sub2")},
		}}}
	old.SetVersion(describeClassic)
	d := (&describe{}).ResponseKind().(*described)
	if err := d.ReadFrom(old.AppendTo(nil)); err != nil {
		t.Fatal(err)
	}
	if d.code != 3 || d.state != "Stable" || len(d.members) != 2 || d.members[1].clientID != "c2" || string(d.members[0].subscription) != "sub1" {
		t.Errorf("read %+v", d)
	}

	newer := kmsg.NewPtrConsumerGroupDescribeResponse()
	assigned := kmsg.Assignment{TopicPartitions: []kmsg.AssignmentTopicPartition{{Topic: "t", Partitions: []int32{0, 1}}}}
	newer.Groups = []kmsg.ConsumerGroupDescribeResponseGroup{{Group: "g", State: "Stable", AssignorName: "uniform",
		Members: []kmsg.ConsumerGroupDescribeResponseGroupMember{
			{MemberID: "m1", ClientID: "c1", SubscribedTopics: []string{"t", "u"}, Assignment: assigned, TargetAssignment: assigned},
			{MemberID: "m2", ClientID: "c2"},
		}}}
	newer.SetVersion(describeEpochs)
	body := newer.AppendTo(nil)
	d = (&describe{epochs: true}).ResponseKind().(*described)
	if err := d.ReadFrom(body); err != nil {
		t.Fatal(err)
	}
	if d.code != 0 || d.state != "Stable" || len(d.members) != 2 || d.members[0].clientID != "c1" || d.members[1].clientID != "c2" {
		t.Errorf("read %+v", d)
	}
	for cut := range body {
		short := &described{epochs: true}
		if short.ReadFrom(body[:cut]) == nil {
			t.Errorf("the first %d bytes are not an error", cut)
		}
	}
}

// TestClientTypes: a client id made from types yields them, and any other client id
// yields none.
func TestClientTypes(t *testing.T) {
	var types []grouptypes.ID
	for range MaxClientTypes {
		types = append(types, grouptypes.ID(len(types)*99991))
		id := clientID("sales.types-api", types)
		if got := ClientTypes(id); !slices.Equal(got, types) || len(id) > 550 {
			t.Fatalf("%q yields %v, want %v", id, got, types)
		}
	}
	if id := clientID("sales", nil); id != "sales" {
		t.Errorf("without types the client id is %q", id)
	}
	for _, foreign := range []string{"", "sarama", ".types-", "a.types-?", "a.types-AAA", clientID("x", append(types, 1))} {
		if got := ClientTypes(foreign); len(got) > 0 {
			t.Errorf("%q yields %v", foreign, got)
		}
	}
}
