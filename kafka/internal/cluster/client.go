package cluster

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/kafka/internal/kerr"
)

// Client is shared by the producers, consumers and Admin of one Transport. It has the pool of
// connections and the metadata of the cluster. It is safe for concurrent use.
type Client struct {
	// Options are those passed to NewClient. They never change.
	Options Options
	// pool dials, secures and keeps the connections. Requests don't use its encoders; see
	// loan.
	pool *kafkago.Transport
	// bootstrap has the addresses of Options.Brokers in pool's form.
	bootstrap net.Addr

	Ctx    context.Context // ends with Close
	cancel context.CancelFunc
	// background counts goroutines that outlive the call that started them.
	background sync.WaitGroup

	// mu guards the fields below. It is held briefly, never while dialing.
	mu     sync.Mutex
	closed bool
	// links are the open connections, including idle ones. Close closes them.
	links map[*Link]struct{}
	// setupErrors has, by address, the last failure to set up a connection, until one was set
	// up. Errors of requests quote them.
	setupErrors map[string]error

	// Both have their own locks, which are never held while waiting for a broker.
	metadata     metadata
	coordinators coordinators
	Throttled    atomic.Int64 // nanoseconds that brokers asked producers and consumers to wait
}

// Throttle returns how long a broker asks a client to wait, at most a minute: quotas are windows of
// seconds, and one wrong answer must not silence a client for weeks.
func Throttle(millis int32) time.Duration {
	return min(time.Duration(millis)*time.Millisecond, time.Minute)
}

// Options configure a Client. All fields except SASL must be set.
type Options struct {
	Brokers        []string      // bootstrap addresses, host:port
	ClientID       string        // in the brokers' logs and quotas
	DialTimeout    time.Duration // for one connection, including TLS and SASL
	RequestTimeout time.Duration // for one request, not counting the time that it asks the broker to wait
	Dial           func(ctx context.Context, network, address string) (net.Conn, error)
	// TLS returns the configuration for a connection to address, nil for plain text.
	TLS    func(address string) (*tls.Config, error)
	Secure bool           // whether TLS returns configurations; for error texts
	SASL   sasl.Mechanism // nil for none
	// SessionEnd returns when to replace a connection made at now; the zero time means never.
	SessionEnd func(now time.Time) time.Time
}

// NewClient returns a client. It does not connect yet.
func NewClient(cfg Options) *Client {
	c := &Client{
		Options:     cfg,
		bootstrap:   seeds(cfg.Brokers),
		links:       make(map[*Link]struct{}),
		setupErrors: make(map[string]error),
	}
	c.Ctx, c.cancel = context.WithCancel(context.Background())
	c.pool = &kafkago.Transport{
		Dial: c.dial,
		// One budget for all bootstrap addresses, which kafka-go tries one after another. dial
		// gives each its share.
		DialTimeout: cfg.DialTimeout * time.Duration(len(cfg.Brokers)),
		IdleTimeout: 2 * time.Minute,
		// Here kafka-go maps broker ids to addresses, nothing else: it asks for no topics, and
		// it may notice changes late, since learnBrokers makes it look.
		MetadataTopics: []string{},
		MetadataTTL:    10 * time.Second,
		ClientID:       cfg.ClientID,
		SASL:           cfg.SASL,
		Context:        c.Ctx,
	}
	c.metadata.init(c)
	return c
}

// Request sends req to a broker (−1: any bootstrap broker) in the highest version that both
// support, and decodes the response. It does not check error codes in the response, and does
// not retry.
func (c *Client) Request(ctx context.Context, broker int32, req kmsg.Request) (kmsg.Response, error) {
	body, version, err := c.Exchange(ctx, broker, req, Allocate)
	if err != nil {
		return nil, err
	}
	resp := req.ResponseKind()
	resp.SetVersion(version)
	if err := readBody(resp, req, body); err != nil {
		return nil, fmt.Errorf("response to %s from broker %d: %w", kmsg.NameForKey(req.Key()), broker, err)
	}
	return resp, nil
}

