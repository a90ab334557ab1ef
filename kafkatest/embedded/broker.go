package embedded

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
)

// Config configures a cluster. The zero value is usable.
type Config struct {
	// Brokers is the number of brokers. Default 1.
	Brokers int
	// Port is the first broker's port; the others get the ports after it. Zero chooses
	// free ports.
	Port int
	// CreateTopics creates missing topics that clients ask for, like a broker with
	// auto.create.topics.enable.
	CreateTopics bool
	// Directory keeps the log across restarts. Empty keeps it in memory.
	Directory string
	// InProcess keeps connections in memory instead of on loopback addresses: only
	// Dial reaches the brokers. A cluster that is started in a testing/synctest
	// bubble then waits on nothing outside the bubble.
	InProcess bool
	// Logger logs internal failures. Nil discards them.
	Logger *slog.Logger
}

// Cluster is a running cluster. It listens on loopback addresses only.
type Cluster struct {
	kfake *kfake.Cluster
	dial  func(ctx context.Context, network, address string) (net.Conn, error)
	once  sync.Once
}

// minSession is the shortest session timeout that members may ask for. It is short so
// that tests of members that stop answering are fast.
const minSession = 100 * time.Millisecond

// firstPort is the first broker's port in memory, where any port will do.
const firstPort = 9092

// Start starts a cluster. The caller closes it. If a port is taken, the error is the
// system's.
func Start(config Config) (*Cluster, error) {
	options := []kfake.Opt{
		kfake.NumBrokers(max(config.Brokers, 1)),
		kfake.DefaultNumPartitions(1),
		kfake.GroupMinSessionTimeout(minSession),
		kfake.ClusterID("embedded"),
	}
	if config.CreateTopics {
		options = append(options, kfake.AllowAutoTopicCreation())
	}
	if config.Port != 0 {
		options = append(options, kfake.Ports(ports(config.Port, config.Brokers)...))
	}
	if config.Directory != "" {
		options = append(options, kfake.DataDir(config.Directory))
	}
	if config.Logger != nil {
		options = append(options, kfake.WithLogger(logger{config.Logger}))
	}
	dial := new(net.Dialer).DialContext
	if config.InProcess {
		network := new(kfake.VirtualNetwork)
		options = append(options, kfake.ListenFn(network.Listen), kfake.Ports(ports(firstPort, config.Brokers)...))
		dial = network.DialContext
	}
	c, err := kfake.NewCluster(options...)
	if err != nil {
		return nil, fmt.Errorf("starting the embedded broker: %w", err)
	}
	return &Cluster{kfake: c, dial: dial}, nil
}

// ports returns consecutive ports from first on, one for each broker.
func ports(first, brokers int) []int {
	all := make([]int, max(brokers, 1))
	for i := range all {
		all[i] = first + i
	}
	return all
}

// Brokers returns the brokers' host:port addresses.
func (c *Cluster) Brokers() []string { return c.kfake.ListenAddrs() }

// Dial connects to a broker. It fits kafka.Config.Dial.
func (c *Cluster) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	return c.dial(ctx, network, address)
}

// Close ends every connection and, if there is a Directory, writes the log to it.
// Only the first call does anything.
func (c *Cluster) Close() { c.once.Do(c.kfake.Close) }

// logger passes the broker's warnings and errors on to slog.
type logger struct{ *slog.Logger }

func (l logger) Logf(level kfake.LogLevel, format string, args ...any) {
	switch level {
	case kfake.LogLevelError:
		l.Error(fmt.Sprintf(format, args...))
	case kfake.LogLevelWarn:
		l.Warn(fmt.Sprintf(format, args...))
	default:
	}
}
