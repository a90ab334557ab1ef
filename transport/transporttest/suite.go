package transporttest

import (
	"testing"
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

// Run runs the suite, each test on a transport returned by open. Run closes the transport;
// open uses t.Cleanup for anything else that it starts.
func Run(t *testing.T, open func(t *testing.T) transport.Transport, options ...Option) {
	// 30 seconds give a real cluster time for a rebalance under load. They bound only a wait
	// that fails.
	s := &suite{open: open, lacks: make(map[string]string), patience: 30 * time.Second}
	for _, o := range options {
		o(s)
	}
	// Each part relies on what earlier parts have tested, so the first failure is the one
	// to look at.
	for _, part := range []struct {
		name  string
		tests []test
	}{
		{"Cluster", clusterTests},
		{"Admin", adminTests},
		{"Produce", produceTests},
		{"Partition", partitionTests},
		{"Content", contentTests},
		{"Refusal", refusalTests},
		{"Consume", consumeTests},
		{"Pause", pauseTests},
		{"Start", startTests},
		{"Position", positionTests},
		{"Commit", commitTests},
		{"Group", groupTests},
		{"Types", typesTests},
		{"Close", closeTests},
		{"Read", readTests},
	} {
		t.Run(part.name, func(t *testing.T) {
			for _, c := range part.tests {
				t.Run(c.name, func(t *testing.T) { s.one(t, part.name+"/"+c.name, c.run) })
			}
		})
	}
}
