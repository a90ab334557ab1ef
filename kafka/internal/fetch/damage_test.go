package fetch

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/kafka/internal/batch"
	"github.com/eventbus-go/eventbus/kafka/internal/bed"
	"github.com/eventbus-go/eventbus/kafka/internal/bedclient"
	"github.com/eventbus-go/eventbus/transport"
)

// aBatch returns a batch with one record of a value at an offset.
func aBatch(offset int64, value string) []byte {
	r := &transport.Record{Value: []byte(value)}
	b := batch.AppendRecord(make([]byte, batch.HeaderSize), r, batch.RecordSize(batch.ContentSize(r), 0, 0), 0, 0)
	batch.Stamp(b, 0, 1, 0, 0, batch.ProducerSession{ID: -1}, 0)
	binary.BigEndian.PutUint64(b, uint64(offset))
	return b
}

// serve answers fetches of partition 0 of "events" with the result of data for the offset. The
// log ends at end. No answer is larger than was asked for. serve counts the fetches that
// returned data.
func serve(b *bed.Bed, end int64, data func(offset int64) []byte) *atomic.Int64 {
	brought := &atomic.Int64{}
	b.ControlKey(int16(kmsg.Fetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		b.KeepControl()
		asked := req.(*kmsg.FetchRequest)
		resp := asked.ResponseKind().(*kmsg.FetchResponse)
		topic := kmsg.NewFetchResponseTopic()
		topic.Topic = asked.Topics[0].Topic
		part := kmsg.NewFetchResponseTopicPartition()
		part.HighWatermark, part.LastStableOffset = end, end
		of := asked.Topics[0].Partitions[0]
		part.RecordBatches = data(of.FetchOffset)
		if part.RecordBatches == nil {
			return nil, nil, true // an idle broker holds the fetch
		}
		part.RecordBatches = part.RecordBatches[:min(len(part.RecordBatches), int(of.PartitionMaxBytes))]
		brought.Add(1)
		topic.Partitions = append(topic.Partitions, part)
		resp.Topics = append(resp.Topics, topic)
		return resp, nil, true
	})
	return brought
}

// skips records the moved positions that a Listener is told.
type skips struct {
	nobody
	mu  sync.Mutex
	all [][2]int64
}

func (s *skips) Skipped(_ transport.Partition, from, to int64, _ error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, [2]int64{from, to})
}

// startMember starts the fetcher of a group member that owns partition 0 of "events" from offset
// 0.
func startMember(b *bed.Bed, rack string, log *slog.Logger, l transport.Listener, more ...transport.Assignment) *Fetcher {
	b.T.Helper()
	work := &sync.WaitGroup{}
	f := NewFetcher(bedclient.Of(b), log, rack, 1<<20, false, work)
	f.Listener, f.Topics, f.Recreated = NewListener(l), map[string]transport.TopicStart{}, func(string) {}
	var stop context.CancelFunc
	f.Ctx, stop = context.WithCancel(b.T.Context())
	b.T.Cleanup(func() {
		stop()
		work.Wait()
	})
	owned := append(more, transport.Assignment{Partition: transport.Partition{Topic: "events"}, LeaderEpoch: -1})
	f.Add(owned)
	f.Announce(owned)
	work.Go(f.Run)
	work.Go(f.WatchLag)
	return f
}

// damages are unreadable batches at offset 1. Some are found when the response is handled,
// others by Poll.
var damages = map[string]func() (data []byte, next int64){
	"checksum": func() ([]byte, int64) {
		b := aBatch(1, "damaged")
		b[len(b)-3]++
		return b, 2
	},
	"old format": func() ([]byte, int64) {
		b := aBatch(1, "old")
		b[batch.MagicOffset] = 1
		return append(b, func() []byte { b := aBatch(2, "old"); b[batch.MagicOffset] = 0; return b }()...), 3
	},
}

