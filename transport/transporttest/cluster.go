package transporttest

import (
	"context"
	"errors"

	"github.com/eventbus-go/eventbus/transport"
)

// clusterTests check what a Transport says about its cluster, and how it closes.
var clusterTests = []test{
	{"Identity", testClusterIdentity},
	{"Closed", testClusterClosed},
}

// testClusterIdentity: the cluster's id does not change, and it has brokers. Commits
// are marked with the id, by which a group finds that it was moved to another cluster.
func testClusterIdentity(r *run) {
	var first, second transport.Cluster
	r.within("Cluster", func(ctx context.Context) (err error) {
		first, err = r.Cluster(ctx)
		return err
	})
	r.within("Cluster", func(ctx context.Context) (err error) {
		second, err = r.Cluster(ctx)
		return err
	})
	// An id made up for each connection would make every commit look like another cluster's,
	// and each group would begin again. The id may be empty: then nothing is compared.
	if first.ID != second.ID {
		r.Errorf("the cluster is %q, and then %q", first.ID, second.ID)
	}
	if len(first.Brokers) == 0 {
		r.Error("the cluster has no brokers")
	}
}

// testClusterClosed: after Close every method of a transport returns ErrClosed, at once and
// without a panic, for goroutines that are late.
func testClusterClosed(r *run) {
	// Nothing has been used before Close, so that a transport that connects at first use is
	// also held to refusing to connect afterwards.
	r.close()
	ctx, cancel := r.patience()
	defer cancel()
	if _, err := r.Cluster(ctx); !errors.Is(err, transport.ErrClosed) {
		r.Errorf("Cluster after Close: %v, want ErrClosed", err)
	}
	if _, err := r.Admin().Topics(ctx); !errors.Is(err, transport.ErrClosed) {
		r.Errorf("Topics after Close: %v, want ErrClosed", err)
	}
	if _, err := r.NewProducer(transport.ProducerConfig{}); !errors.Is(err, transport.ErrClosed) {
		r.Errorf("NewProducer after Close: %v, want ErrClosed", err)
	}
	// Complete, so that the refusal is for the transport's end and not for a missing field.
	config := subscription("group", "topic", transport.Earliest())
	config.Listener = new(member)
	if _, err := r.NewConsumer(config); !errors.Is(err, transport.ErrClosed) {
		r.Errorf("NewConsumer after Close: %v, want ErrClosed", err)
	}
	if _, err := r.NewReader(from("topic", 1, 0)); !errors.Is(err, transport.ErrClosed) {
		r.Errorf("NewReader after Close: %v, want ErrClosed", err)
	}
}
