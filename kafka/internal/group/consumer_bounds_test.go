package group

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus/kafka/internal/bed"
	"github.com/eventbus-go/eventbus/transport"
)

// TestFetchBound: if the caller does not poll, little more than the bound is
// fetched. Once it polls, it gets everything.
func TestFetchBound(t *testing.T) {
	bed.Bubble(t, 4, func(t *testing.T, b *bed.Bed) {
		const bound, size, each = 1 << 20, 10_000, 200
		p := startProducer(b, transport.ProducerConfig{BatchBytes: 50_000})
		var last bed.Receipt
		for n := range each * 4 {
			last = b.Publish(p, int32(n%4), strings.Repeat("x", size))
		}
		b.Delivered(last)
		c := startPolled(b, &assigns{}, func(cfg *transport.ConsumerConfig) { cfg.FetchBytes = bound })
		time.Sleep(time.Minute)
		held, reserved := c.fetch.Buffered()
		// One request may add its share, and its buffer is rounded up to a power of
		// two.
		if held == 0 || held+reserved > bound+bound/2 {
			t.Errorf("%d bytes held and %d reserved, the bound is %d", held, reserved, bound)
		}
		records := 0
		for records < each*4 {
			batches, err := c.Poll(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, batch := range batches {
				records += len(batch.Records)
				if batch.Release != nil {
					batch.Release()
				}
			}
		}
		if held, _ := c.fetch.Buffered(); held != 0 {
			t.Errorf("%d bytes held when all is polled", held)
		}
	})
}

// TestFetchPausedHoldsNothingUp: fetched data of paused partitions is dropped when
// others need the memory, and fetched again when they resume.
func TestFetchPausedHoldsNothingUp(t *testing.T) {
	bed.Bubble(t, 4, func(t *testing.T, b *bed.Bed) {
		p := startProducer(b, transport.ProducerConfig{BatchBytes: 50_000})
		const each = 100
		var last bed.Receipt
		for n := range each * 3 {
			last = b.Publish(p, int32(n%3), strings.Repeat("x", 10_000))
		}
		b.Delivered(last)
		c := startPolled(b, &assigns{}, func(cfg *transport.ConsumerConfig) { cfg.FetchBytes = 256 << 10 })
		time.Sleep(time.Minute) // until the bound is reached
		paused := []transport.Partition{{Topic: "events", Partition: 0}, {Topic: "events", Partition: 1}, {Topic: "events", Partition: 2}}
		c.Pause(paused...)
		next := make(map[int32]int64)
		take := func(until func() bool) {
			t.Helper()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			for !until() {
				batches, err := c.Poll(ctx)
				if err != nil {
					t.Fatal(err)
				}
				for _, batch := range batches {
					if batch.From != next[batch.Partition.Partition] {
						t.Fatalf("%v: from %d, want %d", batch.Partition, batch.From, next[batch.Partition.Partition])
					}
					next[batch.Partition.Partition] = batch.Next
				}
			}
		}
		for n := range int64(5) {
			b.Delivered(b.Publish(p, 3, "y"))
			take(func() bool { return next[3] == n+1 })
		}
		if len(next) != 1 {
			t.Errorf("paused partitions were returned: %v", next)
		}
		c.Resume(paused...)
		take(func() bool { return next[0]+next[1]+next[2] == 3*each })
	})
}

// TestFetchAborted: records of aborted transactions are returned only to a consumer
// that reads uncommitted ones, and markers are skipped.
func TestFetchAborted(t *testing.T) {
	bed.Bubble(t, 1, func(t *testing.T, b *bed.Bed) {
		l := newLedger()
		startReader(b, l)
		all := newLedger()
		startReader(b, all, func(cfg *transport.ConsumerConfig) { cfg.Group, cfg.ReadUncommitted = "all", true })
		for i, commit := range []bool{true, false, false, true} {
			b.Transact(fmt.Sprint("transaction ", i), 3, commit)
		}
		p := startProducer(b, transport.ProducerConfig{})
		b.Delivered(b.Publish(p, 0, "last"))
		all.await(t, 13)
		l.await(t, 7)
		l.mu.Lock()
		defer l.mu.Unlock()
		want := []string{}
		for _, i := range []int{0, 3} {
			for k := range 3 {
				want = append(want, fmt.Sprintf("transaction %d: %d", i, k))
			}
		}
		if got := l.taken[0]; !slices.Equal(got, append(want, "last")) {
			t.Errorf("took %q", got)
		}
	})
}
