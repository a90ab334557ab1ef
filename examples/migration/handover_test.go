package migration_test

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/examples/migration/shop"
	"github.com/eventbus-go/eventbus/resilience"
)

// TestHandover moves a group to the bus and back: both publish, theirs handles a third,
// ours handles a third, theirs the rest. Nothing is lost, nothing is handled twice, and both
// put a key into the same partition.
func TestHandover(t *testing.T) {
	const third, names = 400, 97
	for _, c := range clients {
		t.Run(c.name, func(t *testing.T) {
			s := newScene(t, &c)
			b := newBook()
			theirs, ours := b.orders(3*third/2, names), b.orders(3*third/2, names)
			b.theirs = len(theirs)
			c.publish(t, s, theirs)
			check0(t, c.ourPublish(deadline(t), s.Bus(t), ours...))
			ends := onePartitionPerKey(t, s, 3*third)

			c.consume(t, s, third, b.handledBy(t, "theirs"))
			b.count(t, third)

			// A key that takes its time leaves a gap below what the others have finished. The
			// last quarter of each partition is for theirs, whatever they have read before.
			ahead := b.ours(t, s, &c, third, func(p position) bool { return p.order.ID != "o-7" && p.offset < ends[p.partition]*3/4 })
			if ahead == 0 {
				t.Error("nothing was finished beyond the watermark, so this shows less than it could")
			}
			// The way back: in order by partition, the gaps close and no new ones open.
			newest := maps.Clone(b.newest)
			ahead = b.ours(t, s, &c, 0, func(p position) bool { return p.offset <= newest[p.partition] }, eventbus.Ordered(eventbus.ByPartition))
			if ahead != 0 {
				t.Errorf("%d are finished beyond the commits", ahead)
			}

			c.consume(t, s, 3*third-b.total(), b.handledBy(t, "theirs"))
			b.count(t, 3*third)
			t.Logf("handled %v", b.by)
			for _, way := range []string{"theirs by theirs", "theirs by ours", "ours by theirs", "ours by ours"} {
				if b.by[way] == 0 {
					t.Errorf("no orders of %s", way)
				}
			}
		})
	}
}

// onePartitionPerKey reads the whole topic, and returns where its partitions end.
func onePartitionPerKey(t *testing.T, s *scene, n int) (ends map[int32]int64) {
	t.Helper()
	partition := map[string]int32{}
	ends = map[int32]int64{}
	for _, r := range s.records(t, n) {
		key := string(r.Key)
		if p, ok := partition[key]; ok && p != r.Partition {
			t.Fatalf("key %s is on partitions %d and %d", key, p, r.Partition)
		}
		partition[key] = r.Partition
		ends[r.Partition] = max(ends[r.Partition], r.Offset+1)
	}
	return ends
}

// book has what was published and who handled it.
type book struct {
	mu      sync.Mutex
	next    int
	handled map[int]string  // by Total, which numbers the orders
	theirs  int             // those below are written by theirs
	by      map[string]int  // how many of whose each handled
	newest  map[int32]int64 // the highest offset that ours has handled
}

func newBook() *book {
	return &book{handled: map[int]string{}, by: map[string]int{}, newest: map[int32]int64{}}
}

func (b *book) orders(n, names int) (orders []shop.Order) {
	for range n {
		orders = append(orders, shop.Order{ID: fmt.Sprintf("o-%d", b.next%names), Total: b.next})
		b.next++
	}
	return orders
}

// handledBy returns a function that notes an order, and fails the test for the second
// time.
func (b *book) handledBy(t *testing.T, who string) func(shop.Order) {
	return func(o shop.Order) {
		b.mu.Lock()
		defer b.mu.Unlock()
		if first, ok := b.handled[o.Total]; ok {
			t.Errorf("order %d was handled by %s and again by %s", o.Total, first, who)
		}
		b.handled[o.Total] = who
		writer := "ours"
		if o.Total < b.theirs {
			writer = "theirs"
		}
		b.by[writer+" by "+who]++
	}
}

func (b *book) total() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.handled)
}

func (b *book) count(t *testing.T, want int) {
	t.Helper()
	if got := b.total(); got != want {
		t.Fatalf("%d of %d orders were handled", got, want)
	}
}

// position is an order in the log.
type position struct {
	order     shop.Order
	partition int32
	offset    int64
}

// ours runs the bus's service until it has handled n orders, or without an n until
// nothing is finished beyond the commits, and stops it cleanly. It handles what may
// be handled; the rest waits for the stop. ours returns how many were finished beyond
// the commits then.
func (b *book) ours(t *testing.T, s *scene, c *client, n int, may func(position) bool, handling ...eventbus.SubscribeOption) (ahead int64) {
	t.Helper()
	note := b.handledBy(t, "ours")
	ctx, stop := context.WithCancel(deadline(t))
	defer stop()
	goal := b.total() + n
	left := quota(n)
	done := make(chan error, 1)
	// What waits for the stop fails before the bus has heard of it: it is not to be tried again here.
	handling = append(handling, eventbus.Retry(resilience.Retry{Attempts: 3, Initial: time.Minute, Max: time.Minute}))
	bus := s.Bus(t, func(c *eventbus.Config) {
		c.Handling = append(c.Handling, handling...)
		c.Logger = slog.New(slog.DiscardHandler)
	})
	go func() {
		done <- c.ourConsume(ctx, bus, func(inner context.Context, o shop.Order) error {
			e, _ := eventbus.EnvelopeFrom(inner)
			p := position{o, e.Partition, e.Offset}
			if !may(p) || n > 0 && !left.take() {
				<-ctx.Done()
				return ctx.Err()
			}
			note(o)
			b.mu.Lock()
			defer b.mu.Unlock()
			b.newest[p.partition] = max(b.newest[p.partition], p.offset)
			return nil
		})
	}()
	s.await(t, done, func() bool {
		return n > 0 && b.total() == goal || n == 0 && s.committed(t) == int64(b.total())
	})
	stop()
	check0(t, <-done)
	ahead = int64(b.total()) - s.committed(t)
	t.Logf("%d are handled, %d of them beyond the commits", b.total(), ahead)
	return ahead
}
