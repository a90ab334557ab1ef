package main

import (
	"context"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/eventbus-go/eventbus/bench/internal/peer"
)

// TestPeers runs a tiny campaign in this process, on a broker in this process:
// every client publishes and consumes as the workloads require, and the campaign's
// order, log and tables are consistent.
func TestPeers(t *testing.T) {
	broker, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Close)
	cluster, err := connect(broker.ListenAddrs())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.close)
	tiny := []workload{
		{name: "async", kind: asyncPublish, events: 200, compression: "lz4"},
		{name: "consume", kind: consume, events: 200, peers: bothCodecs},
		{name: "slow", kind: consume, events: 50, handling: time.Millisecond, peers: slowPeers},
	}
	for i := range tiny {
		tiny[i] = tiny[i].sized(false)
	}
	for _, p := range peer.All() {
		// A tool is a program of its own: see TestToolRates.
		if p.Tool {
			continue
		}
		t.Run(p.Name, func(t *testing.T) {
			log := new(measurementLog)
			c := campaign{
				cluster: cluster, workloads: tiny, peers: []string{p.Name}, rounds: 1, others: 1, log: log, progress: t.Output(),
				measure: func(ctx context.Context, k task) (measurement, error) { return inProcess(ctx, k, tiny) },
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			missing, err := c.run(ctx)
			if err != nil || missing > 0 {
				t.Fatalf("%d measurements missing, %v", missing, err)
			}
			c.end(ctx)
			rows := log.rows(tiny)
			if len(rows) == 0 || slices.ContainsFunc(rows, func(r row) bool { return r.Rate <= 0 }) {
				t.Errorf("rows: %+v", rows)
			}
			writeTables(io.Discard, log, tiny, rows)
		})
	}
}

// inProcess is perform with sizes for a test.
func inProcess(ctx context.Context, k task, sizes []workload) (measurement, error) {
	w := sizes[slices.IndexFunc(sizes, func(w workload) bool { return w.name == k.Workload })]
	return performSized(ctx, k, w)
}

// TestWaitingPublishers has each client publish and wait for the acknowledgement.
func TestWaitingPublishers(t *testing.T) {
	broker, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(6, peer.Settings{Stem: "waiting"}.Topic()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Close)
	w := workload{name: "sync-1", kind: syncPublish, goroutines: 2}.sized(true)
	for _, p := range peer.All() {
		if !p.Publishes {
			continue
		}
		t.Run(p.Name, func(t *testing.T) {
			s := w.settings(broker.ListenAddrs())
			s.Stem = "waiting"
			m, err := performSized(t.Context(), task{Peer: p.Name, Workload: w.name, Round: 1, Quick: true, Settings: s}, w)
			if err != nil {
				t.Fatal(err)
			}
			if m.Events == 0 || m.P50 <= 0 || m.P99 < m.P50 {
				t.Errorf("measured %s", m)
			}
		})
	}
}
