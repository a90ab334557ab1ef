package group

import (
	"encoding/binary"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	franzerr "github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/kafka/internal/batch"
	"github.com/eventbus-go/eventbus/kafka/internal/bed"
	"github.com/eventbus-go/eventbus/kafka/internal/fetch"
	"github.com/eventbus-go/eventbus/transport"
)

// TestFetchSurvives: whatever happens to leaders and connections, each record is read
// once and in order.
func TestFetchSurvives(t *testing.T) {
	leaders := func(b *bed.Bed) {
		for n := range int32(4) {
			if err := b.MoveTopicPartition("events", n, (b.LeaderFor("events", n)+1)%3); err != nil {
				b.T.Fatal(err)
			}
		}
	}
	for name, hit := range map[string]func(b *bed.Bed){
		"leaders move": leaders,
		"leaders move and move": func(b *bed.Bed) {
			for range 5 {
				leaders(b)
				time.Sleep(100 * time.Millisecond)
			}
		},
		"responses are cut": func(b *bed.Bed) {
			var left atomic.Int32
			left.Store(10)
			b.Wires.OnResponse(func(response []byte) bool { return len(response) > 100 && left.Add(-1) >= 0 })
		},
		"a broker is away": func(b *bed.Bed) {
			addr := b.ListenAddrs()[0]
			b.Wires.SetDown(addr, true)
			time.Sleep(3 * time.Second)
			b.Wires.SetDown(addr, false)
		},
		"leader epochs are unknown": func(b *bed.Bed) {
			b.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: "events", Err: franzerr.UnknownLeaderEpoch, Count: 5},
				kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: "events", Err: franzerr.FencedLeaderEpoch, Count: 5})
		},
		"fetches fail": func(b *bed.Bed) {
			for _, e := range []*franzerr.Error{franzerr.UnknownServerError, franzerr.KafkaStorageError, franzerr.UnknownTopicOrPartition, franzerr.TopicAuthorizationFailed, franzerr.CorruptMessage} {
				b.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: "events", Err: e, Count: 2})
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			bed.Bubble(t, 4, func(t *testing.T, b *bed.Bed) {
				l := newLedger()
				r := startReader(b, l)
				r.awaitOwned(4)
				stop := b.Flow(startProducer(b, transport.ProducerConfig{}), 4, 5*time.Millisecond)
				l.await(t, 40)
				hit(b)
				time.Sleep(time.Second)
				n := stop()
				l.await(t, n)
				l.equals(b, 4)
				if len(r.heard) != 1 {
					t.Errorf("heard %q", r.heard)
				}
				for _, p := range r.Status().Partitions {
					if p.Err != nil {
						t.Errorf("%v: %v", p.Partition, p.Err)
					}
				}
			}, bed.ThreeBrokers()...)
		})
	}
}

// TestFetchSilentBroker: partitions that move away from a frozen broker are read
// from the next leader long before the request would time out.
func TestFetchSilentBroker(t *testing.T) {
	bed.Bubble(t, 4, func(t *testing.T, b *bed.Bed) {
		l := newLedger()
		r := startReader(b, l)
		r.awaitOwned(4)
		stop := b.Flow(startProducer(b, transport.ProducerConfig{}), 4, 5*time.Millisecond)
		l.await(t, 40)
		silent := b.LeaderFor("events", 0)
		b.ControlKey(int16(kmsg.Fetch), func(kmsg.Request) (kmsg.Response, error, bool) {
			b.KeepControl()
			return nil, nil, b.CurrentNode() == silent
		})
		time.Sleep(time.Second)
		begun := time.Now()
		for n := range int32(4) {
			if b.LeaderFor("events", n) == silent {
				if err := b.MoveTopicPartition("events", n, (silent+1)%3); err != nil {
					t.Fatal(err)
				}
			}
		}
		l.await(t, stop())
		l.equals(b, 4)
		if took := time.Since(begun); took > 2*fetch.SilentAfter { // the clock is the bubble's
			t.Errorf("took %s", took)
		}
	}, bed.ThreeBrokers()...)
}

// TestFetchTruncated: a consumer asks a new leader whether its log still has what was
// read (KIP-320), and never silently reads other records instead.
func TestFetchTruncated(t *testing.T) {
	bed.Bubble(t, 1, func(t *testing.T, b *bed.Bed) {
		l := newLedger()
		r := startReader(b, l)
		p := startProducer(b, transport.ProducerConfig{})
		for n := range 10 {
			b.Delivered(b.Publish(p, 0, fmt.Sprint(n)))
		}
		l.await(t, 10)
		b.ControlKey(int16(kmsg.OffsetForLeaderEpoch), func(req kmsg.Request) (kmsg.Response, error, bool) {
			asked := req.(*kmsg.OffsetForLeaderEpochRequest)
			resp := asked.ResponseKind().(*kmsg.OffsetForLeaderEpochResponse)
			topic := kmsg.NewOffsetForLeaderEpochResponseTopic()
			topic.Topic = asked.Topics[0].Topic
			part := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
			part.LeaderEpoch, part.EndOffset = asked.Topics[0].Partitions[0].LeaderEpoch, 7
			topic.Partitions = append(topic.Partitions, part)
			resp.Topics = append(resp.Topics, topic)
			return resp, nil, true
		})
		if err := b.MoveTopicPartition("events", 0, (b.LeaderFor("events", 0)+1)%3); err != nil {
			t.Fatal(err)
		}
		r.awaitHeard("assigned 0", "skipped 0 from 10 to 7: "+fetch.ErrTruncated.Error())
		l.await(t, 13)
		if got := strings.Join(l.taken[0][10:], " "); got != "7 8 9" {
			t.Errorf("took %s again", got)
		}
	}, bed.ThreeBrokers()...)
}

