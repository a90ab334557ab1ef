package memory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

// ErrUnreachable is what a disconnected Cluster answers.
var ErrUnreachable = errors.New("no broker answers")

const (
	// clusterID is what a cluster in memory answers for its cluster id.
	clusterID = "memory"
	// metadataLimit bounds the metadata of one committed offset, in UTF-16 code
	// units: the default of Kafka's offset.metadata.max.bytes, and its way to count.
	metadataLimit = 4096
)

// Cluster is a transport whose cluster is itself. It is safe for concurrent use.
// Make it with New, and close it after the producers, consumers and readers that it made.
// New alone sets defaultPartitions.
type Cluster struct {
	defaultPartitions int32

	// mu guards all of the state below, and that of every topic, group,
	// producer and consumer. It is never held while code of a caller runs.
	mu        sync.Mutex
	closed    bool
	topics    map[string]*topic
	groups    map[string]*group
	consumers []*consumer
	clients   []client // the producers and readers
	faults    produceFaults

	topicIDs  uint64 // the last one given
	memberIDs uint64
	epochs    uint64
	appended  uint64 // records ever appended: their order across partitions

	cutAt   time.Time     // when Disconnect was called; zero while connected
	changed chan struct{} // closed by the next change; nil while nobody waits
}

// client is a producer or a reader that the cluster made and has not closed.
// Consumers are kept apart: groups and outages have more to do with them.
type client interface {
	Close(context.Context) error
	// reconnected is called at the end of an outage, with the mutex held.
	reconnected()
}

// forget removes a client that closes. c.mu is held.
// Closing again finds nothing to forget and does no harm.
func (c *Cluster) forget(gone client) {
	c.clients = slices.DeleteFunc(c.clients, func(o client) bool { return o == gone })
}

var _ transport.Transport = (*Cluster)(nil)

// Option changes a default of New.
type Option func(*Cluster)

// DefaultPartitions is how many partitions a topic gets that is created without a
// number. Default 1.
func DefaultPartitions(n int32) Option { return func(c *Cluster) { c.defaultPartitions = n } }

// New returns an empty cluster with one broker, 0.
// It starts no goroutine and no timer: consumers do, and faults that make something wait.
func New(options ...Option) *Cluster {
	c := &Cluster{
		defaultPartitions: 1,
		topics:            make(map[string]*topic),
		groups:            make(map[string]*group),
	}
	for _, o := range options {
		o(c)
	}
	return c
}

// Cluster fails with ErrUnreachable while c is disconnected, and with ErrClosed
// after Close.
func (c *Cluster) Cluster(ctx context.Context) (transport.Cluster, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.usable(ctx); err != nil {
		return transport.Cluster{}, err
	}
	return transport.Cluster{
		ID:      clusterID,
		Brokers: []transport.Broker{{ID: 0, Host: "memory"}},
	}, nil
}

// usable returns why a request can't be served, nil if it can. c.mu is held.
// The context comes first, as with a driver whose request ends with it unanswered.
func (c *Cluster) usable(ctx context.Context) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case c.closed:
		return fmt.Errorf("memory transport: %w", transport.ErrClosed)
	case !c.cutAt.IsZero():
		return ErrUnreachable
	}
	return nil
}

// Close closes the producers, consumers and readers that are still open, within ctx, and
// leaves no goroutine and no timer behind. What was written stays readable through
// Records and Committed.
func (c *Cluster) Close(ctx context.Context) error {
	c.mu.Lock()
	c.closed = true
	// Clones, since each takes itself out of the list as it closes; and without the mutex,
	// which Close of each takes, and which their callbacks may need.
	consumers, clients := slices.Clone(c.consumers), slices.Clone(c.clients)
	c.mu.Unlock()

	var errs []error
	// Consumers first: in Revoked they may still publish and wait for acknowledgements.
	for _, m := range consumers {
		errs = append(errs, m.Close(ctx))
	}
	for _, o := range clients {
		errs = append(errs, o.Close(ctx))
	}

	c.mu.Lock()
	defer c.mu.Unlock()
	for _, g := range c.groups {
		// Static members that are away have a timer that would outlive the cluster.
		for _, m := range g.members {
			m.stopExpiry()
		}
	}
	c.change()
	return errors.Join(errs...)
}

// Changed returns a channel that is closed at the next change of anything that
// Records, Committed, Members and the consumers' Status show. To wait for a state
// without polling: take the channel, look, and wait on it if the state is not there.
func (c *Cluster) Changed() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.nextChange()
}

// nextChange is Changed with c.mu held.
// The channel is made when somebody asks: most changes happen with nobody waiting.
func (c *Cluster) nextChange() <-chan struct{} {
	if c.changed == nil {
		c.changed = make(chan struct{})
	}
	return c.changed
}

// change wakes everyone who waits for one. c.mu is held.
func (c *Cluster) change() {
	if c.changed != nil {
		close(c.changed)
		c.changed = nil
	}
}
