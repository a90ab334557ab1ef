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

// ErrUnreachable is the error of requests to a disconnected Cluster.
var ErrUnreachable = errors.New("no broker answers")

const (
	// clusterID is the ID of every Cluster.
	clusterID = "memory"
	// metadataLimit bounds the metadata of one committed offset, in UTF-16 code units: the
	// default of Kafka's offset.metadata.max.bytes, which counts them too.
	metadataLimit = 4096
)

// Cluster is a transport and the cluster behind it. It is safe for concurrent use. Create one
// with New, and close it after its producers, consumers and readers. The zero value is not
// usable.
type Cluster struct {
	defaultPartitions int32

	// mu guards all state below, and that of every topic, group, producer and consumer. It
	// is never held while a caller's code runs.
	mu        sync.Mutex
	closed    bool
	topics    map[string]*topic
	groups    map[string]*group
	consumers []*consumer
	clients   []client // the producers and readers
	faults    produceFaults

	topicIDs  uint64 // the last one assigned
	memberIDs uint64
	epochs    uint64
	appended  uint64 // number of records appended so far: their order across partitions

	cutAt   time.Time     // when Disconnect was called; zero while connected
	changed chan struct{} // closed by the next change; nil while nobody waits
}

// client is an open producer or reader. Consumers are kept separately: groups and outages
// need them.
type client interface {
	Close(context.Context) error
	// reconnected is called at the end of an outage, with the mutex held.
	reconnected()
}

// forget removes a client that is closing, if it is still there. c.mu is held.
func (c *Cluster) forget(gone client) {
	c.clients = slices.DeleteFunc(c.clients, func(o client) bool { return o == gone })
}

var _ transport.Transport = (*Cluster)(nil)

// Option changes a default of New.
type Option func(*Cluster)

// DefaultPartitions sets the number of partitions of a topic that is created without one.
// Default 1.
func DefaultPartitions(n int32) Option { return func(c *Cluster) { c.defaultPartitions = n } }

// New returns an empty cluster with one broker, 0. It starts no goroutine and no timer.
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

// Cluster returns ErrUnreachable while c is disconnected, and ErrClosed after Close.
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

// usable returns why a request can't be served, or nil. c.mu is held. The context comes first,
// as with a driver whose request ends unanswered when its context does.
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
// leaves no goroutine and no timer behind. Records and Committed still work.
func (c *Cluster) Close(ctx context.Context) error {
	c.mu.Lock()
	c.closed = true
	// Use clones, since each removes itself from the list as it closes, and release the mutex,
	// which each Close takes and which callbacks may need.
	consumers, clients := slices.Clone(c.consumers), slices.Clone(c.clients)
	c.mu.Unlock()

	var errs []error
	// Consumers first: their Revoked may still publish and wait for acknowledgements.
	for _, m := range consumers {
		errs = append(errs, m.Close(ctx))
	}
	for _, o := range clients {
		errs = append(errs, o.Close(ctx))
	}

	c.mu.Lock()
	defer c.mu.Unlock()
	for _, g := range c.groups {
		// Absent static members have a timer that would outlive the cluster.
		for _, m := range g.members {
			m.stopExpiry()
		}
	}
	c.change()
	return errors.Join(errs...)
}

// Changed returns a channel that is closed at the next change of anything that Records,
// Committed, Members and the consumers' Status show. To wait for a state without polling: get
// the channel, check the state, and if it is not reached wait on the channel.
func (c *Cluster) Changed() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.nextChange()
}

// nextChange is Changed with c.mu held. The channel is created on demand: most changes happen
// with nobody waiting.
func (c *Cluster) nextChange() <-chan struct{} {
	if c.changed == nil {
		c.changed = make(chan struct{})
	}
	return c.changed
}

// change wakes everyone waiting for a change. c.mu is held.
func (c *Cluster) change() {
	if c.changed != nil {
		close(c.changed)
		c.changed = nil
	}
}
