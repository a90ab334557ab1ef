package produce

import (
	"bytes"
	"fmt"
	"math"
	rand "math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/kafka/internal/batch"
	"github.com/eventbus-go/eventbus/kafka/internal/bed"
	"github.com/eventbus-go/eventbus/kafka/internal/cluster"
	"github.com/eventbus-go/eventbus/transport"
)

// randomRecord returns a record with any shape of key, value and headers.
func randomRecord(r *rand.Rand) *transport.Record {
	text := func() []byte {
		switch r.IntN(5) {
		case 0:
			return nil
		case 1:
			return []byte{}
		case 2:
			return bed.Noise(r.IntN(20_000))
		}
		return []byte(strings.Repeat("text ", r.IntN(40)))
	}
	record := &transport.Record{Key: text(), Value: text()}
	for range r.IntN(5) {
		record.Headers = append(record.Headers, transport.Header{Key: string(text()), Value: text()})
	}
	return record
}

// sameRecord compares a record with what another codec has read.
func sameRecord(got *kmsg.Record, want *transport.Record) error {
	same := func(what string, got, want []byte) error {
		if (got == nil) != (want == nil) || !bytes.Equal(got, want) {
			return fmt.Errorf("the %s is %.20q, want %.20q", what, got, want)
		}
		return nil
	}
	if err := same("key", got.Key, want.Key); err != nil {
		return err
	}
	if err := same("value", got.Value, want.Value); err != nil {
		return err
	}
	if len(got.Headers) != len(want.Headers) {
		return fmt.Errorf("%d headers, want %d", len(got.Headers), len(want.Headers))
	}
	for i, h := range got.Headers {
		if h.Key != want.Headers[i].Key {
			return fmt.Errorf("header %d is %q, want %q", i, h.Key, want.Headers[i].Key)
		}
		if err := same("header", h.Value, want.Headers[i].Value); err != nil {
			return err
		}
	}
	return nil
}

// TestEncodeBatch reads encoded batches back with kmsg, for each codec.
func TestEncodeBatch(t *testing.T) {
	for codec, name := range batch.Compressions {
		t.Run(name, func(t *testing.T) {
			packing, err := batch.NewCompression(batch.Compressions[codec])
			if err != nil {
				t.Fatal(err)
			}
			r := rand.New(rand.NewPCG(1, uint64(codec)))
			for range 12 {
				base := time.Now().UnixMilli()
				b := newBatch(time.Time{})
				var want []*transport.Record
				var times []int64
				for range r.IntN(50) + 1 {
					record := randomRecord(r)
					at := base + r.Int64N(2e6) - 1e6
					want, times = append(want, record), append(times, at)
					b.add(record, batch.ContentSize(record), at, record.Size(), nil)
				}
				session := batch.ProducerSession{ID: r.Int64(), Epoch: int16(r.IntN(math.MaxInt16))}
				b.stamp(&packing, session, 17)
				got, records, rest := bed.DecodeBatch(t, b.wire())
				if len(rest) > 0 {
					t.Fatalf("%d bytes behind the batch", len(rest))
				}
				if got.ProducerID != session.ID || got.ProducerEpoch != session.Epoch || got.FirstSequence != 17 ||
					got.FirstTimestamp != times[0] || got.MaxTimestamp != slices.Max(times) || got.Magic != 2 ||
					got.LastOffsetDelta != int32(len(want)-1) || got.PartitionLeaderEpoch != -1 {
					t.Fatalf("the fixed part is %+v", got)
				}
				for i := range records {
					if err := sameRecord(&records[i], want[i]); err != nil {
						t.Fatalf("record %d: %v", i, err)
					}
					if records[i].OffsetDelta != int32(i) || times[0]+records[i].TimestampDelta64 != times[i] {
						t.Fatalf("record %d has deltas %d and %d", i, records[i].OffsetDelta, records[i].TimestampDelta64)
					}
				}
				b.recycle()
			}
		})
	}
}

// TestSplitBatch removes records from a batch, and halves it.
func TestSplitBatch(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	b := newBatch(time.Time{})
	var all []*transport.Record
	for i := range 11 {
		record := randomRecord(r)
		all = append(all, record)
		b.add(record, batch.ContentSize(record), int64(1000+i), record.Size(), nil)
	}
	for _, test := range []struct {
		whole bool
		want  []int
	}{{true, []int{8}}, {false, []int{4, 4}}} {
		parts := b.split(func(i int) bool { return i%4 != 1 }, test.whole)
		var sizes []int
		at := 0
		for _, part := range parts {
			part.stamp(new(batch.Compression), batch.ProducerSession{}, 0)
			_, records, _ := bed.DecodeBatch(t, part.wire())
			sizes = append(sizes, len(records))
			for i := range records {
				for at%4 == 1 {
					at++
				}
				if err := sameRecord(&records[i], all[at]); err != nil {
					t.Errorf("record %d: %v", at, err)
				}
				if part.records[i].timestamp != int64(1000+at) {
					t.Errorf("record %d has the time of another", at)
				}
				at++
			}
		}
		if !slices.Equal(sizes, test.want) {
			t.Errorf("parts of %v records, want %v", sizes, test.want)
		}
	}
}

