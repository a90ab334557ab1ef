package kafka

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/kafka/internal/bed"
	"github.com/eventbus-go/eventbus/transport"
)

// lie fills an answer with what no server should send: negative counts and offsets,
// lowest versions above the highest, names that are none, things named twice or not
// at all.
func lie(r *rand.Rand, v reflect.Value, name string) {
	switch v.Kind() {
	case reflect.Pointer:
		if r.IntN(3) > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			lie(r, v.Elem(), name)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() && f.Name != "Version" && f.Name != "UnknownTags" {
				lie(r, v.Field(i), f.Name)
			}
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes([]byte(strings.Repeat("\xff\x00\x01", r.IntN(9))))
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), r.IntN(4), 4))
		for i := range v.Len() {
			lie(r, v.Index(i), name)
		}
	case reflect.String:
		v.SetString([]string{"", "events", "lies", "\xff\n\x1b[2J", "127.0.0.1"}[r.IntN(5)])
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		highest := int64(math.MaxInt64 >> (64 - v.Type().Bits()))
		values := []int64{0, 0, 1, 2, 3, -1, -2, -highest - 1, highest}
		if strings.HasSuffix(name, "ErrorCode") {
			values = []int64{0, 0, 0, 0, 3, 6, 7, 14, 15, 16, 22, 25, 27, 47, 79, 82, 90, -1, 9999}
		}
		v.SetInt(values[r.IntN(len(values))])
	case reflect.Array:
		for i := range v.Len() {
			v.Index(i).SetUint(r.Uint64N(2))
		}
	}
}

// lies is how many servers TestLyingServer meets of each kind.
const lies = 4

// patientMember is how the consumers of servers that answer wrongly are members of a group.
var patientMember = transport.ConsumerConfig{
	Group: "g", Topics: []transport.TopicStart{{Topic: "events"}}, Listener: deaf{},
	SessionTimeout: 6 * time.Second, HeartbeatInterval: time.Second, RebalanceTimeout: 10 * time.Second, FetchBytes: 1 << 20,
}

// received polls a consumer until the test ends, commits what comes, each time within so
// long, or zero for as long as it takes, and returns the values.
func received(t *testing.T, consumer transport.Consumer, within time.Duration) <-chan string {
	got := make(chan string, 10_000)
	commit := func(ctx context.Context, c transport.Commit) {
		if within > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, within)
			defer cancel()
		}
		_ = consumer.Commit(ctx, c)
	}
	go func() {
		for {
			batches, err := consumer.Poll(t.Context())
			if err != nil {
				return
			}
			for _, batch := range batches {
				for i := range batch.Records {
					got <- string(batch.Records[i].Value)
				}
				if batch.Release != nil {
					batch.Release()
				}
				commit(t.Context(), transport.Commit{Partition: batch.Partition, Epoch: batch.Epoch, Offset: batch.Next, LeaderEpoch: -1})
			}
		}
	}()
	return got
}

// publishEarly publishes one event a second while answers are wrong: some may fail, and each
// ends in its time.
func publishEarly(b *bed.Bed, p transport.Producer, events, partitions int) {
	b.T.Helper()
	for n := range events {
		ctx, cancel := context.WithTimeout(b.T.Context(), 5*time.Second)
		done, began := make(bed.Receipt, 1), time.Now()
		if p.Produce(ctx, &transport.Record{Topic: "events", Partition: int32(n % partitions), Value: []byte("early")}, done) == nil {
			_ = b.Wait(done)
		}
		cancel()
		if took := time.Since(began); took > 15*time.Second {
			b.T.Errorf("publishing took %s", took)
		}
		time.Sleep(time.Second)
	}
}

// wantLate publishes an event to each partition once answers are right, and fails the test
// unless all are consumed.
func wantLate(b *bed.Bed, p transport.Producer, consumer transport.Consumer, got <-chan string, partitions int) {
	b.T.Helper()
	for n := range partitions {
		b.Delivered(b.Publish(p, int32(n), "late"))
	}
	for late := 0; late < partitions; {
		select {
		case value := <-got:
			if value == "late" {
				late++
			}
		case <-time.After(3 * time.Minute):
			for _, p := range consumer.Status().Partitions {
				b.T.Logf("%v is read up to %d of %d, and holds %q: %v", p.Partition, p.Next, p.LastStable, b.Log(p.Partition.Partition), p.Err)
			}
			b.T.Fatalf("%d of %d late events are consumed; %+v", late, partitions, consumer.Status())
		}
	}
}

// TestLyingServer: whatever a server answers, calls end in their time, nothing panics,
// and once it tells the truth publishing and consuming go on.
func TestLyingServer(t *testing.T) {
	for _, key := range []kmsg.Key{
		kmsg.ApiVersions, kmsg.Metadata, kmsg.InitProducerID, kmsg.Produce, kmsg.Fetch, kmsg.ListOffsets, kmsg.OffsetForLeaderEpoch,
		kmsg.FindCoordinator, kmsg.JoinGroup, kmsg.SyncGroup, kmsg.Heartbeat, kmsg.OffsetFetch, kmsg.OffsetCommit, kmsg.DescribeGroups, kmsg.LeaveGroup, kmsg.ConsumerGroupHeartbeat,
	} {
		for seed := range uint64(lies) {
			t.Run(fmt.Sprintf("%s/%d", key.Name(), seed), func(t *testing.T) {
				bed.Bubble(t, 2, func(t *testing.T, b *bed.Bed) {
					var honest atomic.Bool
					r := rand.New(rand.NewPCG(seed, uint64(key)))
					b.ControlKey(int16(key), func(req kmsg.Request) (kmsg.Response, error, bool) {
						b.KeepControl()
						if honest.Load() {
							return nil, nil, false
						}
						answer := req.ResponseKind()
						lie(r, reflect.ValueOf(answer).Elem(), "")
						return answer, nil, true
					})
					consumed := New(Config{Brokers: b.ListenAddrs(), Dial: b.Wires.DialContext, ConsumerProtocol: key == kmsg.ConsumerGroupHeartbeat})
					defer func() { _ = consumed.Close(context.Background()) }()
					consumer, err := consumed.NewConsumer(patientMember)
					if err != nil {
						t.Fatal(err)
					}
					got := received(t, consumer, 0)
					p := startProducer(b, transport.ProducerConfig{DeliveryTimeout: 5 * time.Second})
					publishEarly(b, p, 20, 2)
					honest.Store(true)
					time.Sleep(2 * time.Minute)
					wantLate(b, p, consumer, got, 2)
					ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
					defer cancel()
					if err := consumer.Close(ctx); err != nil {
						t.Error(err)
					}
				})
			})
		}
	}
}

// deaf is a listener that takes every assignment.
type deaf struct{}

func (deaf) Assigned([]transport.Assignment)                  {}
func (deaf) Revoked(context.Context, []transport.Partition)   {}
func (deaf) Lost([]transport.Partition)                       {}
func (deaf) Skipped(transport.Partition, int64, int64, error) {}
