package kafkatest

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/transport"
	"github.com/eventbus-go/eventbus/transport/memory"
)

// Cluster is a cluster for one test, and a record of what the test's buses did on it.
// It is safe for concurrent use. The Cleanup of the test that made it closes it.
type Cluster struct {
	// transport is the cluster's own; each bus gets a link to it.
	transport transport.Transport
	// memory is nil for brokers, network and brokers are nil in memory.
	memory  *memory.Cluster
	brokers []string
	// network loses connections for Disconnect.
	network *network
	// environment is that of the cluster's buses.
	environment string

	// mu guards the fields below, except links.
	mu sync.Mutex
	// buses are all buses of the cluster, including closed ones.
	buses []*eventbus.Bus
	links links
	// handled has the events that handlers handled, in the order in which they
	// finished.
	handled []handling
	// publishers are the buses of Publish, which the first call of each test makes.
	publishers map[testing.TB]*eventbus.Bus
	// raw is the producer of Produce, nil before its first use.
	raw transport.Producer
	// returned has the dead letters that Redeliver has sent back.
	returned map[transport.Position]bool
	// misuses are reported by the next wait of the test.
	misuses misuses

	// The slices of faults in force are replaced, never modified.
	publishFaults, handlerFaults faults
	// changed is closed and replaced at each change.
	changed chan struct{}
}

// testEnvironment is the Environment of a test's buses: topics begin with "test.".
const testEnvironment = "Test"

// closing bounds each wait of a Cleanup, and each call that a test makes to the
// cluster.
const closing = 10 * time.Second

// NewMemory returns a cluster in memory: no sockets, no waiting, and the same order of
// events on every run.
func NewMemory(t testing.TB) *Cluster {
	t.Helper()
	m := memory.New()
	return newCluster(t, &Cluster{transport: m, memory: m, environment: testEnvironment})
}

// newCluster initializes c, and closes it when the test ends.
func newCluster(t testing.TB, c *Cluster) *Cluster {
	c.links.live = make(map[any]membership)
	c.links.topics = make(map[string]struct{})
	c.returned = make(map[transport.Position]bool)
	c.changed = make(chan struct{})
	c.publishers = make(map[testing.TB]*eventbus.Bus)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), closing)
		defer cancel()
		// The producer first: it flushes over the transport.
		if c.raw != nil {
			if err := c.raw.Close(ctx); err != nil {
				t.Errorf("kafkatest: closing the cluster's producer: %v", err)
			}
		}
		if err := c.transport.Close(ctx); err != nil {
			t.Errorf("kafkatest: closing the cluster: %v", err)
		}
		c.reportMisuses(t)
	})
	return c
}

// Transport returns a transport for a bus that the test makes itself with
// eventbus.New. Closing it does not close the cluster. Settle, Handled, the faults
// and the assertions include that bus, like those of Bus, Start and Module.
func (c *Cluster) Transport() transport.Transport { return &link{c.transport, c} }

// Memory returns the cluster that NewMemory made; its methods inject faults and
// inspect the cluster. Memory returns nil for a cluster of brokers.
func (c *Cluster) Memory() *memory.Cluster { return c.memory }

// Brokers returns the brokers' host:port addresses, or none for a cluster in memory.
func (c *Cluster) Brokers() []string { return c.brokers }

// Environment returns the environment of the cluster's buses:
// topic.In(c.Environment()) is a topic's name. On brokers that outlive the test each
// Cluster has a new one, and a test never sees what another left behind.
func (c *Cluster) Environment() string { return c.environment }

// Produce writes records unchanged, including those that no publisher of the bus
// would write, as another or a broken client would. It creates missing topics. The
// records' Partition is used as it is; with transport.AnyPartition the key decides.
func (c *Cluster) Produce(t testing.TB, records ...transport.Record) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), closing)
	defer cancel()
	producer, err := c.rawProducer()
	if err != nil {
		t.Fatalf("kafkatest: %v", err)
	}
	outcome := make(written, len(records))
	for i := range records {
		r := &records[i]
		if err := c.transport.Admin().CreateTopics(ctx, transport.TopicSpec{Name: r.Topic}); err != nil {
			t.Fatalf("kafkatest: creating topic %s: %v", r.Topic, err)
		}
		if err := producer.Produce(ctx, r, outcome); err != nil {
			t.Fatalf("kafkatest: producing to %s: %v", r.Topic, err)
		}
	}
	for range records {
		if err := <-outcome; err != nil {
			t.Fatalf("kafkatest: producing: %v", err)
		}
	}
}

// rawProducer returns the producer of Produce, which all calls share.
func (c *Cluster) rawProducer() (_ transport.Producer, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.raw == nil {
		c.raw, err = c.Transport().NewProducer(transport.ProducerConfig{})
	}
	return c.raw, err
}

// written is the transport.Completion of Produce. It has room for the outcomes of
// all records, so the producer never waits.
type written chan error

// Done implements transport.Completion.
func (w written) Done(_ transport.Position, err error) { w <- err }

// signal wakes the goroutines that wait for a change.
func (c *Cluster) signal() {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.changed)
	c.changed = make(chan struct{})
}

// next returns a channel that the next change closes. Callers get it before they look
// at the cluster, so that they miss no change.
func (c *Cluster) next() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changed
}

// names reports whether full is the topic's name in any environment.
func names[T any](full string, topic *eventbus.Topic[T]) bool {
	if d := topic.Declaration(); d.Address != "" {
		return d.Named(full)
	}
	environment, ok := strings.CutSuffix(full, strings.TrimPrefix(topic.In("x"), "x"))
	return ok && environment != "" && !strings.Contains(environment, ".")
}