// TestBatchFits: if fits says that a record fits, the batch with it does not exceed the
// limit.
func TestBatchFits(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	for range 200 {
		limit := r.IntN(50_000) + 1000
		b := newBatch(time.Time{})
		for {
			record := randomRecord(r)
			content := batch.ContentSize(record)
			if !b.fits(content, limit) {
				break
			}
			first := len(b.records) == 0
			b.add(record, content, r.Int64N(math.MaxInt64/4), 0, nil)
			if b.size() > limit && !first {
				t.Fatalf("%d bytes, at most %d were allowed", b.size(), limit)
			}
		}
	}
}

func TestNextSequence(t *testing.T) {
	for _, test := range []struct {
		from int32
		n    int
		want int32
	}{{0, 1, 1}, {5, 10, 15}, {math.MaxInt32, 1, 0}, {math.MaxInt32 - 1, 3, 1}} {
		if got := batch.NextSequence(test.from, test.n); got != test.want {
			t.Errorf("%d after %d is %d, want %d", test.n, test.from, got, test.want)
		}
	}
}

// TestProduceRequest reads encoded requests back with kmsg, in every version.
func TestProduceRequest(t *testing.T) {
	p := &Producer{}
	topics := []*producerTopic{{name: "a"}, {name: "b"}}
	for i, topic := range topics {
		topic.layout.Store(&topicLayout{id: transport.TopicID{byte(i) + 1}})
	}
	for _, size := range []int{10, copied} {
		for version := int16(3); version <= cluster.Highest(int16(kmsg.Produce)); version++ {
			r := &round{}
			r.req.flight = &flight{}
			for _, at := range []struct{ topic, index int }{{0, 2}, {0, 5}, {1, 0}} {
				part := newPartition(p, topics[at.topic], int32(at.index), 0)
				part.head = newBatch(time.Time{})
				record := &transport.Record{Value: bed.Noise(size)}
				part.head.add(record, batch.ContentSize(record), 1, 1, nil)
				part.stamp(part.head, batch.ProducerSession{ID: 3, Epoch: 4})
				r.parts = append(r.parts, part)
				r.req.flight.add(part, part.head)
			}
			r.req.SetVersion(version)
			r.req.TimeoutMillis = 1234
			frame := r.req.frame("me", nil)
			if pieces := r.req.pieces(frame); pieces != nil {
				frame = slices.Concat(pieces...)
			}
			var got kmsg.ProduceRequest
			got.SetVersion(version)
			header := 4 + 2 + 2 + 4 + 2 + len("me")
			if version >= 9 {
				header++
			}
			if err := got.ReadFrom(frame[header:]); err != nil {
				t.Fatalf("version %d: %v", version, err)
			}
			want := kmsg.NewPtrProduceRequest()
			want.SetVersion(version)
			want.Acks, want.TimeoutMillis = -1, 1234
			for _, part := range r.parts {
				if n := len(want.Topics); n == 0 || want.Topics[n-1].Topic != part.topic.name {
					topic := kmsg.NewProduceRequestTopic()
					topic.Topic, topic.TopicID = part.topic.name, part.topic.layout.Load().id
					want.Topics = append(want.Topics, topic)
				}
				topic := &want.Topics[len(want.Topics)-1]
				partition := kmsg.NewProduceRequestTopicPartition()
				partition.Partition, partition.Records = part.index, part.head.wire()
				topic.Partitions = append(topic.Partitions, partition)
			}
			if !bytes.Equal(got.AppendTo(nil), want.AppendTo(nil)) {
				t.Errorf("version %d, %d bytes: other than kmsg's", version, size)
			}
		}
	}
}

func TestEncodeAllocations(t *testing.T) {
	record := bed.SampleRecord(1)
	content := batch.ContentSize(record)
	n := testing.AllocsPerRun(100, func() {
		b := newBatch(time.Time{})
		for range 100 {
			b.add(record, content, 1, 1, nil)
		}
		b.stamp(new(batch.Compression), batch.ProducerSession{}, 0)
		b.recycle()
	})
	// The pools that batches come from may be empty; records cost nothing.
	if n > 20 {
		t.Errorf("%.0f allocations for a batch of 100 records", n)
	}
}

func BenchmarkEncode(b *testing.B) {
	record := bed.SampleRecord(1)
	b.ReportAllocs()
	open := newBatch(time.Time{})
	for range b.N {
		content := batch.ContentSize(record)
		if !open.fits(content, 1_000_000) {
			open.stamp(new(batch.Compression), batch.ProducerSession{}, 0)
			open.recycle()
			open = newBatch(time.Time{})
		}
		open.add(record, content, 1, record.Size(), nil)
	}
}

// TestBatchMemory: the memory of a batch is in proportion to its records, even if the
// previous batch was large: there may be thousands of partitions that are idle now.
func TestBatchMemory(t *testing.T) {
	b := newBatch(time.Now())
	defer b.recycle()
	b.usual = 1_000_000
	r := &transport.Record{Value: make([]byte, 3000)}
	for n := range 300 {
		b.add(r, batch.ContentSize(r), int64(n), 0, nil)
		if has, most := cap(b.raw.Bytes), 2*mostGrowth*len(b.raw.Bytes); has > most {
			t.Fatalf("%d records of %d bytes take %d, want at most %d", n+1, len(b.raw.Bytes), has, most)
		}
	}
}
