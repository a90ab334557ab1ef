// Package embedded starts a broker that speaks the Kafka protocol inside the
// process: for tests, demonstrations and first steps without a server. It keeps
// its log in memory, or in a directory for as long as that exists; it is no place
// for data that matters.
package embedded

import (
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
)

// Config says how the broker is. The zero value works.
type Config struct {
	// Brokers is how many nodes the cluster has. Default 1.
	Brokers int
	// Directory keeps the log over restarts. Empty keeps it in memory.
	Directory string
	// Logger hears what goes wrong inside. Nil discards.
	Logger *slog.Logger
}

// Cluster is a running cluster. It listens on loopback addresses only.
type Cluster struct {
	kfake *kfake.Cluster
	once  sync.Once
}

// minSession is the shortest session that members may ask for: tests of members
// that fall silent should not take long.
const minSession = 100 * time.Millisecond

// Start starts a cluster on free ports. The caller closes it.
func Start(config Config) (*Cluster, error) {
	options := []kfake.Opt{
		kfake.NumBrokers(max(config.Brokers, 1)),
		kfake.DefaultNumPartitions(1),
		kfake.GroupMinSessionTimeout(minSession),
		kfake.ClusterID("embedded"),
	}
	if config.Directory != "" {
		options = append(options, kfake.DataDir(config.Directory))
	}
	if config.Logger != nil {
		options = append(options, kfake.WithLogger(logger{config.Logger}))
	}
	c, err := kfake.NewCluster(options...)
	if err != nil {
		return nil, fmt.Errorf("starting the embedded broker: %w", err)
	}
	return &Cluster{kfake: c}, nil
}

// Brokers returns the addresses, host:port.
func (c *Cluster) Brokers() []string { return c.kfake.ListenAddrs() }

// Close ends every connection, and writes the log down where it is kept. Closing
// twice is no error.
func (c *Cluster) Close() { c.once.Do(c.kfake.Close) }

// logger gives the broker's warnings and errors to slog.
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
