package balance

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/internal/grouptypes"
	"github.com/eventbus-go/eventbus/transport"
)

// subscription returns a member's subscription with types, as in JoinGroup.
func subscription(b *Balancer, topics []string, t *Types) []byte {
	return b.Metadata(topics, []transport.Partition{{Topic: topics[0], Partition: 2}}, 7, "", t)
}

func told(names map[string][]string) *Types {
	return &Types{Names: names, Live: grouptypes.All(names)}
}

// TestTypesTold: types that a member sends reach the leader, and those that the leader
// sends reach the members, with either kind of balancer.
func TestTypesTold(t *testing.T) {
	names := map[string][]string{"a": {"V2", "Moved"}, "b": {"Order"}}
	left := time.Unix(1_700_000_000, 0)
	for _, name := range []string{"range", "roundrobin", "cooperative-sticky"} {
		types := told(names)
		types.Gone = []grouptypes.Gone{{ID: 5, At: left}}
		m := kmsg.NewJoinGroupResponseMember()
		m.ProtocolMetadata = subscription(ByName(name), []string{"a", "b", "c"}, types)
		member, err := ReadMember(&m)
		if err != nil {
			t.Fatal(err)
		}
		got := member.Types
		if !slices.Equal(grouptypes.Sorted(got.Live), types.Live) || len(got.Gone) != 1 || got.Gone[0].ID != 5 || !got.Gone[0].At.Equal(left) {
			t.Errorf("%s: read %+v, want %+v", name, got, types)
		}
		if len(got.Names["a"]) != 2 || !slices.Equal(got.Names["b"], []string{"Order"}) {
			t.Errorf("%s: names %v", name, got.Names)
		}
		if shown, ok := DecodeTypes(m.ProtocolMetadata); !ok || len(shown.Live) != 3 {
			t.Errorf("%s: described as %+v", name, shown)
		}
		all := Union([]Member{member, {Types: Types{Live: []grouptypes.ID{9}}}})
		all.Known = Digest(got.Live)
		back, ok := DecodeAssignmentTypes(EncodeAssignment(nil, &all))
		if !ok || len(back.Live) != 4 || len(back.Gone) != 1 || back.Known != Digest(types.Live) {
			t.Errorf("%s: assigned %+v", name, back)
		}
	}
}

// TestTypesForOthers: other libraries, and versions of this one that didn't send types,
// read a subscription as before.
func TestTypesForOthers(t *testing.T) {
	raw := subscription(ByName("cooperative-sticky"), []string{"a"}, told(map[string][]string{"a": {"V2"}}))
	m := kmsg.NewConsumerMemberMetadata()
	if err := m.ReadFrom(raw); err != nil {
		t.Fatal(err)
	}
	// CooperativeStickyAssignor reads an int32 and ignores the rest; from version 2 of
	// the subscription on it uses the field.
	if binary.BigEndian.Uint32(m.UserData) != 7 || m.Generation != 7 || len(m.OwnedPartitions) != 1 {
		t.Errorf("others read generation %d, user data %x, owned %v", m.Generation, m.UserData, m.OwnedPartitions)
	}
	for _, name := range []string{"range", "roundrobin"} {
		if err := m.ReadFrom(subscription(ByName(name), []string{"a"}, &Types{})); err != nil || m.UserData != nil {
			t.Errorf("%s: user data %x without types, %v", name, m.UserData, err)
		}
	}
	foreign := kmsg.NewJoinGroupResponseMember()
	for _, userData := range [][]byte{nil, {}, {0, 0, 0, 9}, []byte("anything else, such as StickyAssignor's"), []byte("\x00\x00\x00\x09ebusX")} {
		m.Version, m.Generation, m.UserData = 1, -1, userData
		foreign.ProtocolMetadata = m.AppendTo(nil)
		member, err := ReadMember(&foreign)
		if err != nil || len(member.Types.Live) != 0 {
			t.Errorf("user data %q: %+v, %v", userData, member, err)
		}
	}
	if _, ok := DecodeAssignmentTypes(nil); ok {
		t.Error("an empty assignment tells types")
	}
}

// TestTypesUnknownSection: sections of later versions are skipped.
func TestTypesUnknownSection(t *testing.T) {
	b := told(map[string][]string{"a": {"V2"}}).appendTo(nil, []string{"a"})
	b = appendSection(b, 200, []byte("of a later version"))
	if got, ok := readTypes(b, []string{"a"}); !ok || len(got.Live) != 1 {
		t.Errorf("read %+v, %v", got, ok)
	}
}

// TestTypesBounded: many types are sent by ID, in bounded space, and the same types
// make the same bytes.
func TestTypesBounded(t *testing.T) {
	names := map[string][]string{}
	for i := range 3000 {
		topic := []string{"a", "b"}[i%2]
		names[topic] = append(names[topic], fmt.Sprintf("a-type-of-some-length-%d", i))
	}
	topics := slices.Sorted(maps.Keys(names))
	b := told(names).appendTo(nil, topics)
	got, ok := readTypes(b, topics)
	if !ok || got.Names != nil || len(got.Live) != 3000 || len(b) > 4*3000+100 {
		t.Errorf("%d bytes, %d types, names %t", len(b), len(got.Live), got.Names != nil)
	}
	rand.Shuffle(len(names["a"]), func(i, k int) { names["a"][i], names["a"][k] = names["a"][k], names["a"][i] })
	if again := told(names).appendTo(nil, topics); !slices.Equal(again, b) {
		t.Error("the same types make other bytes")
	}
	few := map[string][]string{"a": {"x", "y", "z"}}
	b = told(few).appendTo(nil, topics)
	slices.Reverse(few["a"])
	if again := told(few).appendTo(nil, topics); !slices.Equal(again, b) {
		t.Error("the same names make other bytes")
	}
}

// FuzzTypes: nothing that a member sends takes memory out of proportion to its size, or
// panics.
func FuzzTypes(f *testing.F) {
	f.Add(told(map[string][]string{"a": {"V2", "Moved"}}).appendTo(nil, []string{"a"}))
	f.Add([]byte(marker + "\x01\xff\xff\xff\xff\x0f"))
	f.Add([]byte(marker + "\x01\x08\x01\x00\xff\xff\xff\xff\x0f\x00"))
	f.Add([]byte(marker + "\x02\x03abc"))
	f.Add([]byte(marker + strings.Repeat("\x03\x05\x00\x00\x00\x01\x01", 2000)))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, _ := readTypes(b, []string{"a", "b"})
		if len(got.Live) > min(len(b), grouptypes.MaxLive) || len(got.Gone) > grouptypes.MaxGone {
			t.Errorf("%d bytes make %d types and %d gone", len(b), len(got.Live), len(got.Gone))
		}
	})
}
