package fetch

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/kafka/internal/bed"
	"github.com/eventbus-go/eventbus/kafka/internal/bedclient"
	"github.com/eventbus-go/eventbus/kafka/internal/cluster"
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

// TestLeftOut: a partition that fetch responses don't mention is requested less and less often,
// its status says why, and it is read once they do.
func TestLeftOut(t *testing.T) {
	bed.Bubble(t, 1, func(t *testing.T, b *bed.Bed) {
		var mentions atomic.Bool
		var asked atomic.Int64
		b.ControlKey(int16(kmsg.Fetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
			b.KeepControl()
			resp := req.ResponseKind().(*kmsg.FetchResponse)
			of := req.(*kmsg.FetchRequest).Topics[0].Partitions[0]
			switch {
			case !mentions.Load():
				asked.Add(1)
				time.Sleep(time.Millisecond) // the clock is the bubble's
			case of.FetchOffset > 0:
				return nil, nil, true // an idle broker holds the fetch
			default:
				topic := kmsg.NewFetchResponseTopic()
				topic.Topic = "events"
				part := kmsg.NewFetchResponseTopicPartition()
				part.HighWatermark, part.LastStableOffset = 1, 1
				part.RecordBatches = aBatch(0, "a")
				topic.Partitions = append(topic.Partitions, part)
				resp.Topics = append(resp.Topics, topic)
			}
			return resp, nil, true
		})
		f := startMember(b, "", slog.New(slog.DiscardHandler), nobody{})
		time.Sleep(10 * time.Second)
		if n := asked.Load(); n > 50 {
			t.Errorf("%d requests in ten seconds", n)
		}
		if err := f.Status()[0].Err; !errors.Is(err, cluster.ErrLeftOut) {
			t.Errorf("the status says %v", err)
		}
		mentions.Store(true)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		batches, err := f.Await(ctx, f.Ctx.Done())
		if err != nil || len(batches) != 1 || len(batches[0].Records) != 1 {
			t.Errorf("%+v, %v", batches, err)
		}
	})
}

// TestThrottled: when a client exceeds its quota, Kafka's brokers answer fetches with a wait and
// nothing else. That is no failure of its partitions, and no reason to leave a replica.
func TestThrottled(t *testing.T) {
	bed.Bubble(t, 1, func(t *testing.T, b *bed.Bed) {
		near := (b.LeaderFor("events", 0) + 1) % 3
		b.SetFollowers("events", 0, []int32{near})
		var fromLeader, throttled atomic.Int64
		b.ControlKey(int16(kmsg.Fetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
			b.KeepControl()
			asked := req.(*kmsg.FetchRequest)
			resp := asked.ResponseKind().(*kmsg.FetchResponse)
			offset := asked.Topics[0].Partitions[0].FetchOffset
			if b.CurrentNode() == near && throttled.Add(1) <= 3 {
				resp.ThrottleMillis = 1000
				return resp, nil, true
			}
			topic := kmsg.NewFetchResponseTopic()
			topic.Topic = "events"
			part := kmsg.NewFetchResponseTopicPartition()
			part.HighWatermark, part.LastStableOffset = 1, 1
			switch {
			case b.CurrentNode() != near:
				fromLeader.Add(1)
				part.PreferredReadReplica = near
			case offset > 0:
				return nil, nil, true // an idle broker holds the fetch
			default:
				part.RecordBatches = aBatch(0, "a")
			}
			topic.Partitions = append(topic.Partitions, part)
			resp.Topics = append(resp.Topics, topic)
			return resp, nil, true
		})
		f := startMember(b, "here", slog.New(slog.DiscardHandler), nobody{})
		time.Sleep(1500 * time.Millisecond) // the clock is the bubble's
		if err := f.Status()[0].Err; err != nil {
			t.Errorf("the status says %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		batches, err := f.Await(ctx, f.Ctx.Done())
		if err != nil || len(batches) != 1 || fromLeader.Load() != 1 {
			t.Errorf("%+v, %v, and %d fetches from the leader", batches, err, fromLeader.Load())
		}
	}, bed.ThreeBrokers()...)
}

// TestReplicaBehind: a replica that answers but no longer follows its leader is left for it soon
// after the leader has noticed.
func TestReplicaBehind(t *testing.T) {
	bed.Bubble(t, 1, func(t *testing.T, b *bed.Bed) {
		near := (b.LeaderFor("events", 0) + 1) % 3
		b.SetFollowers("events", 0, []int32{near})
		begun, notices := time.Now(), 30*time.Second // replica.lag.time.max.ms
		b.ControlKey(int16(kmsg.Fetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
			b.KeepControl()
			asked := req.(*kmsg.FetchRequest)
			resp := asked.ResponseKind().(*kmsg.FetchResponse)
			topic := kmsg.NewFetchResponseTopic()
			topic.Topic = "events"
			part := kmsg.NewFetchResponseTopicPartition()
			part.HighWatermark, part.LastStableOffset = 1, 1
			switch {
			case b.CurrentNode() == near:
				time.Sleep(fetchWait) // the clock is the bubble's
			case time.Since(begun) < notices:
				part.PreferredReadReplica = near
			case asked.Topics[0].Partitions[0].FetchOffset > 0:
				return nil, nil, true // an idle broker holds the fetch
			default:
				part.RecordBatches = aBatch(0, "a")
			}
			topic.Partitions = append(topic.Partitions, part)
			resp.Topics = append(resp.Topics, topic)
			return resp, nil, true
		})
		f := startMember(b, "here", slog.New(slog.DiscardHandler), nobody{})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		if _, err := f.Await(ctx, f.Ctx.Done()); err != nil || time.Since(begun) > notices+replicaIdle+2*fetchWait {
			t.Errorf("the record came after %s, %v", time.Since(begun), err)
		}
	}, bed.ThreeBrokers()...)
}
