// Package peer does the same work through each client: it publishes an Order with its key
// and six CloudEvents headers, acknowledged by all in-sync replicas; and it receives, decodes
// and handles orders in a consumer group that commits about once a second. Each client has
// the settings that its documentation recommends for the work. Its file gives the reason for
// each setting that differs from the defaults.
package peer

import (
	"context"
	"runtime/debug"
	"slices"
	"time"

	"github.com/eventbus-go/eventbus/bench/internal/event"
)

// Settings is what one measurement asks of a client. The child process gets it as JSON.
type Settings struct {
	// Brokers has addresses of the form host:port.
	Brokers []string
	// Stem is the last part of the topic's name.
	Stem string
	// Group is the consumer group, which no other measurement uses.
	Group string
	// Publishers is the number of goroutines that call Publish concurrently. It is 0 if
	// events are enqueued.
	Publishers int
	// Prompt asks for low latency: no event may wait for others to share a batch.
	Prompt bool
	// Window bounds the events that are accepted and not acknowledged yet.
	Window int
	// Compression is none, lz4 or zstd.
	Compression string
	// BatchBytes bounds the bytes of a published batch; 0 means the client's default. Only
	// eventbus and franz-go use it.
	BatchBytes int
	// Slow is set if handlers take milliseconds.
	Slow bool
}

// Topic returns the topic's full name, which is also that of the topic that the bus
// declares.
func (s Settings) Topic() string { return "test.bench.public." + s.Stem }

// FetchBytes bounds the bytes that a consumer fetches ahead, if the client has such a bound.
// Memory is compared with the same bound.
const FetchBytes = 32 << 20

// CommitInterval is the time between two commits of a consumer, for all clients.
const CommitInterval = time.Second

// Publisher publishes orders, either by Publish, which is safe for concurrent use, or by
// Enqueue and Flush, which one goroutine calls.
type Publisher interface {
	// Publish returns once the event is acknowledged, or with an error.
	Publish(context.Context, event.Order) error
	// Enqueue returns once the event is accepted. It waits while Window events are not
	// acknowledged yet.
	Enqueue(context.Context, event.Order) error
	// Flush waits for all enqueued events, and returns the first failure of one.
	Flush(context.Context) error
	// Close closes the client. Events that were enqueued since the last Flush may be lost.
	Close(context.Context) error
}

// Handler handles a decoded event, which it may keep. Several goroutines call it
// concurrently.
type Handler func(*event.Order)

// Consumer handles the events of a topic, from the earliest on, until it is closed. Its
// constructor starts it.
type Consumer interface {
	// Close stops handling, commits what was handled and leaves the group.
	Close(context.Context) error
}

// Peer is one client.
type Peer struct {
	// Name identifies the client in tables and flags.
	Name string
	// Module is the path of the client's Go module, for Version.
	Module string
	// Publishes is false if a table of publishers would only repeat another row.
	Publishes bool
	// Tool is set for a program of Apache Kafka, which has neither of the functions.
	Tool bool
	// NewPublisher returns a client that publishes, and NewConsumer starts one that handles.
	// The caller closes them. They outlive the context.
	NewPublisher func(context.Context, Settings) (Publisher, error)
	NewConsumer  func(context.Context, Settings, Handler) (Consumer, error)
}

// Names of the peers.
const (
	Eventbus     = "eventbus"
	EventbusJSON = "eventbus-encoding-json"
	EventbusWide = "eventbus-256-lanes"
	Franz        = "franz-go"
	KafkaGo      = "kafka-go"
	Sarama       = "sarama"
	Confluent    = "confluent-kafka-go"
	Watermill    = "watermill-kafka"
	Java         = "java-without-json"
)

// All returns the peers of this build, in the order of the tables. The caller owns the
// slice.
func All() []Peer {
	peers := []Peer{eventbusPeer, eventbusJSONPeer, eventbusWidePeer, franzPeer, kafkaGoPeer, saramaPeer}
	// A build without cgo adds none.
	peers = append(peers, confluentPeers...)
	return append(peers, watermillPeer, javaPeer)
}

// Named returns the peer with a name, and reports whether this build has it.
func Named(name string) (Peer, bool) {
	peers := All()
	i := slices.IndexFunc(peers, func(p Peer) bool { return p.Name == name })
	if i < 0 {
		return Peer{}, false
	}
	return peers[i], true
}

// Version returns the version of the client's module in this program. It returns "this tree"
// for a module that is replaced, "unknown" without build information, and "of the broker's
// release" for a tool.
func (p Peer) Version() string {
	if p.Tool {
		return "of the broker's release"
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	// Deps has the modules of this program, even if go.mod has changed since it was built.
	for _, dep := range info.Deps {
		switch {
		case dep.Path != p.Module:
		case dep.Replace != nil:
			return "this tree"
		default:
			return dep.Version
		}
	}
	return "unknown"
}
