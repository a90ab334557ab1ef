package group

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/eventbus-go/eventbus/kafka/internal/balance"
	"github.com/eventbus-go/eventbus/kafka/internal/cluster"
	"github.com/eventbus-go/eventbus/kafka/internal/fetch"
	"github.com/eventbus-go/eventbus/kafka/internal/kerr"
	"github.com/eventbus-go/eventbus/transport"
)

// Consumer is a member of a group: its membership and its fetcher. It implements
// transport.Consumer.
type Consumer struct {
	// The two refer to each other: the fetcher has the partitions and their positions, and the
	// membership decides which partitions these are. Each has its own lock. membership.mu must
	// not be held in calls of the fetcher, which calls Recreated while it holds its own.
	member *membership
	fetch  *fetch.Fetcher
	// work counts the goroutines of both.
	work sync.WaitGroup

	// closed is set by the first Close, which does the work.
	closed  atomic.Bool
	closing chan struct{} // closed when Close is called
	ended   chan struct{} // closed when all goroutines have ended

	// stopFetching ends the fetcher's Ctx, stopMember ends membership.ctx, and losePatience ends
	// membership.patient. The fetcher ends first: a member that releases partitions still commits.
	stopFetching, stopMember, losePatience context.CancelFunc
}

// NewConsumer returns a member of a group. It joins in the background.
func NewConsumer(client *cluster.Client, cfg transport.ConsumerConfig, o Options) (*Consumer, error) {
	if err := validateConsumer(&cfg); err != nil {
		return nil, err
	}
	c := newConsumer(client, cfg, o)
	if n := len(c.member.types.own); o.ConsumerProtocol && n > MaxClientTypes {
		return nil, fmt.Errorf("group %q handles %d types here, and a member by the protocol of KIP-848 can name %d to the others: "+
			"put some into another group, or leave kafka.Config.ConsumerProtocol off", cfg.Group, n, MaxClientTypes)
	}
	// Last, since the Listener may be called from here on.
	c.start()
	return c, nil
}

// validateConsumer fills in defaults, and returns an error that names every invalid field.
func validateConsumer(cfg *transport.ConsumerConfig) error {
	// Collect all faults, so that one try shows every one.
	var wrong kerr.Faults
	if cfg.Group == "" {
		wrong.Add("Group is empty: name the consumer group")
	}
	if len(cfg.Topics) == 0 {
		wrong.Add("Topics is empty: name at least one topic")
	}
	// Find the companions first: a check may refer to a topic that comes later.
	seen, companions := make(map[string]bool), make(map[string]bool)
	for _, topic := range cfg.Topics {
		companions[topic.Topic] = topic.CompanionOf != ""
	}
	for i, topic := range cfg.Topics {
		if topic.Topic == "" {
			wrong.Add("Topics[%d] has no name", i)
		} else if seen[topic.Topic] {
			wrong.Add("Topics[%d] %q is there twice", i, topic.Topic)
		}
		seen[topic.Topic] = true
		// A companion of a companion, or of a topic that is not read, would never be assigned.
		if other := topic.CompanionOf; other != "" {
			if companion, there := companions[other]; !there || companion {
				wrong.Add("Topics[%d] %q is the companion of %q, which is not one of the Topics or is a companion itself", i, topic.Topic, other)
			}
		}
	}
	if cfg.Listener == nil {
		wrong.Add("Listener is nil: it receives what is assigned")
	}
	*cfg = cfg.WithDefaults()
	if cfg.SessionTimeout < 0 || cfg.HeartbeatInterval < 0 || cfg.RebalanceTimeout < 0 || cfg.FetchBytes < 0 {
		wrong.Add("SessionTimeout, HeartbeatInterval, RebalanceTimeout and FetchBytes must not be negative")
	} else if cfg.HeartbeatInterval > cfg.SessionTimeout/3 {
		wrong.Add("HeartbeatInterval %s is more than a third of SessionTimeout %s: a lost heartbeat or two would cost the session",
			cfg.HeartbeatInterval, cfg.SessionTimeout)
	}
	return wrong.Err("transport.ConsumerConfig")
}

// Options are the parts of kafka.Config that concern a member.
type Options struct {
	Balancer         string // name of a balancer in package balance; unused with the protocol of KIP-848
	Rack             string // where to prefer replicas; empty means leaders
	ConsumerProtocol bool   // the protocol of KIP-848 in place of the classic one
}

