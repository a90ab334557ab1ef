package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/eventbus-go/eventbus/bench/internal/peer"
)

// kind is what a workload does.
type kind int8

// syncPublish publishes and waits for each event, and asyncPublish waits for all at the end.
// consume handles the events of a filled topic. endToEnd publishes and handles in one process.
// starting starts a consumer, and closes it after its first event.
const (
	syncPublish kind = iota
	asyncPublish
	consume
	endToEnd
	starting
)

// workload is one kind of work with its sizes. The method sized sets the defaults of sizes
// that are zero.
type workload struct {
	// name selects the workload, and title is the heading of its table.
	name, title string
	kind        kind
	// goroutines is the number of concurrent publishers (syncPublish).
	goroutines int
	// events is the number of events that are published or handled (asyncPublish, consume), or
	// that the topic has (starting). rate is in events per second (endToEnd).
	events int
	rate   int
	// keys is the number of distinct keys, by default 10,000. partitions is 6 by default.
	keys       int
	partitions int
	// compression is none, lz4 or zstd; empty means none.
	compression string
	// batch bounds the bytes of a published batch, so that batches have the same number of
	// events with any number of partitions; 0 means the client's default.
	batch int
	// handling is the time that the handler takes for one event (consume).
	handling time.Duration
	// roundTrip is the round trip between the client and the broker; 0 means that of the
	// loopback interface.
	roundTrip time.Duration
	// latency compares the median latency instead of the rate.
	latency bool
	// peers has the names of the peers to measure; empty means plainPeers.
	peers []string
	// extra workloads run only if they are named, or with -growth.
	extra bool
}

// window bounds the events that a client has accepted and brokers have not acknowledged yet.
const window = 50_000

// Sets of peers. plainPeers are for workloads without a set; variants of this library and
// Java's client are for those in which they show something.
var (
	plainPeers  = []string{peer.Eventbus, peer.Franz, peer.KafkaGo, peer.Sarama, peer.Confluent, peer.Watermill}
	bothCodecs  = append([]string{peer.EventbusJSON}, plainPeers...)
	withTools   = append(slices.Clone(bothCodecs), peer.Java)
	slowPeers   = append([]string{peer.EventbusWide}, plainPeers...)
	growthPeers = []string{peer.Eventbus, peer.Franz}
	quickPeers  = []string{peer.Eventbus, peer.EventbusJSON, peer.Franz, peer.KafkaGo}
)

// workloads returns all workloads, in the order of the document.
func workloads() []workload {
	return []workload{
		{name: "sync-1", title: "Publish and wait, 1 goroutine", kind: syncPublish, goroutines: 1, latency: true},
		{name: "sync-64", title: "Publish and wait, 64 goroutines", kind: syncPublish, goroutines: 64},
		{name: "sync-512", title: "Publish and wait, 512 goroutines", kind: syncPublish, goroutines: 512},
		{name: "async", title: "Publish 500,000 events without waiting for each", kind: asyncPublish, events: 500_000, peers: withTools},
		{name: "consume", title: "Consume and decode 500,000 events, commit once a second", kind: consume, events: 500_000, peers: withTools},
		{name: "e2e-10", title: "From publish to handler, 10 events/s", kind: endToEnd, rate: 10, latency: true},
		{name: "e2e-1000", title: "From publish to handler, 1,000 events/s", kind: endToEnd, rate: 1000, latency: true},
		{name: "slow", title: "Handlers that take 5 ms, 20,000 events", kind: consume, events: 20_000, handling: 5 * time.Millisecond, peers: slowPeers},
		{name: "async-lz4", title: "Publish 500,000 events, lz4", kind: asyncPublish, events: 500_000, compression: "lz4"},
		{name: "async-zstd", title: "Publish 500,000 events, zstd", kind: asyncPublish, events: 500_000, compression: "zstd"},
		{name: "consume-lz4", title: "Consume and decode 500,000 events, lz4", kind: consume, events: 500_000, compression: "lz4", peers: bothCodecs},
		{name: "consume-zstd", title: "Consume and decode 500,000 events, zstd", kind: consume, events: 500_000, compression: "zstd", peers: bothCodecs},
		growth("async-600-partitions", "Publish 500,000 events, 600 partitions", workload{events: 500_000, partitions: 600}),
		growth("async-small-batches", "Publish 500,000 events, batches of 8 KiB", workload{events: 500_000, batch: smallBatch}),
		growth("async-small-batches-600", "Publish 500,000 events, batches of 8 KiB, 600 partitions", workload{events: 500_000, batch: smallBatch, partitions: 600}),
		growth("consume-small-batches", "Consume and decode 500,000 events, batches of 8 KiB", workload{kind: consume, events: 500_000, batch: smallBatch}),
		growth("consume-small-batches-600", "Consume and decode 500,000 events, batches of 8 KiB, 600 partitions", workload{kind: consume, events: 500_000, batch: smallBatch, partitions: 600}),
		growth("async-10-keys", "Publish 500,000 events, 10 keys", workload{events: 500_000, keys: 10}),
		growth("async-1M-keys", "Publish 500,000 events, 1,000,000 keys", workload{events: 500_000, keys: 1_000_000}),
		{name: "backlog-5M", title: "Consume a backlog of 5,000,000 events", kind: consume, events: 5_000_000, peers: growthPeers, extra: true},
		growth("async-100k", "Publish 100,000 events", workload{events: 100_000}),
		growth("async-10M", "Publish 10,000,000 events", workload{events: 10_000_000}),
		distant("sync-64-far", workload{title: "Publish and wait, 64 goroutines", kind: syncPublish, goroutines: 64}),
		distant("async-far", workload{title: "Publish 500,000 events without waiting for each", kind: asyncPublish, events: 500_000}),
		distant("consume-far", workload{title: "Consume and decode 500,000 events", kind: consume, events: 500_000}),
		distant("e2e-1000-far", workload{title: "From publish to handler, 1,000 events/s", kind: endToEnd, rate: 1000, latency: true}),
		{name: "start", title: "From nothing to the first handled event, and back", kind: starting, events: 60, latency: true, peers: growthPeers, extra: true},
		distant("start-far", workload{title: "From nothing to the first handled event, and back", kind: starting, events: 60, latency: true}),
	}
}