// TestFetchDoubtOfOne: if a leader doesn't say where the log of one partition ends, its
// other partitions are not held up, whether the log may be truncated or the position is
// out of range.
func TestFetchDoubtOfOne(t *testing.T) {
	t.Run("truncated", func(t *testing.T) {
		bed.Bubble(t, 3, func(t *testing.T, b *bed.Bed) {
			move := func(to int32) {
				for n := range int32(3) {
					if err := b.MoveTopicPartition("events", n, to); err != nil {
						t.Fatal(err)
					}
				}
			}
			move(0)
			l := newLedger()
			r := startReader(b, l)
			p := startProducer(b, transport.ProducerConfig{})
			for n := range int32(3) {
				b.Delivered(b.Publish(p, n, "before"))
			}
			l.await(t, 3)
			var asked [3]atomic.Int32
			b.ControlKey(int16(kmsg.OffsetForLeaderEpoch), func(req kmsg.Request) (kmsg.Response, error, bool) {
				b.KeepControl()
				resp := req.ResponseKind().(*kmsg.OffsetForLeaderEpochResponse)
				topic := kmsg.NewOffsetForLeaderEpochResponseTopic()
				topic.Topic = "events"
				for _, p := range req.(*kmsg.OffsetForLeaderEpochRequest).Topics[0].Partitions {
					asked[p.Partition].Add(1)
					part := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
					part.Partition, part.EndOffset = p.Partition, -1
					if p.Partition == 1 {
						part.ErrorCode = franzerr.UnknownLeaderEpoch.Code
					}
					topic.Partitions = append(topic.Partitions, part)
				}
				resp.Topics = append(resp.Topics, topic)
				return resp, nil, true
			})
			move(1)
			for n := range int32(3) {
				b.Delivered(b.Publish(p, n, "after"))
			}
			l.await(t, 5)
			for n := range asked {
				if again := asked[n].Load() > 1; n != 1 && again {
					t.Errorf("partition %d was in doubt again", n)
				}
			}
			for _, p := range r.Status().Partitions {
				if (p.Err != nil) != (p.Partition.Partition == 1) {
					t.Errorf("%v: %v", p.Partition, p.Err)
				}
			}
		}, bed.ThreeBrokers()...)
	})
	t.Run("out of range", func(t *testing.T) {
		bed.Bubble(t, 3, func(t *testing.T, b *bed.Bed) {
			l := newLedger()
			first := startReader(b, l)
			first.awaitOwned(3)
			first.mu.Lock()
			for _, s := range first.owned {
				s.next = 5 // beyond the end; committed when it is closed
			}
			first.mu.Unlock()
			first.close()
			b.ControlKey(int16(kmsg.ListOffsets), func(req kmsg.Request) (kmsg.Response, error, bool) {
				b.KeepControl()
				asked := req.(*kmsg.ListOffsetsRequest)
				resp := asked.ResponseKind().(*kmsg.ListOffsetsResponse)
				topic := kmsg.NewListOffsetsResponseTopic()
				topic.Topic = "events"
				for _, p := range asked.Topics[0].Partitions {
					part := kmsg.NewListOffsetsResponseTopicPartition()
					part.Partition, part.Offset = p.Partition, 0
					if p.Partition == 1 {
						part.ErrorCode = franzerr.LeaderNotAvailable.Code
					}
					topic.Partitions = append(topic.Partitions, part)
				}
				resp.Topics = append(resp.Topics, topic)
				return resp, nil, true
			})
			second := startReader(b, l)
			second.await("the healthy partitions to move to the start", func() bool {
				heard := strings.Join(second.heard, " ")
				return strings.Contains(heard, "skipped 0") && strings.Contains(heard, "skipped 2")
			})
		})
	})
}

