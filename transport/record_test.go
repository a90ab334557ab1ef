package transport_test

import (
	"cmp"
	"math"
	"testing"

	"github.com/eventbus-go/eventbus/transport"
)

// TestCompare: by topic, then by number, whatever numbers there are.
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
