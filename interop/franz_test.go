//go:build integration

package interop

import (
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// franzWrite writes records, as many to a batch as fit.
func franzWrite(t *testing.T, c *cluster, codec kgo.CompressionCodec, records []record) {
	t.Helper()
	client := franzClient(t, c, kgo.DefaultProduceTopic(c.topic), kgo.ProducerBatchCompression(codec), kgo.ManualFlushing())
	ctx := deadline(t)
	// Flush returns once every outcome has been reported.
	outcome := func(_ *kgo.Record, err error) {
		if err != nil {
			t.Errorf("franz-go writes: %v", err)
		}
	}
	for _, r := range records {
		w := &kgo.Record{Key: []byte(r.key), Value: []byte(r.value)}
		for _, h := range r.headers {
			w.Headers = append(w.Headers, kgo.RecordHeader{Key: h[0], Value: []byte(h[1])})
		}
		client.Produce(ctx, w, outcome)
	}
	if err := client.Flush(ctx); err != nil {
		t.Fatalf("franz-go flushes: %v", err)
	}
}

// franzLog is a topic as franz-go reads it.
type franzLog struct {
	records []record    // by partition and offset
	codecs  map[int]int // number of records, by the number of their codec
	batches batchSizes
}

// franzRead reads count records from the topic, and checks that these are all, at
// every offset from 0 to the end.
func franzRead(t *testing.T, c *cluster, count int) *franzLog {
	t.Helper()
	log := &franzLog{codecs: map[int]int{}}
	client := franzClient(t, c,
		kgo.ConsumeTopics(c.topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.WithHooks(&log.batches))
	ctx := deadline(t)
	ends := map[int32]int64{}
	for len(log.records) < count {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("franz-go reads %d records of %d: %v", len(log.records), count, err)
		}
		fetches.EachPartition(func(p kgo.FetchTopicPartition) { ends[p.Partition] = p.HighWatermark })
		fetches.EachRecord(log.add)
	}
	slices.SortStableFunc(log.records, func(a, b record) int { return int(a.partition - b.partition) })
	next := map[int32]int64{}
	for _, r := range log.records {
		if r.offset != next[r.partition] {
			t.Fatalf("franz-go reads offset %d of partition %d, want %d", r.offset, r.partition, next[r.partition])
		}
		next[r.partition]++
	}
	for partition, end := range ends {
		if next[partition] != end {
			t.Fatalf("franz-go reads %d records of partition %d, which ends at %d", next[partition], partition, end)
		}
	}
	return log
}

func (l *franzLog) add(r *kgo.Record) {
	read := record{key: string(r.Key), value: string(r.Value), partition: r.Partition, offset: r.Offset}
	for _, h := range r.Headers {
		read.headers = append(read.headers, [2]string{h.Key, string(h.Value)})
	}
	l.records = append(l.records, read)
	l.codecs[int(r.Attrs.CompressionType())]++
}

func franzClient(t *testing.T, c *cluster, options ...kgo.Opt) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(append(options, kgo.SeedBrokers(strings.Split(c.brokers, ",")...))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// batchSizes sums up batches as read by franz-go; bytes are those of their records.
type batchSizes struct {
	mu      sync.Mutex
	count   int
	largest int // records
	plain   int // bytes, decompressed
	packed  int // bytes, as stored
}

// OnFetchBatchRead implements kgo.HookFetchBatchRead.
func (s *batchSizes) OnFetchBatchRead(_ kgo.BrokerMetadata, _ string, _ int32, m kgo.FetchBatchMetrics) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count++
	s.largest = max(s.largest, m.NumRecords)
	s.plain += m.UncompressedBytes
	s.packed += m.CompressedBytes
}
