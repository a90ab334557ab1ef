package engine

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

// endless is a consumer that always has another batch, of records made beforehand,
// so that a benchmark measures only the engine.
type endless struct {
	listener   transport.Listener
	partitions []transport.Partition
	keys       [][]byte
	next       []int64
	left       int64 // records still to come
	turn       int
	free       sync.Pool
	wake       chan struct{}
	mu         sync.Mutex
	paused     map[transport.Partition]bool
	closed     atomic.Bool
}

const endlessBatch = 1000

func newEndless(records, partitions, keys int) *endless {
	c := &endless{left: int64(records), wake: make(chan struct{}, 1), paused: make(map[transport.Partition]bool)}
	for i := range partitions {
		c.partitions = append(c.partitions, transport.Partition{Topic: "t", Partition: int32(i)})
	}
	c.pause(true, c.partitions) // until they are assigned
	c.next = make([]int64, partitions)
	for i := range keys {
		c.keys = append(c.keys, fmt.Appendf(nil, "customer-%d", i))
	}
	c.free.New = func() any {
		records := make([]transport.Record, endlessBatch)
		return &records
	}
	return c
}

func (c *endless) assign() {
	var assigned []transport.Assignment
	for _, p := range c.partitions {
		assigned = append(assigned, transport.Assignment{Partition: p, Epoch: 1, LeaderEpoch: -1})
	}
	c.listener.Assigned(assigned)
	c.pause(false, c.partitions)
}

func (c *endless) Poll(ctx context.Context) ([]transport.Batch, error) {
	for {
		if b, ok := c.batch(); ok {
			return []transport.Batch{b}, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-c.wake:
		}
	}
}

func (c *endless) batch() (b transport.Batch, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for range c.partitions {
		i := c.turn
		c.turn = (c.turn + 1) % len(c.partitions)
		if c.left == 0 || c.paused[c.partitions[i]] {
			continue
		}
		memory := c.free.Get().(*[]transport.Record)
		n := min(c.left, endlessBatch)
		c.left -= n
		records := (*memory)[:n]
		from := c.next[i]
		c.next[i] += n
		for j := range records {
			o := from + int64(j)
			key := c.keys[o%int64(len(c.keys))]
			records[j] = transport.Record{Topic: "t", Partition: int32(i), Offset: o, Key: key, Value: key}
		}
		return transport.Batch{
			Partition: c.partitions[i], Epoch: 1, From: from, Next: from + n, Records: records,
			Release: func() { c.free.Put(memory) },
		}, true
	}
	return b, false
}

func (c *endless) pause(paused bool, partitions []transport.Partition) {
	c.mu.Lock()
	for _, p := range partitions {
		c.paused[p] = paused
	}
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *endless) Pause(p ...transport.Partition)                    { c.pause(true, p) }
func (c *endless) Resume(p ...transport.Partition)                   { c.pause(false, p) }
func (c *endless) Commit(context.Context, ...transport.Commit) error { return nil }
func (c *endless) TypeState(string, string) transport.TypeState {
	return transport.TypeState{Known: true}
}
func (c *endless) Alive() bool                          { return !c.closed.Load() }
func (c *endless) Status() (s transport.ConsumerStatus) { return s }
func (c *endless) Close(ctx context.Context) error {
	c.listener.Revoked(ctx, c.partitions)
	c.closed.Store(true)
	return nil
}

// BenchmarkEngine measures the way of a record through intake, lane, worker and
// watermark, with a handler that does nothing.
func BenchmarkEngine(b *testing.B) {
	for _, shape := range []struct {
		name                         string
		partitions, keys, concurrent int
	}{
		{"keys=1000", 8, 1000, 64},
		{"keys=1000/one-worker", 8, 1000, 1},
		{"hot-key", 8, 1, 64},
	} {
		b.Run(shape.name, func(b *testing.B) {
			benchmarkEngine(b, shape.partitions, shape.keys, shape.concurrent)
		})
	}
}

func benchmarkEngine(b *testing.B, partitions, keys, concurrency int) {
	var handled atomic.Int64
	done := make(chan struct{})
	sub := &Subscription{Name: "s", Concurrency: concurrency, Timeout: time.Minute}
	sub.Handle = func(context.Context, *Attempt) error {
		if handled.Add(1) == int64(b.N) {
			close(done)
		}
		return nil
	}
	e := New(Config{
		Group: "g",
		Route: func(*transport.Record) Route { return Route{Subscription: sub} },
		Judge: func(error) Verdict { return Verdict{} },
	})
	e.Attach(sub)
	c := newEndless(b.N, partitions, keys)
	c.listener = e
	b.ReportAllocs()
	b.ResetTimer()
	e.Start(c)
	c.assign()
	<-done
	b.StopTimer()
	if err := e.Drain(context.Background()); err != nil {
		b.Fatal(err)
	}
}
