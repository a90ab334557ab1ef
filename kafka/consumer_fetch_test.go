package kafka

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/transport"
)

// TestFetchSurvives: whatever happens to leaders and connections, each record is
// taken once and in order.
func TestFetchSurvives(t *testing.T) {
	leaders := func(b *bed) {
		for n := range int32(4) {
			if err := b.MoveTopicPartition("events", n, (b.LeaderFor("events", n)+1)%3); err != nil {
				b.t.Fatal(err)
			}
		}
	}
	for name, hit := range map[string]func(b *bed){
		"leaders move": leaders,
		"leaders move and move": func(b *bed) {
			for range 5 {
				leaders(b)
				time.Sleep(100 * time.Millisecond)
			}
		},
		"responses are cut": func(b *bed) {
			var left atomic.Int32
			left.Store(10)
			b.wires.onResponse(func(response []byte) bool { return len(response) > 100 && left.Add(-1) >= 0 })
		},
		"a broker is away": func(b *bed) {
			addr := b.ListenAddrs()[0]
			b.wires.setDown(addr, true)
			time.Sleep(3 * time.Second)
			b.wires.setDown(addr, false)
		},
		"a broker is silent, and its partitions move": func(b *bed) {
			silent := b.LeaderFor("events", 0)
			b.ControlKey(int16(kmsg.Fetch), func(kmsg.Request) (kmsg.Response, error, bool) {
				b.KeepControl()
				return nil, nil, b.CurrentNode() == silent
			})
			time.Sleep(time.Second)
			for n := range int32(4) {
				if b.LeaderFor("events", n) == silent {
					if err := b.MoveTopicPartition("events", n, (silent+1)%3); err != nil {
						b.t.Fatal(err)
					}
				}
			}
		},
		"leader epochs are unknown": func(b *bed) {
			b.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: "events", Err: kerr.UnknownLeaderEpoch, Count: 5},
				kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: "events", Err: kerr.FencedLeaderEpoch, Count: 5})
		},
		"fetches fail": func(b *bed) {
			for _, e := range []*kerr.Error{kerr.UnknownServerError, kerr.KafkaStorageError, kerr.UnknownTopicOrPartition, kerr.TopicAuthorizationFailed, kerr.CorruptMessage} {
				b.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: "events", Err: e, Count: 2})
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 4, func(t *testing.T, b *bed) {
				l := newLedger()
				r := b.reader(l)
				r.awaitOwned(4)
				stop := b.flow(b.producer(transport.ProducerConfig{}), 4, 5*time.Millisecond)
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
			}, threeBrokers()...)
		})
	}
}

