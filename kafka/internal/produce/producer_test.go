package produce

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	franzerr "github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/kafka/internal/batch"
	"github.com/eventbus-go/eventbus/kafka/internal/bed"
	"github.com/eventbus-go/eventbus/kafka/internal/bedclient"
	"github.com/eventbus-go/eventbus/kafka/internal/cluster"
	"github.com/eventbus-go/eventbus/transport"
)

func TestProduce(t *testing.T) {
	for _, compression := range batch.Compressions {
		t.Run(compression, func(t *testing.T) {
			b := bed.NewBed(t, 3)
			p := startProducer(b, transport.ProducerConfig{Compression: compression, BatchBytes: 2000})
			var want [3][]string
			var dones []bed.Receipt
			for i := range 300 {
				part := int32(i % 3)
				value := fmt.Sprintf("%d %s", i, strings.Repeat("x", 50))
				want[part] = append(want[part], value)
				dones = append(dones, b.Publish(p, part, value))
			}
			for _, done := range dones {
				b.Delivered(done)
			}
			for part := range want {
				if got := b.Log(int32(part)); !slices.Equal(got, want[part]) {
					t.Errorf("partition %d holds %q, want %q", part, got, want[part])
				}
			}
		})
	}
}

// TestProducePosition: outcomes have the records' offsets and times.
func TestProducePosition(t *testing.T) {
	b := bed.NewBed(t, 1)
	p := startProducer(b, transport.ProducerConfig{})
	for i := range 3 {
		at := make(positions, 1)
		r := &transport.Record{Topic: "events", Partition: 0, Value: []byte("x")}
		if err := p.Produce(t.Context(), r, at); err != nil {
			t.Fatal(err)
		}
		pos := <-at
		if pos.Offset != int64(i) || pos.Topic != "events" || pos.Partition.Partition != 0 || pos.Time.IsZero() {
			t.Errorf("record %d is at %+v", i, pos)
		}
	}
}

type positions chan transport.Position

func (c positions) Done(p transport.Position, err error) {
	if err != nil {
		p.Offset = -2
	}
	c <- p
}

// TestProduceFaults: faults of the brokers and the network, and the outcomes of the
// records. In each case three records follow one another, and the fault hits the
// first.
func TestProduceFaults(t *testing.T) {
	fault := func(err *franzerr.Error, count int) func(*bed.Bed) {
		return func(b *bed.Bed) { b.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: err, Count: count}) }
	}
	for _, test := range []struct {
		name  string
		fault func(*bed.Bed)
	}{
		{"acknowledgement late, batch appended", fault(franzerr.RequestTimedOut, 2)},
		{"too few replicas, batch appended", fault(franzerr.NotEnoughReplicasAfterAppend, 2)},
		{"too few replicas, nothing appended", fault(franzerr.NotEnoughReplicas, 3)},
		{"storage error", fault(franzerr.KafkaStorageError, 2)},
		{"topic unknown to the leader", fault(franzerr.UnknownTopicOrPartition, 2)},
		{"leader not available", fault(franzerr.LeaderNotAvailable, 2)},
		{"corrupt on the way", fault(franzerr.CorruptMessage, 1)},
		{"throttling quota exceeded", fault(franzerr.ThrottlingQuotaExceeded, 1)},
		{"coordinator loading", func(b *bed.Bed) {
			b.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.InitProducerID}, Err: franzerr.CoordinatorLoadInProgress, Count: 3, TopLevel: true})
		}},
		{"response lost", func(b *bed.Bed) {
			var produced atomic.Bool
			var lost atomic.Int32
			b.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
				b.KeepControl()
				produced.Store(true)
				return nil, nil, false
			})
			b.Wires.OnResponse(func([]byte) bool { return produced.Swap(false) && lost.Add(1) <= 2 })
		}},
		{"request lost", func(b *bed.Bed) {
			b.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
				return nil, errors.New("drop"), true
			})
		}},
		{"leader moved", func(b *bed.Bed) {
			leader := b.LeaderFor("events", 0)
			if err := b.MoveTopicPartition("events", 0, (leader+1)%3); err != nil {
				b.T.Fatal(err)
			}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := bed.NewBed(t, 1, kfake.NumBrokers(3))
			p := startProducer(b, transport.ProducerConfig{})
			b.Delivered(b.Publish(p, 0, "before"))
			test.fault(b)
			if strings.HasPrefix(test.name, "coordinator") {
				p = startProducer(b, transport.ProducerConfig{}) // one that has no id yet
			}
			var dones []bed.Receipt
			for i := range 3 {
				dones = append(dones, b.Publish(p, 0, fmt.Sprint(i)))
			}
			for _, done := range dones {
				b.Delivered(done)
			}
			if got, want := b.Log(0), []string{"before", "0", "1", "2"}; !slices.Equal(got, want) {
				t.Errorf("the log holds %q, want %q", got, want)
			}
		})
	}
}

// TestProduceBrokerRestarts: the broker and its connections are gone for a while.
func TestProduceBrokerRestarts(t *testing.T) {
	b := bed.NewBed(t, 2, kfake.NumBrokers(1))
	p := startProducer(b, transport.ProducerConfig{})
	b.Delivered(b.Publish(p, 0, "before"))
	addr := b.ListenAddrs()[0]
	b.Wires.SetDown(addr, true)
	var dones []bed.Receipt
	for i := range 20 {
		dones = append(dones, b.Publish(p, int32(i%2), fmt.Sprint(i)))
	}
	b.Wires.SetDown(addr, false)
	for _, done := range dones {
		b.Delivered(done)
	}
	if got, want := b.Log(1), []string{"1", "3", "5", "7", "9", "11", "13", "15", "17", "19"}; !slices.Equal(got, want) {
		t.Errorf("the log holds %q, want %q", got, want)
	}
}

