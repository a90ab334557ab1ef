package transport_test

import (
	"cmp"
	"math"
	"testing"
	"unsafe"

	"github.com/eventbus-go/eventbus/transport"
)

// TestCompare: the order is by topic, then by number, with any numbers.
func TestCompare(t *testing.T) {
	sorted := []transport.Partition{
		{}, {Topic: "a", Partition: math.MinInt32}, {Topic: "a", Partition: -1}, {Topic: "a", Partition: 2}, {Topic: "a", Partition: 10},
		{Topic: "a", Partition: math.MaxInt32}, {Topic: "a.b"}, {Topic: "b"},
	}
	for i, p := range sorted {
		for j, q := range sorted {
			if got, want := p.Compare(q), cmp.Compare(i, j); got != want {
				t.Errorf("%v compared with %v is %d, want %d", p, q, got, want)
			}
		}
	}
}

// TestRecordSize compares Size with what records and headers take, since the bounds
// of consumers and producers depend on it.
func TestRecordSize(t *testing.T) {
	if unsafe.Sizeof(uintptr(0)) != 8 {
		t.Skip("sizes are those of a 64-bit machine")
	}
	r := transport.Record{Key: make([]byte, 3), Value: make([]byte, 5)}
	if got, want := r.Size(), int(unsafe.Sizeof(r))+8; got != want {
		t.Errorf("a record takes %d bytes, want %d", got, want)
	}
	without := r.Size()
	r.Headers = []transport.Header{{Key: "k", Value: []byte("vw")}, {}}
	if got, want := r.Size()-without, 2*int(unsafe.Sizeof(transport.Header{}))+3; got != want {
		t.Errorf("its headers take %d bytes, want %d", got, want)
	}
}