// smallBatch is so small that the window fills a batch for each of 600 partitions, in bytes.
const smallBatch = 8 << 10

// growth returns an extra workload that shows how the cost of an event grows. Here the zero
// kind means asyncPublish.
func growth(name, title string, w workload) workload {
	if w.kind == syncPublish {
		w.kind = asyncPublish
	}
	w.name, w.title, w.peers, w.extra = name, title, growthPeers, true
	return w
}

// distant returns an extra workload with one partition and a distant broker. A client's rate is then
// limited by how much it keeps under way.
func distant(name string, w workload) workload {
	w.name, w.partitions, w.roundTrip, w.peers, w.extra = name, 1, 20*time.Millisecond, growthPeers, true
	w.title += fmt.Sprintf(", one partition, round trip of %v", w.roundTrip)
	return w
}

// sized returns the workload with its defaults. With quick it is short.
func (w workload) sized(quick bool) workload {
	if w.keys == 0 {
		w.keys = 10_000
	}
	if w.partitions == 0 {
		w.partitions = 6
	}
	if w.compression == "" {
		w.compression = "none"
	}
	// Workloads in which the variants of this library differ have them in their own list.
	if len(w.peers) == 0 {
		w.peers = plainPeers
	}
	if quick {
		// Quick sizes show that everything works. Their figures mean little.
		w.events = min(w.events, 100_000)
		if w.handling > 0 {
			w.events = 2_000
		}
	}
	return w
}

// stem returns a name for the records that the workload's consumers read. It has everything
// on which the records depend, and nothing of how they are handled, so that workloads with the
// same stem share a topic.
func (w workload) stem() string {
	return fmt.Sprintf("%d-%d-%d-%s-%d", w.events, w.keys, w.partitions, w.compression, w.batch)
}

// choose returns the workloads with the names, separated by commas, in the order of the
// document. Without names it returns all but the extra ones, and those too with growth.
func choose(names string, growth, quick bool) ([]workload, error) {
	all := workloads()
	var known []string
	for _, w := range all {
		known = append(known, w.name)
	}
	asked, err := list("workload", names, known)
	if err != nil {
		return nil, err
	}
	var chosen []workload
	for _, w := range all {
		// Extra workloads take long and answer one question each.
		if slices.Contains(asked, w.name) || len(asked) == 0 && (!w.extra || growth) {
			chosen = append(chosen, w.sized(quick))
		}
	}
	return chosen, nil
}

// choosePeers returns the peers with the names, separated by commas. Without names it returns
// those for a quick campaign, or all of this build.
func choosePeers(names string, quick bool) ([]string, error) {
	var known []string
	for _, p := range peer.All() {
		// A build without cgo does not know confluent-kafka-go.
		known = append(known, p.Name)
	}
	asked, err := list("peer", names, known)
	switch {
	case err != nil || len(asked) > 0:
		return asked, err
	case quick:
		return quickPeers, nil
	}
	return known, nil
}

// list splits names at commas and checks that each is known. Otherwise the error lists the
// known ones. An empty text gives an empty list, which means the default to callers.
func list(what, names string, known []string) ([]string, error) {
	var asked []string
	for name := range strings.SplitSeq(names, ",") {
		if name = strings.TrimSpace(name); name == "" {
			continue
		}
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("there is no %s %q: choose from %s", what, name, strings.Join(known, ", "))
		}
		asked = append(asked, name)
	}
	return asked, nil
}
