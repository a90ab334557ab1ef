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
					consumer, err := consumed.NewConsumer(transport.ConsumerConfig{
						Group: "g", Topics: []transport.TopicStart{{Topic: "events"}}, Listener: deaf{},
						SessionTimeout: 6 * time.Second, HeartbeatInterval: time.Second, RebalanceTimeout: 10 * time.Second, FetchBytes: 1 << 20,
					})
					if err != nil {
						t.Fatal(err)
					}
					got := make(chan string, 1000)
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
								_ = consumer.Commit(t.Context(), transport.Commit{Partition: batch.Partition, Epoch: batch.Epoch, Offset: batch.Next, LeaderEpoch: -1})
							}
						}
					}()
					p := startProducer(b, transport.ProducerConfig{DeliveryTimeout: 5 * time.Second})
					for n := range 20 {
						ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
						done, began := make(bed.Receipt, 1), time.Now()
						if p.Produce(ctx, &transport.Record{Topic: "events", Partition: int32(n % 2), Value: []byte("early")}, done) == nil {
							_ = b.Wait(done)
						}
						cancel()
						if took := time.Since(began); took > 15*time.Second {
							t.Errorf("publishing took %s", took)
						}
						time.Sleep(time.Second)
					}
					honest.Store(true)
					time.Sleep(2 * time.Minute)
					for n := range 2 {
						b.Delivered(b.Publish(p, int32(n), "late"))
					}
					for late := 0; late < 2; {
						select {
						case value := <-got:
							if value == "late" {
								late++
							}
						case <-time.After(3 * time.Minute):
							t.Fatalf("%d of 2 late events are consumed; %+v", late, consumer.Status())
						}
					}
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
