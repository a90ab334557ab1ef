package kafka

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/eventbus-go/eventbus/transport"
)

// counted is a Completion that counts.
type counted struct {
	n      atomic.Int64
	failed atomic.Int64
}

func (c *counted) Delivered(_ transport.Position, err error) {
	c.n.Add(1)
	if err != nil {
		c.failed.Add(1)
	}
}

// sampleRecord is an event of about 300 bytes with six CloudEvents headers.
func sampleRecord(i int) *transport.Record {
	return &transport.Record{
		Topic: "events", Partition: transport.AnyPartition,
		Key:   []byte("customer-" + strconv.Itoa(i%1000)),
		Value: []byte(fmt.Sprintf("%0300d", i)),
		Headers: []transport.Header{
			{Key: "ce_specversion", Value: []byte("1.0")}, {Key: "ce_type", Value: []byte("CustomerCreated")},
			{Key: "ce_source", Value: []byte("urn:momentum:sales-api")}, {Key: "ce_id", Value: []byte("0198c5d8-3f4e-7c1a-9d3e-0123456789ab")},
			{Key: "ce_time", Value: []byte("2026-11-23T06:44:00Z")}, {Key: "content-type", Value: []byte("application/json")},
		},
	}
}

func benchProducer(b *testing.B) transport.Producer {
	k, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(6, "events"), kfake.BlackholeProduce())
	if err != nil {
		b.Fatal(err)
	}
	t := New(Config{Brokers: k.ListenAddrs()})
	p, err := t.NewProducer(transport.ProducerConfig{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := p.Close(context.Background()); err != nil {
			b.Error(err)
		}
		_ = t.Close(context.Background())
		k.Close()
	})
	return p
}

func BenchmarkProduceAsync(b *testing.B) {
	p := benchProducer(b)
	r := sampleRecord(1)
	keys := make([][]byte, 1000)
	for i := range keys {
		keys[i] = []byte("customer-" + strconv.Itoa(i))
	}
	var c counted
	b.ReportAllocs()
	for i := range b.N {
		r.Key = keys[i%len(keys)]
		if err := p.Produce(b.Context(), r, &c); err != nil {
			b.Fatal(err)
		}
	}
	if err := p.Flush(b.Context()); err != nil {
		b.Fatal(err)
	}
	if c.n.Load() != int64(b.N) || c.failed.Load() > 0 {
		b.Fatalf("%d of %d outcomes, %d failures", c.n.Load(), b.N, c.failed.Load())
	}
}

// receipt is a Completion to wait for.
type receipt chan error

func (r receipt) Delivered(_ transport.Position, err error) { r <- err }

func BenchmarkProduceSync(b *testing.B) {
	for _, publishers := range []int{1, 64, 512} {
		b.Run(strconv.Itoa(publishers), func(b *testing.B) {
			p := benchProducer(b)
			var left atomic.Int64
			left.Store(int64(b.N))
			b.ReportAllocs()
			var all sync.WaitGroup
			for g := range publishers {
				all.Go(func() {
					r, done := sampleRecord(g), make(receipt, 1)
					for left.Add(-1) >= 0 {
						if err := p.Produce(b.Context(), r, done); err != nil {
							b.Error(err)
							return
						}
						if err := <-done; err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			all.Wait()
		})
	}
}