// TestProduceKeyless: records without a key fill one partition per batch, one
// partition after another.
func TestProduceKeyless(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bed.NewBubble(t, 4)
		p := startProducer(b, transport.ProducerConfig{})
		for i := range 40 {
			b.Delivered(b.Publish(p, transport.AnyPartition, fmt.Sprint(i)))
			synctest.Wait() // until the partition is idle again
		}
		for part := range int32(4) {
			if n := len(b.Log(part)); n != 10 {
				t.Errorf("partition %d has %d of 40 records, want 10", part, n)
			}
		}
	})
}

func TestProduceRefusals(t *testing.T) {
	b := bed.NewBed(t, 1)
	for _, test := range []struct {
		name   string
		cfg    transport.ProducerConfig
		record transport.Record
		is     error
		says   string
	}{
		{"missing topic", transport.ProducerConfig{}, transport.Record{Topic: "nowhere", Partition: -1}, transport.ErrTopicMissing, `topic "nowhere": topic does not exist`},
		{"missing partition", transport.ProducerConfig{}, transport.Record{Topic: "events", Partition: 7}, transport.ErrTopicMissing, `partition 7 of topic "events", which has 1`},
		{"larger than a batch", transport.ProducerConfig{BatchBytes: 1000}, transport.Record{Topic: "events", Value: make([]byte, 1000)}, transport.ErrTooLarge, "1070 bytes, at most 1000 are allowed"},
		{"larger than the buffer", transport.ProducerConfig{BufferBytes: 500}, transport.Record{Topic: "events", Value: make([]byte, 1000)}, transport.ErrTooLarge, "1144 bytes, at most 500 are allowed"},
		{"larger than a batch, compressed", transport.ProducerConfig{BatchBytes: 1000, Compression: "zstd"}, transport.Record{Topic: "events", Value: bed.Noise(5000)}, transport.ErrTooLarge, "at most 1000 are allowed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := startProducer(b, test.cfg)
			err := p.Produce(t.Context(), &test.record, nil)
			if !errors.Is(err, test.is) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("%v, want %v that says %q", err, test.is, test.says)
			}
			var size *transport.TooLargeError
			if errors.Is(err, transport.ErrTooLarge) && !errors.As(err, &size) {
				t.Errorf("%T is not a TooLargeError", err)
			}
			if n := p.credit.bytes.Load(); n != 0 {
				t.Errorf("%d bytes of room are not given back", n)
			}
		})
	}
}

// TestProduceLargeCompressed: a record that is larger than a batch goes alone if
// it is small enough when compressed.
func TestProduceLargeCompressed(t *testing.T) {
	b := bed.NewBed(t, 1)
	p := startProducer(b, transport.ProducerConfig{BatchBytes: 1000, Compression: "gzip"})
	large := strings.Repeat("large ", 1000)
	dones := []bed.Receipt{b.Publish(p, 0, "a"), b.Publish(p, 0, large), b.Publish(p, 0, "b")}
	for _, done := range dones {
		b.Delivered(done)
	}
	if got := b.Log(0); !slices.Equal(got, []string{"a", large, "b"}) {
		t.Errorf("the log holds %d records", len(got))
	}
}

func TestProducerConfig(t *testing.T) {
	b := bed.NewBed(t, 1)
	_, err := NewProducer(bedclient.Of(b), transport.ProducerConfig{Compression: "br", BatchBytes: -1, DeliveryTimeout: -1})
	for _, says := range []string{`Compression "br" is unknown: write none, gzip, snappy, lz4, zstd`, "BatchBytes is negative", "DeliveryTimeout is negative"} {
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v does not say %q", err, says)
		}
	}
}

func TestProduceAfterClose(t *testing.T) {
	b := bed.NewBed(t, 1)
	p := startProducer(b, transport.ProducerConfig{})
	done := b.Publish(p, 0, "a")
	if err := p.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.Delivered(done)
	for _, topic := range []string{"events", "other"} {
		if err := p.Produce(context.Background(), &transport.Record{Topic: topic}, nil); !errors.Is(err, transport.ErrClosed) {
			t.Errorf("Produce to %s after Close: %v", topic, err)
		}
	}
	if err := p.Close(t.Context()); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

// TestProduceTopicGrows: partitions that are added later are used: at once by
// records that name them, and for keys within MetadataAge.
func TestProduceTopicGrows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bed.NewBubble(t, 1)
		p := startProducer(b, transport.ProducerConfig{})
		b.Delivered(b.Publish(p, 0, "x"))
		req := kmsg.NewPtrCreatePartitionsRequest()
		topic := kmsg.NewCreatePartitionsRequestTopic()
		topic.Topic, topic.Count = "events", 3
		req.Topics = append(req.Topics, topic)
		if _, err := bedclient.Of(b).Request(t.Context(), 0, cluster.Rare(req, (*kmsg.CreatePartitionsRequest).AppendTo, (*kmsg.CreatePartitionsResponse).ReadFrom)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(cluster.MetadataAge + time.Second)
		b.Delivered(b.Publish(p, 0, "x"))
		synctest.Wait()
		if n := len(p.all()); n != 3 {
			t.Errorf("%d partitions are known after a while, want 3", n)
		}
		topic.Count = 5
		req.Topics[0] = topic
		if _, err := bedclient.Of(b).Request(t.Context(), 0, cluster.Rare(req, (*kmsg.CreatePartitionsRequest).AppendTo, (*kmsg.CreatePartitionsResponse).ReadFrom)); err != nil {
			t.Fatal(err)
		}
		b.Delivered(b.Publish(p, 4, "y"))
	})
}
