package transporttest

import (
	"testing"
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

// Run runs the suite, each test on a transport that open returns. Run closes it;
// what else open started, open ends by t.Cleanup.
func Run(t *testing.T, open func(t *testing.T) transport.Transport, options ...Option) {
	// 30 seconds leave a real cluster room for a rebalance under load. They bound a wait that
	// fails; one that succeeds ends at once.
	s := &suite{open: open, lacks: make(map[string]string), patience: 30 * time.Second}
	for _, o := range options {
		o(s)
	}
	// The order is that of a transport's making: what a later part uses is tested in an
	// earlier one, so the first failure is the one to look at.
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
