// Package peer does the same work through each client: publish an Order with its
// key and six CloudEvents headers, acknowledged by all in-sync replicas; and
// receive, decode and handle it in a consumer group that commits about once a
// second. Each client runs with the settings that its documentation recommends
// for the work; what differs from its defaults stands in its file, with the why.
package peer

import (
	"context"
	"runtime/debug"
	"slices"
	"time"

	"github.com/eventbus-go/eventbus/bench/internal/event"
)

// Settings say what one measurement asks of a client. They travel to the child as
// JSON.
type Settings struct {
	// Brokers are addresses, host:port.
	Brokers []string
	// Stem is the part of the topic's name that is its own.
	Stem string
	// Group is the consumer group, which nobody else uses.
	Group string
	// Publishers is how many goroutines call Publish at once; 0 where events are
	// enqueued.
	Publishers int
	// Prompt asks for low latency: nothing waits for company.
	Prompt bool
	// Window bounds what is accepted and not acknowledged, in events.
	Window int
	// Compression is none, lz4 or zstd.
	Compression string
	// BatchBytes bounds a batch that is published; 0 is the client's default. eventbus and
	// franz-go alone have it.
	BatchBytes int
	// Slow says that handlers take milliseconds.
	Slow bool
}

// Topic returns the topic's full name.
// The name is the one that eventbusTopic declares, so that all clients use one topic.
func (s Settings) Topic() string { return "test.bench.public." + s.Stem }

// FetchBytes bounds what a consumer fetches ahead, where the client has such a
// bound: memory is compared at equal ones.
const FetchBytes = 32 << 20

// CommitInterval is how often consumers commit. It is set for all clients.
const CommitInterval = time.Second

// Publisher publishes. Its methods are safe for concurrent use, but for Enqueue,
// which one goroutine calls, and what follows it.
type Publisher interface {
	// Publish returns when the event is acknowledged.
	Publish(context.Context, event.Order) error
	// Enqueue returns when the event is accepted. It waits while Window events are
	// not acknowledged.
	Enqueue(context.Context, event.Order) error
	// Flush waits for what was enqueued, and returns the first failure of it.
	Flush(context.Context) error
	// Close waits for what is under way and ends the client.
	Close(context.Context) error
}

// Handler gets each decoded event. It is called by several goroutines at once.
type Handler func(*event.Order)

// Consumer handles a topic's events, from its earliest, until it is closed.
// It has begun when it is returned.
type Consumer interface {
	// Close stops handling, commits what was handled and leaves the group.
	Close(context.Context) error
}

// Peer is one client.
type Peer struct {
	// Name is the one of tables and flags.
	Name string
	// Module is the Go module of the client, by which its version is found.
	Module string
	// Publishes is false where it would only repeat another row.
	Publishes bool
	// Tool is set for a program of Apache Kafka's, which has neither of the functions.
	Tool bool
	// NewPublisher and NewConsumer connect to the brokers. The consumer handles at
	// once.
	NewPublisher func(context.Context, Settings) (Publisher, error)
	NewConsumer  func(context.Context, Settings, Handler) (Consumer, error)
}

// Names of peers that others are compared with, or that are ours.
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

// All returns the peers of this build in the order of the tables.
// A new slice for each call, so that callers may change it.
func All() []Peer {
	peers := []Peer{eventbusPeer, eventbusJSONPeer, eventbusWidePeer, franzPeer, kafkaGoPeer, saramaPeer}
	// Empty in a build without cgo.
	peers = append(peers, confluentPeers...)
	return append(peers, watermillPeer, javaPeer)
}

// Named returns the peer of that name, and reports whether this build has it.
func Named(name string) (Peer, bool) {
	peers := All()
	i := slices.IndexFunc(peers, func(p Peer) bool { return p.Name == name })
	if i < 0 {
		return Peer{}, false
	}
	return peers[i], true
}

// Version returns the version of the client's module in this program: "this tree"
// for one that is replaced by a directory, "unknown" without build information. A tool has
// that of the broker.
func (p Peer) Version() string {
	if p.Tool {
		return "of the broker's release"
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	// Deps has the modules of the program that runs, whatever go.mod says by now.
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