// TestUnreadable: records that can't be read stop their partition until an operator skips them.
// Until then the status shows it with its lag, it is requested less and less often, and logged
// once a minute.
func TestUnreadable(t *testing.T) {
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			bed.Bubble(t, 1, func(t *testing.T, b *bed.Bed) {
				bad, behind := damage()
				brought := serve(b, behind+1, func(offset int64) []byte {
					switch offset {
					case 0:
						return append(aBatch(0, "first"), bad...)
					case 1:
						return bad
					case behind:
						return aBatch(behind, "behind")
					}
					return nil
				})
				var log strings.Builder
				var told skips
				f := startMember(b, "", slog.New(slog.NewTextHandler(&log, nil)), &told)
				got := make(chan string)
				go func() {
					defer close(got)
					for {
						batches, err := f.Await(t.Context(), f.Ctx.Done())
						if err != nil {
							return
						}
						for i := range batches[0].Records {
							got <- string(batches[0].Records[i].Value)
						}
					}
				}()
				if first := <-got; first != "first" {
					t.Fatalf("got %q", first)
				}
				// Long enough for many back-offs; at each the partition stays as it is.
				time.Sleep(5 * time.Second)
				for range 600 {
					time.Sleep(time.Second)
					synctest.Wait()
					s := f.Status()[0]
					if s.Err == nil || s.Unreadable == nil || s.Unreadable.From != 1 || s.Unreadable.Next != behind || s.LastStable != behind+1 {
						t.Fatalf("status %+v", s)
					}
				}
				if n := brought.Load(); n > 25 {
					t.Errorf("fetched and read %d times in ten minutes", n)
				}
				if lines := strings.Count(log.String(), "nothing is skipped"); lines < 5 || lines > 11 {
					t.Errorf("%d lines in ten minutes: %s", lines, log.String())
				}
				id := transport.Partition{Topic: "events"}
				if err := f.Pass(t.Context(), id, behind+7); !errors.Is(err, errNotUnreadable) {
					t.Errorf("passing over elsewhere: %v", err)
				}
				if err := f.Pass(t.Context(), id, behind); err != nil {
					t.Fatal(err)
				}
				if next := <-got; next != "behind" {
					t.Errorf("got %q", next)
				}
				if s := f.Status()[0]; s.Err != nil || s.Unreadable != nil || len(told.all) != 1 || told.all[0] != [2]int64{1, behind} {
					t.Errorf("afterwards %+v, told %v", s, told.all)
				}
			})
		})
	}
}

// TestUnreadableReader: a reader ends with the error, naming the offsets.
func TestUnreadableReader(t *testing.T) {
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			bed.Bubble(t, 1, func(t *testing.T, b *bed.Bed) {
				bad, _ := damage()
				serve(b, 10, func(offset int64) []byte {
					if offset == 0 {
						return append(aBatch(0, "first"), bad...)
					}
					return bad
				})
				r := startLogReader(b, transport.ReaderConfig{})
				if records, err := pollOne(t, r); records != 1 || err != nil {
					t.Fatalf("%d records, %v", records, err)
				}
				if _, err := pollOne(t, r); err == nil || !strings.Contains(err.Error(), "events/0: offsets 1 to ") {
					t.Errorf("error %v", err)
				}
			})
		})
	}
}

// TestEndBehindRecords: a broker notes the end of its log before it reads it, so a response may
// return records from beyond that end.
func TestEndBehindRecords(t *testing.T) {
	bed.Bubble(t, 1, func(t *testing.T, b *bed.Bed) {
		serve(b, 1, func(offset int64) []byte {
			if offset == 0 {
				return append(aBatch(0, "a"), aBatch(1, "b")...)
			}
			return nil
		})
		f := startMember(b, "", slog.New(slog.DiscardHandler), nobody{})
		batches, err := f.Await(t.Context(), f.Ctx.Done())
		if err != nil || len(batches) != 1 || batches[0].Next != 2 || batches[0].HighWatermark < 2 || batches[0].LastStable < 2 {
			t.Errorf("%+v, %v", batches, err)
		}
		if s := f.Status()[0]; s.HighWatermark < 2 || s.LastStable < 2 {
			t.Errorf("status %+v", s)
		}
	})
}