// TestFetchDamaged: records that were damaged on the way are never returned, and
// are fetched again.
func TestFetchDamaged(t *testing.T) {
	bed.Bubble(t, 1, func(t *testing.T, b *bed.Bed) {
		p := startProducer(b, transport.ProducerConfig{})
		for n := range 20 {
			b.Delivered(b.Publish(p, 0, fmt.Sprint("record ", n)))
		}
		l := newLedger()
		var damaged atomic.Int32
		b.Wires.OnResponse(func(response []byte) bool {
			if at := strings.Index(string(response), "record 7"); at >= 0 && damaged.Add(1) <= 3 {
				response[at] ^= 1
			}
			return false
		})
		startReader(b, l)
		l.await(t, 20)
		l.equals(b, 1)
		if damaged.Load() < 4 {
			t.Errorf("the record was fetched %d times, of which the first 3 were damaged", damaged.Load())
		}
	})
}

// TestFetchOldFormat: records from before Kafka 0.11 stop their partition, and its
// status says why.
func TestFetchOldFormat(t *testing.T) {
	bed.Bubble(t, 1, func(t *testing.T, b *bed.Bed) {
		p := startProducer(b, transport.ProducerConfig{})
		b.Delivered(b.Publish(p, 0, "record"))
		b.Wires.OnResponse(func(response []byte) bool {
			if at := strings.Index(string(response), "record"); at >= 0 {
				// Look back for the header of the batch: a format and a length that are possible.
				for start := at - batch.HeaderSize; start >= 0; start-- {
					size := int(binary.BigEndian.Uint32(response[start+8:]))
					if response[start+batch.MagicOffset] == 2 && start+batch.PrefixSize+size <= len(response) && size > batch.MinLength {
						response[start+batch.MagicOffset] = 1
						break
					}
				}
			}
			return false
		})
		c := startPolled(b, &assigns{})
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) { // the clock is the bubble's
			s := c.Status()
			if len(s.Partitions) == 1 && s.Partitions[0].Err != nil && strings.Contains(s.Partitions[0].Err.Error(), "message format 1") {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("status %+v", s)
			}
		}
	})
}

// TestFetchPausedLag: the end of a paused partition's log is looked up, so that its
// lag is known.
func TestFetchPausedLag(t *testing.T) {
	bed.Bubble(t, 1, func(t *testing.T, b *bed.Bed) {
		r := startReader(b, newLedger())
		r.awaitOwned(1)
		r.Pause(transport.Partition{Topic: "events"})
		p := startProducer(b, transport.ProducerConfig{})
		time.Sleep(time.Second)
		for n := range 5 {
			b.Delivered(b.Publish(p, 0, fmt.Sprint(n)))
		}
		time.Sleep(2*fetch.LagAge + time.Second)
		if s := r.Status().Partitions[0]; s.Next != 0 || s.LastStable != 5 || !s.Paused {
			t.Errorf("next %d, last stable %d, paused %v", s.Next, s.LastStable, s.Paused)
		}
	})
}

// TestFetchIdleLag: the end of an idle log is known after its first fetch, so that an
// idle partition has a known lag of 0.
func TestFetchIdleLag(t *testing.T) {
	bed.Bubble(t, 4, func(t *testing.T, b *bed.Bed) {
		r := startReader(b, newLedger())
		r.awaitOwned(4)
		time.Sleep(2 * time.Second)
		for _, s := range r.Status().Partitions {
			if s.LastStable != 0 || s.HighWatermark != 0 {
				t.Errorf("%s ends at %d and %d", s.Partition, s.LastStable, s.HighWatermark)
			}
		}
	})
}

// TestFetchReplica: records come from the replica that the leader names for this rack
// (KIP-392), and from the leader again if the replica no longer serves them.
func TestFetchReplica(t *testing.T) {
	bed.Bubble(t, 1, func(t *testing.T, b *bed.Bed) {
		leader := b.LeaderFor("events", 0)
		near := (leader + 1) % 3
		b.SetFollowers("events", 0, []int32{near})
		var fromNear, refused atomic.Int32
		b.ControlKey(int16(kmsg.Fetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
			b.KeepControl()
			asked := req.(*kmsg.FetchRequest)
			resp := asked.ResponseKind().(*kmsg.FetchResponse)
			topic := kmsg.NewFetchResponseTopic()
			topic.Topic = "events"
			part := kmsg.NewFetchResponseTopicPartition()
			switch {
			case asked.Rack != "here":
				return nil, nil, false
			case b.CurrentNode() == near:
				if fromNear.Add(1) < 10 {
					return nil, nil, false
				}
				refused.Add(1)
				part.ErrorCode = int16(fetch.ReplicaNotAvailable)
			default:
				part.PreferredReadReplica = near
			}
			topic.Partitions = append(topic.Partitions, part)
			resp.Topics = append(resp.Topics, topic)
			return resp, nil, true
		})
		membershipOf(b).Rack = "here"
		l := newLedger()
		startReader(b, l)
		stop := b.Flow(startProducer(b, transport.ProducerConfig{}), 1, 10*time.Millisecond)
		l.await(t, 200)
		l.await(t, stop())
		l.equals(b, 1)
		if fromNear.Load() < 10 || refused.Load() != 1 {
			t.Errorf("%d fetches from the replica, %d refused", fromNear.Load(), refused.Load())
		}
	}, bed.ThreeBrokers()...)
}
