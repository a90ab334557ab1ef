package produce

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/eventbus-go/eventbus/kafka/internal/bed"
	"github.com/eventbus-go/eventbus/kafka/internal/bedclient"
	"github.com/eventbus-go/eventbus/kafka/internal/cluster"
	"github.com/eventbus-go/eventbus/transport"
)

func benchProducer(b *testing.B) transport.Producer {
	k, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(6, "events"), kfake.BlackholeProduce())
	if err != nil {
		b.Fatal(err)
	}
	c := cluster.NewClient(bedclient.Options(k.ListenAddrs(), nil))
	p, err := NewProducer(c, transport.ProducerConfig{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := p.Close(context.Background()); err != nil {
			b.Error(err)
		}
		c.Close()
		k.Close()
	})
	return p
}

func BenchmarkProduceAsync(b *testing.B) {
	p := benchProducer(b)
	r := bed.SampleRecord(1)
	keys := make([][]byte, 1000)
	for i := range keys {
		keys[i] = []byte("customer-" + strconv.Itoa(i))
	}
	var c bed.Counted
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
	if c.N.Load() != int64(b.N) || c.Failed.Load() > 0 {
		b.Fatalf("%d of %d outcomes, %d failures", c.N.Load(), b.N, c.Failed.Load())
	}
}

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
					r, done := bed.SampleRecord(g), make(bed.Receipt, 1)
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
