package group

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	franzerr "github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/kafka/internal/bed"
	"github.com/eventbus-go/eventbus/transport"
)

// TestCommitRetries: a commit is repeated after a coordinator's temporary errors,
// and returns permanent ones.
func TestCommitRetries(t *testing.T) {
	bed.Bubble(t, 2, func(t *testing.T, b *bed.Bed) {
		r := startReader(b, newLedger())
		r.awaitOwned(2)
		for _, e := range []*franzerr.Error{franzerr.RebalanceInProgress, franzerr.CoordinatorLoadInProgress, franzerr.NotCoordinator, franzerr.RequestTimedOut, franzerr.UnknownTopicOrPartition} {
			b.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Group: "group", Err: e})
		}
		if err := r.commit(t.Context(), func(transport.Partition) bool { return true }); err != nil {
			t.Error(err)
		}
		always := b.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Group: "group", Err: franzerr.OffsetMetadataTooLarge, Count: -1})
		defer always.Remove()
		err := r.commit(t.Context(), func(p transport.Partition) bool { return p.Partition == 1 })
		failed, ok := errors.AsType[*transport.CommitError](err)
		if !ok || len(failed.Partitions) != 1 || !errors.Is(err, transport.ErrMetadataTooLarge) {
			t.Errorf("commit: %v", err)
		}
		if len(r.heard) != 1 {
			t.Errorf("heard %q", r.heard)
		}
	})
}

// TestCommitSplits: commits are split into requests that the coordinator accepts.
func TestCommitSplits(t *testing.T) {
	bed.Bubble(t, 200, func(t *testing.T, b *bed.Bed) {
		r := startReader(b, newLedger())
		r.awaitOwned(200)
		var requests, largest atomic.Int64
		b.ControlKey(int16(kmsg.OffsetCommit), func(req kmsg.Request) (kmsg.Response, error, bool) {
			b.KeepControl()
			requests.Add(1)
			largest.Store(max(largest.Load(), int64(len(req.AppendTo(nil)))))
			return nil, nil, false
		})
		var commits []transport.Commit
		for p, s := range r.owned {
			commits = append(commits, transport.Commit{Partition: p, Epoch: s.epoch, LeaderEpoch: -1, Metadata: strings.Repeat("m", 4096)})
		}
		if err := r.Commit(t.Context(), commits...); err != nil {
			t.Fatal(err)
		}
		if requests.Load() < 2 || largest.Load() > commitBytes {
			t.Errorf("%d requests, the largest of %d bytes", requests.Load(), largest.Load())
		}
	})
}
