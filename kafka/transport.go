package kafka

import (
	"cmp"
	"context"
	"time"

	"github.com/eventbus-go/eventbus/kafka/internal/cluster"
	"github.com/eventbus-go/eventbus/kafka/internal/fetch"
	"github.com/eventbus-go/eventbus/kafka/internal/group"
	"github.com/eventbus-go/eventbus/kafka/internal/produce"
	"github.com/eventbus-go/eventbus/transport"
)

// Transport is a client of one Apache Kafka cluster, version 2.8 or later. It is safe for
// concurrent use. The producers, consumers and readers that it returns share its
// connections; close them first. Create one with New; the zero value is not usable.
type Transport struct {
	cfg    Config // with its defaults
	client *cluster.Client
	err    error // what is wrong with the configuration
}

// New returns a Transport for the cluster that cfg describes. It copies cfg, and connects
// on first use. If cfg is invalid, every use of the Transport returns the error of
// cfg.Validate.
func New(cfg Config) *Transport {
	if err := cfg.Validate(); err != nil {
		return &Transport{err: err}
	}
	cfg = cfg.withDefaults()
	client := cluster.NewClient(cfg.options())
	return &Transport{cfg: cfg, client: client}
}

// Cluster asks any broker for the cluster's id and brokers, which also shows that the
// cluster is reachable. Its error names each address tried and why it failed. It is
// transport.ErrUnauthorized if credentials were refused.
func (t *Transport) Cluster(ctx context.Context) (transport.Cluster, error) {
	return NewAdmin(t).cluster(ctx)
}

// Admin returns NewAdmin(t).
func (t *Transport) Admin() transport.Admin { return NewAdmin(t) }

// Throttled returns the total time that brokers have asked the producers and
// consumers of this Transport to wait because of quotas (KIP-219). It only grows.
func (t *Transport) Throttled() time.Duration {
	if t.err != nil {
		return 0
	}
	return time.Duration(t.client.Throttled.Load())
}

// Close closes all connections at once, whatever its context. Calls in progress and later
// calls return an error that is transport.ErrClosed. Close may be called more than once
// and returns nil.
func (t *Transport) Close(context.Context) error {
	if t.err == nil {
		t.client.Close()
	}
	return nil
}

// NewProducer returns an idempotent producer, which connects on first use. If cfg names
// no compression, Config.Compression applies.
func (t *Transport) NewProducer(cfg transport.ProducerConfig) (transport.Producer, error) {
	if err := t.usable(); err != nil {
		return nil, err
	}
	cfg.Compression = cmp.Or(cfg.Compression, t.cfg.Compression)
	p, err := produce.NewProducer(t.client, cfg)
	if err != nil {
		return nil, err
	}
	return p, nil
}

// NewConsumer returns a member of a group, which joins in the background. If cfg
// has no InstanceID, Config.InstanceID applies.
func (t *Transport) NewConsumer(cfg transport.ConsumerConfig) (transport.Consumer, error) {
	if err := t.usable(); err != nil {
		return nil, err
	}
	cfg.InstanceID = cmp.Or(cfg.InstanceID, t.cfg.InstanceID)
	c, err := group.NewConsumer(t.client, cfg, group.Options{Balancer: t.cfg.Balancer, Rack: t.cfg.Rack, ConsumerProtocol: t.cfg.ConsumerProtocol})
	if err != nil {
		return nil, err
	}
	return c, nil
}

// NewReader returns a reader of partitions outside any group, which connects in
// the background.
func (t *Transport) NewReader(cfg transport.ReaderConfig) (transport.Reader, error) {
	if err := t.usable(); err != nil {
		return nil, err
	}
	r, err := fetch.NewReader(t.client, cfg, t.cfg.Rack)
	if err != nil {
		return nil, err
	}
	return r, nil
}

// usable returns why t can't create anything, or nil.
func (t *Transport) usable() error {
	if t.err != nil {
		return t.err
	}
	if t.client.Ctx.Err() != nil {
		return cluster.ErrClosed
	}
	return nil
}

// options translates the configuration, with defaults filled in, for the package that
// connects, which imports no types of this one.
func (c Config) options() cluster.Options {
	mechanism := c.SASL.mechanism()
	o := cluster.Options{
		Brokers: c.Brokers, ClientID: c.ClientID, DialTimeout: c.DialTimeout, RequestTimeout: c.RequestTimeout,
		Dial: c.Dial, TLS: c.tlsConfig, Secure: c.secure(), SASL: mechanism,
	}
	oauth, _ := mechanism.(*oauthBearer)
	o.SessionEnd = func(now time.Time) time.Time { return c.SASL.sessionEnd(oauth, now) }
	return o
}