// TestFetchTruncated: a new leader whose log ends before what was read is found
// out by asking it (KIP-320), and never by reading other records as if nothing
// had happened.
func TestFetchTruncated(t *testing.T) {
	bubble(t, 1, func(t *testing.T, b *bed) {
		l := newLedger()
		r := b.reader(l)
		p := b.producer(transport.ProducerConfig{})
		for n := range 10 {
			b.delivered(b.publish(p, 0, fmt.Sprint(n)))
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
		r.awaitHeard("assigned 0", "skipped 0 from 10 to 7: "+errTruncated.Error())
		l.await(t, 13)
		if got := strings.Join(l.taken[0][10:], " "); got != "7 8 9" {
			t.Errorf("took %s again", got)
		}
	}, threeBrokers()...)
}

// TestFetchBound: a caller that does not poll gets no more fetched than the
// bound, and everything once it polls.
func TestFetchBound(t *testing.T) {
	bubble(t, 4, func(t *testing.T, b *bed) {
		const bound, size, each = 1 << 20, 10_000, 200
		p := b.producer(transport.ProducerConfig{BatchBytes: 50_000})
		var last receipt
		for n := range each * 4 {
			last = b.publish(p, int32(n%4), strings.Repeat("x", size))
		}
		b.delivered(last)
		c := b.consumer(&assigns{}, func(cfg *transport.ConsumerConfig) { cfg.FetchBytes = bound })
		time.Sleep(time.Minute)
		c.fetch.mu.Lock()
		held, reserved := c.fetch.held, c.fetch.reserved
		c.fetch.mu.Unlock()
		// One request may have had leave to bring its share, and its buffer has
		// the next power of two.
		if held == 0 || held+reserved > bound+bound/2 {
			t.Errorf("%d bytes held and %d reserved, the bound is %d", held, reserved, bound)
		}
		records := 0
		for records < each*4 {
			batches, err := c.Poll(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, batch := range batches {
				records += len(batch.Records)
				if batch.Release != nil {
					batch.Release()
				}
			}
		}
		c.fetch.mu.Lock()
		defer c.fetch.mu.Unlock()
		if c.fetch.held != 0 {
			t.Errorf("%d bytes held when all is polled", c.fetch.held)
		}
	})
}

// TestFetchPausedHoldsNothingUp: what was fetched of paused partitions gives way
// when the others need the room, and is there again when they are resumed.
func TestFetchPausedHoldsNothingUp(t *testing.T) {
	bubble(t, 4, func(t *testing.T, b *bed) {
		p := b.producer(transport.ProducerConfig{BatchBytes: 50_000})
		const each = 100
		var last receipt
		for n := range each * 4 {
			last = b.publish(p, int32(n%4), fmt.Sprintf("%d %s", n, strings.Repeat("x", 10_000)))
		}
		b.delivered(last)
		c := b.consumer(&assigns{}, func(cfg *transport.ConsumerConfig) { cfg.FetchBytes = 256 << 10 })
		time.Sleep(time.Minute) // until the bound is reached
		paused := []transport.Partition{{Topic: "events", Partition: 0}, {Topic: "events", Partition: 1}, {Topic: "events", Partition: 2}}
		c.Pause(paused...)
		next := make(map[int32]int64)
		take := func(until func() bool) {
			for !until() {
				batches, err := c.Poll(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for _, batch := range batches {
					if batch.From != next[batch.Partition.Partition] {
						t.Fatalf("%v: from %d, want %d", batch.Partition, batch.From, next[batch.Partition.Partition])
					}
					next[batch.Partition.Partition] = batch.Next
				}
			}
		}
		take(func() bool { return next[3] == each })
		if len(next) != 1 {
			t.Errorf("paused partitions were returned: %v", next)
		}
		c.Resume(paused...)
		take(func() bool { return next[0]+next[1]+next[2] == 3*each })
	})
}

// TestFetchDamaged: records that were damaged on the way are never returned, and
// are fetched again.
func TestFetchDamaged(t *testing.T) {
	bubble(t, 1, func(t *testing.T, b *bed) {
		p := b.producer(transport.ProducerConfig{})
		for n := range 20 {
			b.delivered(b.publish(p, 0, fmt.Sprint("record ", n)))
		}
		l := newLedger()
		var damaged atomic.Int32
		b.wires.onResponse(func(response []byte) bool {
			if at := strings.Index(string(response), "record 7"); at >= 0 && damaged.Add(1) <= 3 {
				response[at] ^= 1
			}
			return false
		})
		b.reader(l)
		l.await(t, 20)
		l.equals(b, 1)
		if damaged.Load() < 4 {
			t.Errorf("damaged %d times", damaged.Load())
		}
	})
}

// TestFetchOldFormat: records of before Kafka 0.11 stop their partition, and its
// status says why.
func TestFetchOldFormat(t *testing.T) {
	bubble(t, 1, func(t *testing.T, b *bed) {
		p := b.producer(transport.ProducerConfig{})
		b.delivered(b.publish(p, 0, "record"))
		b.wires.onResponse(func(response []byte) bool {
			if at := strings.Index(string(response), "record"); at >= 0 {
				// Look back for the batch: its length is what follows to its end.
				for start := at - batchHeaderSize; start >= 0; start-- {
					size := int(binary.BigEndian.Uint32(response[start+8:]))
					if response[start+batchMagicOffset] == 2 && start+batchPrefixSize+size <= len(response) && size > batchMinLength {
						response[start+batchMagicOffset] = 1
						break
					}
				}
			}
			return false
		})
		c := b.consumer(&assigns{})
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

// TestFetchPausedLag: the end of a paused partition's log is asked for.
func TestFetchPausedLag(t *testing.T) {
	bubble(t, 1, func(t *testing.T, b *bed) {
		r := b.reader(newLedger())
		r.awaitOwned(1)
		r.Pause(transport.Partition{Topic: "events"})
		p := b.producer(transport.ProducerConfig{})
		time.Sleep(time.Second)
		for n := range 5 {
			b.delivered(b.publish(p, 0, fmt.Sprint(n)))
		}
		time.Sleep(2*lagAge + time.Second)
		if s := r.Status().Partitions[0]; s.Next != 0 || s.LastStable != 5 || !s.Paused {
			t.Errorf("next %d, last stable %d, paused %v", s.Next, s.LastStable, s.Paused)
		}
	})
}

// TestFetchAborted: records of aborted transactions are not returned, markers
// are stepped over, and an open transaction holds reading up.
func TestFetchAborted(t *testing.T) {
	bubble(t, 1, func(t *testing.T, b *bed) {
		l := newLedger()
		b.reader(l)
		all := newLedger()
		b.reader(all, func(cfg *transport.ConsumerConfig) { cfg.Group, cfg.ReadUncommitted = "all", true })
		for i, commit := range []bool{true, false, false, true} {
			b.transact(fmt.Sprint("transaction ", i), 3, commit)
		}
		p := b.producer(transport.ProducerConfig{})
		b.delivered(b.publish(p, 0, "last"))
		all.await(t, 13)
		l.await(t, 7)
		l.mu.Lock()
		defer l.mu.Unlock()
		want := []string{}
		for _, i := range []int{0, 3} {
			for k := range 3 {
				want = append(want, fmt.Sprintf("transaction %d: %d", i, k))
			}
		}
		if got := l.taken[0]; !slices.Equal(got, append(want, "last")) {
			t.Errorf("took %q", got)
		}
	})
}

// TestCommitRetries: a commit outlives what a coordinator may answer for a while,
// and says what failed for good.
func TestCommitRetries(t *testing.T) {
	bubble(t, 2, func(t *testing.T, b *bed) {
		r := b.reader(newLedger())
		r.awaitOwned(2)
		for _, e := range []*kerr.Error{kerr.RebalanceInProgress, kerr.CoordinatorLoadInProgress, kerr.NotCoordinator, kerr.RequestTimedOut, kerr.UnknownTopicOrPartition} {
			b.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Group: "group", Err: e})
		}
		if err := r.commit(t.Context(), func(transport.Partition) bool { return true }); err != nil {
			t.Error(err)
		}
		always := b.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Group: "group", Err: kerr.OffsetMetadataTooLarge, Count: -1})
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

// TestCommitSplits: one request stays under what the coordinator takes.
func TestCommitSplits(t *testing.T) {
	bubble(t, 200, func(t *testing.T, b *bed) {
		r := b.reader(newLedger())
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