// TestCutOffAlways: a broker that sends only a part of a batch, however much is requested, is
// asked less and less often, and the status shows the error, until a whole batch comes.
func TestCutOffAlways(t *testing.T) {
	bed.Bubble(t, 1, func(t *testing.T, b *bed.Bed) {
		var whole atomic.Bool
		brought := serve(b, 1, func(offset int64) []byte {
			data := aBatch(0, "a")
			switch {
			case offset > 0:
				return nil
			case whole.Load():
				return data
			}
			return data[:len(data)-1]
		})
		f := startMember(b, "", slog.New(slog.DiscardHandler), nobody{})
		time.Sleep(time.Minute)
		if s, n := f.Status()[0], brought.Load(); s.Err == nil || n < 20 || n > 200 {
			t.Errorf("after %d fetches in a minute: %+v", n, s)
		}
		whole.Store(true)
		batches, err := f.Await(t.Context(), f.Ctx.Done())
		if err != nil || len(batches) != 1 || len(batches[0].Records) != 1 {
			t.Errorf("%+v, %v", batches, err)
		}
		if s := f.Status()[0]; s.Err != nil {
			t.Errorf("status %+v", s)
		}
	})
}

// TestCutOffBehindAnother: a batch that is cut off because the broker sends the one before it
// again is requested together with that one.
func TestCutOffBehindAnother(t *testing.T) {
	bed.Bubble(t, 1, func(t *testing.T, b *bed.Bed) {
		first, second := aBatch(0, strings.Repeat("a", 200_000)), aBatch(1, strings.Repeat("b", 200_000))
		serve(b, 2, func(offset int64) []byte {
			switch offset {
			case 0:
				return first
			case 1:
				return slices.Concat(first, second)
			}
			return nil
		})
		f := startMember(b, "", slog.New(slog.DiscardHandler), nobody{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // the clock is the bubble's
		defer cancel()
		for next := int64(0); next < 2; {
			batches, err := f.Await(ctx, f.Ctx.Done())
			if err != nil {
				t.Fatalf("at offset %d: %v, %+v", next, err, f.Status()[0])
			}
			for i := range batches {
				next = batches[i].Next
			}
		}
	})
}

// TestSilentReplica: a replica that freezes is soon left for the leader, for longer each time,
// although the leader keeps recommending it. As Kafka's leaders do, this one returns no records
// with a recommendation, and recommends the replica only to a client that names its rack.
func TestSilentReplica(t *testing.T) {
	bed.Bubble(t, 1, func(t *testing.T, b *bed.Bed) {
		leader := b.LeaderFor("events", 0)
		near := (leader + 1) % 3
		b.SetFollowers("events", 0, []int32{near})
		var asked atomic.Int64
		b.ControlKey(int16(kmsg.Fetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
			b.KeepControl()
			r := req.(*kmsg.FetchRequest)
			if b.CurrentNode() == near {
				asked.Add(1)
				return nil, nil, true // no answer
			}
			time.Sleep(time.Millisecond) // the clock is the bubble's
			offset := r.Topics[0].Partitions[0].FetchOffset
			resp := r.ResponseKind().(*kmsg.FetchResponse)
			topic := kmsg.NewFetchResponseTopic()
			topic.Topic = r.Topics[0].Topic
			part := kmsg.NewFetchResponseTopicPartition()
			part.HighWatermark, part.LastStableOffset = offset+1, offset+1
			if r.Rack == "here" {
				part.PreferredReadReplica = near
			} else {
				part.RecordBatches = aBatch(offset, "x")
			}
			topic.Partitions = append(topic.Partitions, part)
			resp.Topics = append(resp.Topics, topic)
			return resp, nil, true
		})
		f := startMember(b, "here", slog.New(slog.DiscardHandler), nobody{})
		longest, last := time.Duration(0), time.Now()
		for begin := last; time.Since(begin) < 5*time.Minute; {
			batches, err := f.Await(t.Context(), f.Ctx.Done())
			if err != nil {
				t.Fatal(err)
			}
			batches[0].Release()
			time.Sleep(100 * time.Millisecond)
			longest, last = max(longest, time.Since(last)), time.Now()
		}
		if longest > SilentAfter+2*time.Second {
			t.Errorf("nothing came for %s", longest)
		}
		if n := asked.Load(); n == 0 || n > 6 {
			t.Errorf("the frozen replica was asked %d times in five minutes", n)
		}
	}, bed.ThreeBrokers()...)
}
