package fetch

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/kafka/internal/bed"
	"github.com/eventbus-go/eventbus/kafka/internal/bedclient"
	"github.com/eventbus-go/eventbus/transport"
)

// TestKnownBesideUnasked: a partition with a known leader is read even while the metadata of
// other topics can't be requested.
func TestKnownBesideUnasked(t *testing.T) {
	bed.Bubble(t, 1, func(t *testing.T, b *bed.Bed) {
		if _, err := bedclient.Of(b).Topic(t.Context(), "events"); err != nil {
			t.Fatal(err)
		}
		b.ControlKey(int16(kmsg.Metadata), func(req kmsg.Request) (kmsg.Response, error, bool) {
			b.KeepControl()
			lost := slices.ContainsFunc(req.(*kmsg.MetadataRequest).Topics, func(t kmsg.MetadataRequestTopic) bool { return *t.Topic != "events" })
			return nil, errors.New("lost"), lost
		})
		serve(b, 1, func(offset int64) []byte {
			if offset > 0 {
				return nil
			}
			return aBatch(0, "a")
		})
		unasked := []transport.Assignment{
			{Partition: transport.Partition{Topic: "absent"}, LeaderEpoch: -1},
			{Partition: transport.Partition{Topic: "missing"}, LeaderEpoch: -1},
		}
		f := startMember(b, "", slog.New(slog.DiscardHandler), nobody{}, unasked...)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // the clock is the bubble's
		defer cancel()
		batches, err := f.Await(ctx, f.Ctx.Done())
		if err != nil || len(batches) != 1 || len(batches[0].Records) != 1 {
			t.Errorf("%+v, %v", batches, err)
		}
	})
}
