package kafkatest

import (
	"context"
	"testing"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/internal/letter"
	"github.com/eventbus-go/eventbus/transport"
)

// Duplicate writes an event of a topic again, like a producer that retries without
// being idempotent: it copies the event's newest record, with the same id, to the end
// of its partition. The test fails if the event was never published.
func Duplicate[T any](t testing.TB, c *Cluster, topic *eventbus.Topic[T], event T) {
	t.Helper()
	wanted := show(t, topic, event)
	var newest *transport.Record
	records := c.records(t, func(name string) bool { return names(name, topic) })
	for i := range records {
		e := envelopeOf(topic.Declaration().Form, &records[i])
		if e == nil || e.Type != topic.Type() || e.Tombstone {
			continue
		}
		if there, err := topic.Decode(e); err == nil && show(t, topic, there) == wanted {
			// Records of a key are in log order, so the last equal one is the newest.
			newest = &records[i]
		}
	}
	if newest == nil {
		t.Fatalf("kafkatest: Duplicate: %s%s was never published on %s", wanted.key, wanted.data, topic.In(c.environment))
	}
	c.Produce(t, *newest)
}

// Redeliver sends the dead letters of a topic back to the group that failed, in order
// and through the group's retry topic, as "eventbus dlq replay" does. Each is sent
// back only once. The test fails if there are none to send.
func Redeliver[T any](t testing.TB, c *Cluster, topic *eventbus.Topic[T]) {
	t.Helper()
	var again []transport.Record
	for _, dead := range DeadLettered(t, c, topic) {
		r := &dead.Record
		at := transport.Position{Partition: transport.Partition{Topic: r.Topic, Partition: r.Partition}, Offset: r.Offset}
		// An unreadable letter does not say what to send back, and is left out.
		parsed, err := letter.Read(r)
		if err == nil && c.comesBack(at) {
			again = append(again, parsed.Again())
		}
	}
	if len(again) == 0 {
		t.Fatalf("kafkatest: Redeliver: no dead letters of %s that were not brought back before", topic.In(c.environment))
	}
	c.Produce(t, again...)
}

// comesBack reports whether the dead letter at a position has not been sent back
// before, and notes that it is now.
func (c *Cluster) comesBack(at transport.Position) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.returned[at] {
		return false
	}
	c.returned[at] = true
	return true
}

// Disconnect disconnects every bus of the cluster from the brokers until reconnect is
// called: connections end, and none can be made. Assertions that read from brokers
// wait, so reconnect before them. reconnect may be called more than once; the test's
// Cleanup calls it too.
func (c *Cluster) Disconnect(t testing.TB) (reconnect func()) {
	t.Helper()
	if c.memory != nil {
		c.memory.Disconnect()
		t.Cleanup(c.memory.Reconnect)
		return c.memory.Reconnect
	}
	c.network.cut()
	mended := false
	// Cuts are counted, so each Disconnect must be undone only once.
	reconnect = func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if !mended {
			mended = true
			c.network.mend()
		}
	}
	// A test may fail before it reconnects, and Close needs the brokers.
	t.Cleanup(reconnect)
	return reconnect
}

// HoldPartition makes a partition of a topic endlessly slow: groups keep it, but get
// nothing from it until release is called. release may be called more than once; the
// test's Cleanup calls it too. HoldPartition works only on clusters in memory.
func HoldPartition[T any](t testing.TB, c *Cluster, topic *eventbus.Topic[T], partition int32) (release func()) {
	t.Helper()
	if c.memory == nil {
		t.Fatalf("kafkatest: HoldPartition needs a cluster in memory (NewMemory)")
	}
	release, err := c.memory.HoldFetches(topic.In(c.environment), partition)
	if err != nil {
		t.Fatalf("kafkatest: HoldPartition: %v: publish on the topic or start a bus with it first", err)
	}
	t.Cleanup(release)
	return release
}

// Rebalance makes every group of the test's buses reassign its partitions, and
// returns when all partitions have an owner again. In memory each partition is revoked
// from its owner; on brokers a member joins the group and leaves again, which moves
// some partitions.
func (c *Cluster) Rebalance(t testing.TB) {
	t.Helper()
	for group, topics := range c.links.groups() {
		switch {
		case group == "":
		case c.memory != nil:
			c.memory.Rebalance(group)
		default:
			c.visit(t, group, topics)
		}
	}
	c.await(t, "the partitions are not assigned after the rebalance", c.unassigned)
}

// visit joins a group and leaves it; each causes a rebalance.
func (c *Cluster) visit(t testing.TB, group string, topics []string) {
	t.Helper()
	config := transport.ConsumerConfig{Group: group, Listener: visitor{}}
	for _, topic := range topics {
		config.Topics = append(config.Topics, transport.TopicStart{Topic: topic})
	}
	member, err := c.transport.NewConsumer(config)
	if err != nil {
		t.Fatalf("kafkatest: Rebalance: joining group %s: %v", group, err)
	}
	c.await(t, "Rebalance", func(_ context.Context, u *unfinished) error {
		if s := member.Status(); !s.Joined || s.State != "stable" {
			u.add("the member that joined group %s is %s: %v", group, s.State, s.LastError)
		}
		return nil
	})
	ctx, cancel := context.WithTimeout(context.Background(), closing)
	defer cancel()
	if err := member.Close(ctx); err != nil {
		t.Fatalf("kafkatest: Rebalance: leaving group %s: %v", group, err)
	}
}

// visitor is the listener of visit. It takes partitions and never fetches from
// them, so it has nothing to commit when they are revoked.
type visitor struct{}

func (visitor) Assigned([]transport.Assignment)                  {}
func (visitor) Revoked(context.Context, []transport.Partition)   {}
func (visitor) Lost([]transport.Partition)                       {}
func (visitor) Skipped(transport.Partition, int64, int64, error) {}
