package bed

import (
	"context"
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eventbus-go/eventbus/transport"
)

// Counted is a Completion that counts.
type Counted struct {
	N      atomic.Int64
	Failed atomic.Int64
}

// Done counts an outcome.
func (c *Counted) Done(_ transport.Position, err error) {
	c.N.Add(1)
	if err != nil {
		c.Failed.Add(1)
	}
}

// Receipt is a Completion that a test can wait for.
type Receipt chan error

// Done passes the outcome on. A Receipt needs room for it, since Done must not block.
func (r Receipt) Done(_ transport.Position, err error) { r <- err }

// SampleRecord is an event of about 300 bytes with six CloudEvents headers.
func SampleRecord(i int) *transport.Record {
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

// Noise returns n bytes that don't compress, the same ones each time.
func Noise(n int) []byte {
	b := make([]byte, n)
	// A linear congruential generator: the same noise on every machine, without a seed to keep.
	x := uint32(1)
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return b
}

// Bubble runs a test in a synctest bubble, on brokers in memory.
func Bubble(t *testing.T, partitions int32, f func(t *testing.T, b *Bed), opts ...kfake.Opt) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, NewBubble(t, partitions, opts...)) })
}

// ThreeBrokers returns the options of a bubble with three brokers, at fixed ports of its
// own network.
func ThreeBrokers() []kfake.Opt {
	return []kfake.Opt{kfake.NumBrokers(3), kfake.Ports(9092, 9093, 9094)}
}

// Flow publishes a record to each partition in turn, one after another, until the
// test calls stop, which waits for the outcomes and returns how many there were.
func (b *Bed) Flow(p transport.Producer, partitions int32, pause time.Duration) (stop func() int) {
	// stopped is not buffered: stop returns only when the last outcome is known.
	done, stopped := make(chan struct{}), make(chan int)
	go func() {
		n := 0
		defer func() { stopped <- n }()
		for {
			b.Delivered(b.Publish(p, int32(n)%partitions, fmt.Sprint(n)))
			n++
			select {
			case <-done:
				return
			case <-time.After(pause):
			}
		}
	}()
	return func() int {
		close(done)
		return <-stopped
	}
}

// Transact writes n records to partition 0 of "events" in a transaction, which it commits or
// aborts: an aborted one leaves records and a marker that readers must skip.
func (b *Bed) Transact(name string, n int, commit bool) {
	b.T.Helper()
	client := b.foreignClient(kgo.TransactionalID(name), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	defer client.Close()
	if err := client.BeginTransaction(); err != nil {
		b.T.Fatal(err)
	}
	for i := range n {
		r := &kgo.Record{Topic: "events", Value: fmt.Appendf(nil, "%s: %d", name, i)}
		if err := client.ProduceSync(context.Background(), r).FirstErr(); err != nil {
			b.T.Fatal(err)
		}
	}
	if err := client.EndTransaction(context.Background(), kgo.TransactionEndTry(commit)); err != nil {
		b.T.Fatal(err)
	}
}
