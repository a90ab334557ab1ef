package engine

import (
	"errors"
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/eventbus-go/eventbus/transport"
)

// finished returns the offsets that a commit marks as finished.
func finished(t *testing.T, a *transport.Assignment) map[int64]bool {
	t.Helper()
	p, err := decodeProgress(a)
	if err != nil {
		t.Fatal(err)
	}
	done := make(map[int64]bool)
	if p != nil {
		for _, s := range p.spans() {
			for o := s.from; o < s.to; o++ {
				done[o] = true
			}
		}
	}
	return done
}

// TestFinish finishes random offsets of a partition one by one, and compares the
// result with a set.
func TestFinish(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for range 200 {
		a := &transport.Assignment{Offset: rng.Int64N(1000), LeaderEpoch: 3, ClusterID: "c", TopicID: transport.TopicID{1}}
		first := a.Offset
		want := make(map[int64]bool)
		for range 60 {
			offset := first + rng.Int64N(80)
			commit, err := Finish(a, offset)
			if want[offset] || offset < a.Offset {
				if !errors.Is(err, errPassed) {
					t.Fatalf("finishing %d again: %v", offset, err)
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			want[offset] = true
			a.Offset, a.Metadata, a.LeaderEpoch = commit.Offset, commit.Metadata, commit.LeaderEpoch
			beyond := maps.Clone(want)
			base := first
			for ; want[base]; base++ {
				delete(beyond, base)
			}
			if a.Offset != base || !maps.Equal(finished(t, a), beyond) {
				t.Fatalf("after %d: committed %d and %v beyond, want %d and %v", offset, a.Offset, finished(t, a), base, beyond)
			}
			report, err := ReadCommit(a)
			if err != nil || report.Finished != int64(len(beyond)) {
				t.Fatalf("the report is %+v (%v), want %d finished", report, err, len(beyond))
			}
		}
	}
}

func TestReadCommit(t *testing.T) {
	a := &transport.Assignment{Offset: 7, Metadata: "somebody else's", ClusterID: "c"}
	if r, err := ReadCommit(a); err != nil || !r.Foreign {
		t.Errorf("metadata of others: %+v, %v", r, err)
	}
	commit, err := Finish(a, 9)
	if err != nil {
		t.Fatal(err)
	}
	a.Metadata, a.LeaderEpoch, a.TopicID = commit.Metadata, commit.LeaderEpoch, transport.TopicID{9}
	if _, err := ReadCommit(a); !errors.Is(err, errForeignProgress) {
		t.Errorf("metadata of another log: %v", err)
	}
}
