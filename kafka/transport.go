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

// Transport is an Apache Kafka cluster (2.8 or later). It is safe for concurrent
// use; its connections are shared by all producers and consumers made from it.
type Transport struct {
	cfg    Config // with its defaults
	client *cluster.Client
	err    error // what is wrong with the configuration
}

// New returns the cluster that cfg describes, without connecting to it. If cfg
// is wrong, the first use of the Transport says so, as Validate does.
func New(cfg Config) *Transport {
	if err := cfg.Validate(); err != nil {
		return &Transport{err: err}
	}
	cfg = cfg.withDefaults()
	return &Transport{cfg: cfg, client: cluster.NewClient(cfg.options())}
}

// Cluster asks a broker who the cluster is. Its error names the addresses that
// were tried and what was wrong with each; credentials that were refused are
// transport.ErrUnauthorized.
func (t *Transport) Cluster(ctx context.Context) (transport.Cluster, error) {
	return NewAdmin(t).cluster(ctx)
}

// Admin returns NewAdmin(t).
func (t *Transport) Admin() transport.Admin { return NewAdmin(t) }

// Throttled is how long brokers have asked the producers and consumers of this
// Transport to wait, in all, because of quotas.
func (t *Transport) Throttled() time.Duration {
	if t.err != nil {
		return 0
	}
	return time.Duration(t.client.Throttled.Load())
}

// Close ends every connection. Calls that wait for one return an error that is
// transport.ErrClosed.
func (t *Transport) Close(context.Context) error {
	if t.err == nil {
		t.client.Close()
	}
	return nil
}

// NewProducer returns a producer. It connects when it is first used.
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

// NewConsumer returns a member of a group, which joins in the background.
func (t *Transport) NewConsumer(cfg transport.ConsumerConfig) (transport.Consumer, error) {
	if err := t.usable(); err != nil {
		return nil, err
	}
	cfg.InstanceID = cmp.Or(cfg.InstanceID, t.cfg.InstanceID)
	c, err := group.StartConsumer(t.client, cfg, group.MembershipOptions{Balancer: t.cfg.Balancer, Rack: t.cfg.Rack, ConsumerProtocol: t.cfg.ConsumerProtocol})
	if err != nil {
		return nil, err
	}
	return c, nil
}

// NewReader returns a reader, which connects in the background.
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

func (t *Transport) usable() error {
	if t.err != nil {
		return t.err
	}
	if t.client.Ctx.Err() != nil {
		return cluster.ErrClosed
	}
	return nil
}

// options returns the configuration as a client needs it.
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
