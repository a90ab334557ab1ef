package group

import (
	"context"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eventbus-go/eventbus/kafka/internal/bed"
	"github.com/eventbus-go/eventbus/transport"
)

// foreign is a member of the group that uses another library, franz-go.
type foreign struct {
	*kgo.Client
	mu    sync.Mutex
	owned map[int32]bool
	ended chan struct{}
}

// startForeign starts a foreign member, which records in the ledger what it reads. It
// sends to change when its partitions change.
func startForeign(b *bed.Bed, l *ledger, balancer kgo.GroupBalancer, change chan<- struct{}) *foreign {
	b.T.Helper()
	f := &foreign{owned: make(map[int32]bool), ended: make(chan struct{})}
	note := func(owns bool) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(ctx context.Context, c *kgo.Client, partitions map[string][]int32) {
			if !owns {
				if err := c.CommitUncommittedOffsets(ctx); err != nil {
					b.T.Errorf("commit of the foreign member: %v", err)
				}
			}
			f.mu.Lock()
			defer f.mu.Unlock()
			for _, p := range partitions["events"] {
				f.owned[p] = owns
			}
			maps.DeleteFunc(f.owned, func(_ int32, owns bool) bool { return !owns })
			change <- struct{}{}
		}
	}
	c, err := kgo.NewClient(kgo.SeedBrokers(b.ListenAddrs()...), kgo.Dialer(b.Wires.DialContext), kgo.ConsumerGroup("group"),
		kgo.ConsumeTopics("events"), kgo.Balancers(balancer), kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsAssigned(note(true)), kgo.OnPartitionsRevoked(note(false)))
	if err != nil {
		b.T.Fatal(err)
	}
	f.Client = c
	go func() {
		defer close(f.ended)
		for {
			fetches := c.PollFetches(context.Background())
			if fetches.IsClientClosed() {
				return
			}
			for r := range fetches.RecordsAll() {
				batch := transport.Batch{Partition: transport.Partition{Topic: r.Topic, Partition: r.Partition}}
				batch.Records = []transport.Record{{Value: r.Value}}
				l.add(&batch)
			}
			c.AllowRebalance()
		}
	}()
	return f
}

func (f *foreign) close() {
	f.CloseAllowingRebalance()
	<-f.ended
}

// TestMixedGroup: partitions move between members that use this library and another,
// whichever of them leads the group, and each record is read once.
func TestMixedGroup(t *testing.T) {
	for name, balancer := range map[string]kgo.GroupBalancer{
		"cooperative-sticky": kgo.CooperativeStickyBalancer(),
		"range":              kgo.RangeBalancer(),
		"roundrobin":         kgo.RoundRobinBalancer(),
	} {
		t.Run(name, func(t *testing.T) {
			bed.Bubble(t, 6, func(t *testing.T, b *bed.Bed) {
				membershipOf(b).Balancer = name
				l, change := newLedger(), make(chan struct{}, 100)
				has := func(f *foreign, n int) {
					t.Helper()
					deadline := time.After(time.Minute)
					for {
						f.mu.Lock()
						owns := len(f.owned)
						f.mu.Unlock()
						if owns == n {
							return
						}
						select {
						case <-change:
						case <-deadline:
							t.Fatalf("the foreign member has %d partitions, want %d", owns, n)
						}
					}
				}
				stop := b.Flow(startProducer(b, transport.ProducerConfig{}), 6, 10*time.Millisecond)
				ours := startReader(b, l) // leads
				ours.awaitOwned(6)
				theirs := startForeign(b, l, balancer, change)
				has(theirs, 3)
				ours.awaitOwned(3)
				l.await(t, 200)
				ours.close() // theirs leads
				has(theirs, 6)
				again := startReader(b, l)
				again.awaitOwned(3)
				has(theirs, 3)
				l.await(t, 400)
				theirs.close()
				again.awaitOwned(6)
				l.await(t, stop())
				l.equals(b, 6)
			})
		})
	}
}