// Exchange is Request without decoding. It returns the version of the request and the body of the
// response, in memory returned by buf, which is called with the size of the body or more.
func (c *Client) Exchange(ctx context.Context, broker int32, req kmsg.Request, buf func(size int) []byte) (body []byte, version int16, err error) {
	patience := c.patience(req)
	within, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	deadline, _ := within.Deadline()
	err = c.Hold(within, broker, func(w *Conn) (err error) {
		body, err = w.Exchange(req, deadline, buf)
		return err
	})
	if err != nil && ctx.Err() == nil && within.Err() != nil {
		err = fmt.Errorf("%s got no answer from %s within %s: %w", kmsg.NameForKey(req.Key()),
			c.BrokerName(broker), patience, os.ErrDeadlineExceeded)
	}
	if err != nil {
		return nil, 0, err
	}
	return body, req.GetVersion(), nil
}

// Allocate returns memory for a response, for callers of Exchange without buffers of their own.
func Allocate(size int) []byte { return make([]byte, size) }

// patience returns how long an exchange may take: RequestTimeout plus the time that req asks the
// broker to wait.
func (c *Client) patience(req kmsg.Request) time.Duration {
	var asked int32
	switch r := req.(type) {
	case *kmsg.FetchRequest:
		asked = r.MaxWaitMillis
	case *kmsg.JoinGroupRequest:
		asked = max(r.RebalanceTimeoutMillis, r.SessionTimeoutMillis)
	case *kmsg.SyncGroupRequest:
		// The broker answers once the leader has sent its assignment, or was expelled for not
		// sending it. Asking again in the meantime changes nothing, and shows whether the
		// connection is alive.
	case kmsg.TimeoutRequest:
		asked = r.Timeout()
	}
	return c.Options.RequestTimeout + time.Duration(max(asked, 0))*time.Millisecond
}

// refreshPool makes kafka-go ask for the brokers' addresses now, and waits. The message
// (layoutRefresh) takes an established connection, though nothing is sent on it. If none can be
// established, the error says why.
func (c *Client) refreshPool(ctx context.Context) error {
	within, cancel := context.WithTimeout(ctx, c.Options.DialTimeout)
	defer cancel()
	_, err := c.pool.RoundTrip(within, c.bootstrap, layoutRefresh{})
	if err != nil && ctx.Err() == nil {
		return c.connectError(within, -1, err)
	}
	return err
}

// connectError names the addresses that were tried and what was wrong with each.
func (c *Client) connectError(ctx context.Context, broker int32, err error) error {
	addrs := c.Options.Brokers
	if b, ok := c.metadata.broker(broker); ok {
		addrs = []string{address(b)}
	}
	c.mu.Lock()
	closed := c.closed
	// A wrong password is wrong at every broker: name each cause once.
	var causes []string
	at := make(map[string]string) // the addresses by cause
	for _, addr := range addrs {
		if err := c.setupErrors[addr]; err != nil {
			cause := strings.ReplaceAll(err.Error(), addr, "it")
			if at[cause] == "" {
				causes, at[cause] = append(causes, cause), addr
			} else {
				at[cause] += ", " + addr
			}
		}
	}
	c.mu.Unlock()
	if closed {
		return ErrClosed
	}
	err = kerr.FromClient(err)
	if errors.Is(err, kerr.BrokerNotAvailable) {
		return err
	}
	what := fmt.Sprintf("no connection to %s", c.BrokerName(broker))
	if len(causes) > 0 {
		for i, cause := range causes {
			causes[i] = at[cause] + ": " + cause
		}
		what += " (" + strings.Join(causes, "; ") + ")"
	} else {
		what += ": " + err.Error()
	}
	if ctx.Err() != nil {
		err = ctx.Err()
		what += ": " + err.Error()
	}
	return &kerr.ConnectError{What: what, Err: err}
}

// BrokerName returns a broker's name for the text of an error.
func (c *Client) BrokerName(broker int32) string {
	if broker < 0 {
		return "any of the brokers " + strings.Join(c.Options.Brokers, ", ")
	}
	if b, ok := c.metadata.broker(broker); ok {
		return fmt.Sprintf("broker %d at %s", broker, address(b))
	}
	return fmt.Sprintf("broker %d", broker)
}

// Spawn runs f on a goroutine that Close waits for. If the client is closed it returns false
// without running f.
func (c *Client) Spawn(f func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.background.Go(f)
	return true
}

// Close closes all connections and waits for the goroutines of Spawn. It may be called more
// than once.
func (c *Client) Close() {
	c.mu.Lock()
	c.closed = true
	links := slices.Collect(maps.Keys(c.links))
	c.mu.Unlock()
	c.cancel()
	c.pool.CloseIdleConnections()
	for _, l := range links {
		_ = l.Close()
	}
	c.background.Wait()
}
