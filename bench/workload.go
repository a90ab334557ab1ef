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

const (
	syncPublish kind = iota
	asyncPublish
	consume
	endToEnd
)

// workload is one kind of work with its sizes.
type workload struct {
	name, title string
	kind        kind
	goroutines  int           // that publish at once (syncPublish)
	events      int           // in all (asyncPublish, consume)
	rate        int           // events per second (endToEnd)
	keys        int           // distinct ones; 0: 10,000
	partitions  int           // 0: 6
	compression string        // empty: none
	handling    time.Duration // of one event (consume)
	latency     bool          // the ratio is that of p50, not of the rate
	peers       []string      // empty: all but the variants of ours
	extra       bool          // runs only when it is named, or with -growth
}

const window = 50_000 // events that are accepted and not acknowledged, at most

// plain peers, that every workload compares, and those that some have besides.
var (
	plainPeers  = []string{peer.Eventbus, peer.Franz, peer.KafkaGo, peer.Sarama, peer.Confluent, peer.Watermill}
	bothCodecs  = append([]string{peer.EventbusJSON}, plainPeers...)
	slowPeers   = append([]string{peer.EventbusWide}, plainPeers...)
	growthPeers = []string{peer.Eventbus, peer.Franz}
	quickPeers  = []string{peer.Eventbus, peer.EventbusJSON, peer.Franz, peer.KafkaGo}
)

func workloads() []workload {
	return []workload{
		{name: "sync-1", title: "Publish and wait, 1 goroutine", kind: syncPublish, goroutines: 1, latency: true},
		{name: "sync-64", title: "Publish and wait, 64 goroutines", kind: syncPublish, goroutines: 64},
		{name: "sync-512", title: "Publish and wait, 512 goroutines", kind: syncPublish, goroutines: 512},
		{name: "async", title: "Publish 500,000 events without waiting for each", kind: asyncPublish, events: 500_000, peers: bothCodecs},
		{name: "consume", title: "Consume and decode 500,000 events, commit once a second", kind: consume, events: 500_000, peers: bothCodecs},
		{name: "e2e-10", title: "From publish to handler, 10 events/s", kind: endToEnd, rate: 10, latency: true},
		{name: "e2e-1000", title: "From publish to handler, 1,000 events/s", kind: endToEnd, rate: 1000, latency: true},
		{name: "slow", title: "Handlers that take 5 ms, 20,000 events", kind: consume, events: 20_000, handling: 5 * time.Millisecond, peers: slowPeers},
		{name: "async-lz4", title: "Publish 500,000 events, lz4", kind: asyncPublish, events: 500_000, compression: "lz4"},
		{name: "async-zstd", title: "Publish 500,000 events, zstd", kind: asyncPublish, events: 500_000, compression: "zstd"},
		{name: "consume-lz4", title: "Consume and decode 500,000 events, lz4", kind: consume, events: 500_000, compression: "lz4", peers: bothCodecs},
		{name: "consume-zstd", title: "Consume and decode 500,000 events, zstd", kind: consume, events: 500_000, compression: "zstd", peers: bothCodecs},
		growth("async-600-partitions", "Publish 500,000 events, 600 partitions", workload{events: 500_000, partitions: 600}),
		growth("async-10-keys", "Publish 500,000 events, 10 keys", workload{events: 500_000, keys: 10}),
		growth("async-1M-keys", "Publish 500,000 events, 1,000,000 keys", workload{events: 500_000, keys: 1_000_000}),
		{name: "backlog-5M", title: "Consume a backlog of 5,000,000 events", kind: consume, events: 5_000_000, peers: growthPeers, extra: true},
		growth("async-100k", "Publish 100,000 events", workload{events: 100_000}),
		growth("async-10M", "Publish 10,000,000 events", workload{events: 10_000_000}),
	}
}

// growth is a workload that shows how the cost of an event grows.
func growth(name, title string, w workload) workload {
	w.name, w.title, w.kind, w.peers, w.extra = name, title, asyncPublish, growthPeers, true
	return w
}

// sized fills in what the workload leaves open; quick makes it short.
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
	if len(w.peers) == 0 {
		w.peers = plainPeers
	}
	if quick {
		w.events = min(w.events, 100_000)
		if w.handling > 0 {
			w.events = 2_000
		}
	}
	return w
}

// stem names what consumers of such a workload read: those that agree share it.
func (w workload) stem() string {
	return fmt.Sprintf("%d-%d-%d-%s", w.events, w.keys, w.partitions, w.compression)
}

// choose returns the workloads that were asked for, in their order.
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
		if slices.Contains(asked, w.name) || len(asked) == 0 && (!w.extra || growth) {
			chosen = append(chosen, w.sized(quick))
		}
	}
	return chosen, nil
}

// choosePeers returns the names of the peers that were asked for, or all that
// this build has.
func choosePeers(names string, quick bool) ([]string, error) {
	var known []string
	for _, p := range peer.All() {
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

// list splits names at commas and checks each.
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
