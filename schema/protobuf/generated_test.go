package protobuf_test

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/schema/internal/testdata/ordersvt"
	"github.com/eventbus-go/eventbus/schema/protobuf"
	"github.com/eventbus-go/eventbus/schema/registry"
)

// Generated methods write and read the same data as Google's runtime.
func TestGeneratedMethods(t *testing.T) {
	want := &ordersvt.OrderPlaced{
		OrderId: "o-1", Total: &ordersvt.Money{Currency: "EUR", Cents: -995}, PlacedAt: timestamppb.New(time.Unix(1700000000, 1000)),
		Lines: []*ordersvt.OrderPlaced_Line{{Sku: "a", Count: 2}, {}}, Labels: map[string]string{"x": "1"},
	}
	c := protobuf.Codec[*ordersvt.OrderPlaced](nil, registry.None)
	plain, err := proto.MarshalOptions{Deterministic: true}.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	for _, room := range [][]byte{nil, []byte("before"), append(make([]byte, 0, 1000), "before"...)} {
		data, err := c.Encode(t.Context(), room, new(eventbus.Envelope), want)
		if err != nil || string(data) != string(room)+string(plain) {
			t.Errorf("% x, %v, want % x behind %q", data, err, plain, room)
		}
	}
	var got ordersvt.OrderPlaced
	if err := c.Decode(t.Context(), &eventbus.Envelope{Data: plain}, &got); err != nil || !proto.Equal(&got, want) {
		t.Errorf("%v, %v", &got, err)
	}
	for n := range plain { // truncated data never panics
		_ = c.Decode(t.Context(), &eventbus.Envelope{Data: plain[:n]}, new(ordersvt.OrderPlaced))
	}
	if allocations := testing.AllocsPerRun(100, func() {
		if _, err := c.Encode(t.Context(), plain[:0], new(eventbus.Envelope), want); err != nil {
			t.Error(err)
		}
	}); allocations > 1 { // the envelope
		t.Errorf("encoding allocates %v times: Google's runtime did it", allocations)
	}
}

// Very deeply nested data is an error, although generated code would overflow the
// stack.
func TestDepthIsBounded(t *testing.T) {
	t.Parallel()
	const depth = 20_000
	var reversed []byte // built from the end, since the length of a message comes before it
	for range depth {
		size := binary.AppendUvarint(nil, uint64(len(reversed)))
		slices.Reverse(size)
		reversed = append(append(reversed, size...), 2<<3|2)
	}
	slices.Reverse(reversed)
	c := protobuf.Codec[*ordersvt.Tree](nil, registry.None)
	if err := c.Decode(t.Context(), &eventbus.Envelope{Data: reversed}, new(ordersvt.Tree)); err == nil || !strings.Contains(err.Error(), "depth") {
		t.Errorf("a tree of %d levels: %v", depth, err)
	}
	shallow := &ordersvt.Tree{Name: "a", Children: []*ordersvt.Tree{{Name: "b"}}}
	data, err := c.Encode(t.Context(), nil, new(eventbus.Envelope), shallow)
	var got ordersvt.Tree
	if err == nil {
		err = c.Decode(t.Context(), &eventbus.Envelope{Data: data}, &got)
	}
	if err != nil || !proto.Equal(&got, shallow) {
		t.Errorf("%v, %v", &got, err)
	}
}
