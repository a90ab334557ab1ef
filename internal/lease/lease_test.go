package lease

import (
	"slices"
	"strings"
	"testing"

	"github.com/eventbus-go/eventbus/transport"
)

func lent() (*Lease, []transport.Record, transport.Record) {
	records := []transport.Record{
		{Key: []byte("customer-1"), Value: []byte(strings.Repeat("v", 200)), Headers: []transport.Header{{Key: "ce_id", Value: []byte("17")}}},
		{Value: []byte{}},
	}
	l := Of(records)
	return l, records, records[0]
}

// TestRelease: everything that was kept is overwritten, field by field, including a
// header's key.
func TestRelease(t *testing.T) {
	l, records, kept := lent()
	if string(kept.Key) != "customer-1" || records[1].Key != nil || records[1].Value == nil || records[1].Headers != nil {
		t.Fatalf("the copies are %+v", records)
	}
	if !l.Release() {
		t.Error("memory that nobody wrote to counts as changed")
	}
	if want := Words[:10]; string(kept.Key) != want {
		t.Errorf("the kept key is %q, want %q", kept.Key, want)
	}
	if kept.Headers[0].Key != Words[:5] || string(kept.Headers[0].Value) != Words[:2] {
		t.Errorf("the kept header is %q", kept.Headers[0])
	}
	if want := strings.Repeat(Words, 4)[:200]; string(kept.Value) != want {
		t.Errorf("the kept value is %q", kept.Value)
	}
	if slices.ContainsFunc(records, func(r transport.Record) bool { return r.Value != nil }) {
		t.Error("the records were not cleared")
	}
}

func TestReleaseFindsChanges(t *testing.T) {
	l, _, kept := lent()
	kept.Value[3] = 'x'
	if l.Release() {
		t.Error("a changed value passed as intact")
	}
}

func TestReleaseTwice(t *testing.T) {
	l, _, _ := lent()
	l.Release()
	defer func() {
		if recover() == nil {
			t.Error("a second release passed")
		}
	}()
	l.Release()
}