func newConsumer(client *cluster.Client, cfg transport.ConsumerConfig, o Options) *Consumer {
	c := &Consumer{closing: make(chan struct{}), ended: make(chan struct{})}
	// All topics are fetched alike. The member subscribes only to those that are not
	// companions, since the group's leader must not spread others.
	starts := make(map[string]transport.TopicStart, len(cfg.Topics))
	var topics []string
	for _, t := range cfg.Topics {
		starts[t.Topic] = t
		if t.CompanionOf == "" {
			topics = append(topics, t.Topic)
		}
	}
	slices.Sort(topics)
	// Shared, so that calls about assignments and about positions never overlap.
	listener := fetch.NewListener(cfg.Listener)
	c.fetch = fetch.NewFetcher(client, cfg.Logger, o.Rack, cfg.FetchBytes, cfg.ReadUncommitted, &c.work)
	c.fetch.Topics, c.fetch.Listener = starts, listener
	c.member = &membership{
		client: client, cfg: cfg, topics: topics, balancer: balance.ByName(o.Balancer), rack: o.Rack,
		fetch: c.fetch, listener: listener, log: cfg.Logger,
		work: &c.work, closing: c.closing, news: make(chan struct{}, 1), heartbeatNow: make(chan struct{}, 1),
		commits: make(chan struct{}, 1), generation: -1, changed: make(chan struct{}),
		seen: make(map[string]remembered), unbegun: make(map[transport.Partition]error),
		companions: newCompanions(cfg.Topics),
	}
	c.member.types = newGroupTypes(cfg.Types)
	// That protocol's heartbeats carry the types; other requests have the client's id.
	if o.ConsumerProtocol {
		c.member.clientID = clientID(client.Options.ClientID, c.member.types.own)
		c.member.epochs = newEpochs(&cfg)
	}
	c.fetch.Recreated = c.member.recreated
	c.fetch.Ctx, c.stopFetching = context.WithCancel(client.Ctx)
	c.member.ctx, c.stopMember = context.WithCancel(client.Ctx)
	c.member.patient, c.losePatience = context.WithCancel(client.Ctx)
	return c
}

// start starts the goroutines. They end when the membership does, which Close ends.
func (c *Consumer) start() {
	// The fetcher idles until something is assigned, heartbeats until the member has joined.
	c.work.Go(c.fetch.Run)
	c.work.Go(c.fetch.WatchLag)
	c.work.Go(c.member.heartbeats)
	c.work.Go(c.member.watchTopics)
	if c.member.epochs != nil {
		c.work.Go(c.member.watchSession)
	}
	c.work.Go(func() { c.member.types.watch(c.member.ctx, c.member.describable()) })
	c.work.Go(c.member.watchStored)
	if len(c.member.companions.of) > 0 {
		c.work.Go(c.member.watchCompanions)
	}
	c.work.Go(func() {
		if c.member.epochs != nil {
			c.member.runByEpochs()
		} else {
			c.member.run()
		}
		c.stopFetching()
		c.stopMember()
	})
}

// Poll waits for fetched records and returns them.
func (c *Consumer) Poll(ctx context.Context) ([]transport.Batch, error) {
	return c.fetch.Await(ctx, c.closing)
}

// Pause stops fetching and returning partitions.
func (c *Consumer) Pause(partitions ...transport.Partition) { c.fetch.Pause(partitions, true) }

// Resume undoes Pause.
func (c *Consumer) Resume(partitions ...transport.Partition) { c.fetch.Pause(partitions, false) }

// Pass moves a partition behind what can't be read.
func (c *Consumer) Pass(ctx context.Context, p transport.Partition, next int64) error {
	return c.fetch.Pass(ctx, p, next)
}

// Commit stores offsets for the group.
func (c *Consumer) Commit(ctx context.Context, commits ...transport.Commit) error {
	return c.member.commit(ctx, commits)
}

// Alive reports whether the group still counts this member in.
func (c *Consumer) Alive() bool { return c.member.alive() }

// TypeState returns what the member knows about the group's handlers of a type.
func (c *Consumer) TypeState(topic, typ string) transport.TypeState {
	return c.member.types.state(topic, typ)
}

// Status returns a snapshot. Membership and partitions are read under their own locks, one
// after the other, so they may differ slightly in time.
func (c *Consumer) Status() transport.ConsumerStatus {
	s := c.member.status()
	s.Partitions = c.fetch.Status()
	return s
}

// Close releases the assigned partitions, leaves the group and ends every goroutine. Another
// Close waits for the first, or for the end of its context.
func (c *Consumer) Close(ctx context.Context) error {
	if !c.closed.CompareAndSwap(false, true) {
		select {
		case <-c.ended:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	defer close(c.ended)
	c.member.closeContext = ctx
	// ctx also bounds a Revoked that is already running.
	stop := context.AfterFunc(ctx, c.losePatience)
	defer stop()
	close(c.closing)
	c.stopFetching()
	c.work.Wait()
	c.losePatience()
	return nil
}

// describable returns the member's group, for finding out what its members handle.
func (m *membership) describable() *describable {
	// Both under one lock, so that no change in between is missed.
	joined := func() (bool, <-chan struct{}) {
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.generation >= 0, m.changed
	}
	return &describable{name: m.cfg.Group, clientID: m.client.Options.ClientID, epochs: m.epochs != nil, ask: m.ask, refused: m.refusedBy, joined: joined, log: m.log}
}
