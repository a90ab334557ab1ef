package eventid_test

import (
	"testing"

	"github.com/eventbus-go/eventbus/internal/eventid"
)

// TestDerivedVectors: members of different versions must derive the same ids from an event,
// so the function never changes; and fields don't run into each other.
func TestDerivedVectors(t *testing.T) {
	of := eventid.Origin{Group: "billing-prod", Source: "urn:shop", ID: "e-1"}
	digest := func(of eventid.Origin, fields []string, bytes ...[]byte) eventid.Sum {
		d := eventid.NewDigest(of)
		for _, f := range fields {
			d.Add(f)
		}
		for _, b := range bytes {
			d.AddBytes(b)
		}
		return d.Sum()
	}
	sum := digest(of, []string{"prod.shop.public.orders.v1", "OrderPlaced"}, []byte("k"), nil)
	if first, second := sum.ID(0), sum.ID(1); first != "d04d63ac-c4cf-8286-a54d-f86d4e5aed06" || second != "dfeab841-6728-8c3b-8d37-093028bdd13f" {
		t.Errorf("the ids are %s and %s", first, second)
	}
	seen := map[eventid.Sum]int{}
	for i, s := range []eventid.Sum{
		digest(of, nil), digest(eventid.Origin{Group: "billing-pro", Source: "durn:shop", ID: "e-1"}, nil),
		digest(of, []string{"ab", "c"}), digest(of, []string{"a", "bc"}), digest(of, []string{"abc"}),
		digest(of, nil, nil), digest(of, nil, []byte{}), digest(of, nil, nil, []byte{}), digest(of, nil, []byte{}, nil),
	} {
		if other, twice := seen[s]; twice {
			t.Errorf("digests %d and %d are equal", other, i)
		}
		seen[s] = i
	}
}
