package transporttest

import (
	"context"
	"slices"
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

// closeTests check how a Consumer leaves its group.
var closeTests = []test{
	{"Revokes", testCloseRevokes},
	{"Bounded", testCloseBounded},
	{"Leaves", testCloseLeaves},
	{"Unjoined", testCloseUnjoined},
}

// testCloseRevokes: Close calls Revoked for all assigned partitions, and commits made in it count.
func testCloseRevokes(r *run) {
	topic, group := r.topic(2), r.name("group")
	r.fill(topic, 0, 5)
	m := r.member(subscription(group, topic, transport.Earliest()), func(m *member) {
		m.onRevoked = func(ctx context.Context, revoked []transport.Partition) {
			for _, p := range revoked {
				// The member counts the stretch as over already, so assignment would fail; the group
				// does not, and takes a commit under its epoch until Revoked returns.
				epoch := m.stretchEpoch(p)
				if err := m.consumer.Commit(ctx, transport.Commit{Partition: p, Epoch: epoch, Offset: 2, LeaderEpoch: -1, Metadata: "bye"}); err != nil {
					r.Errorf("Commit in Revoked: %v", err)
				}
			}
		}
	})
	m.awaitOwned(2)
	m.leave()
	// Several calls of Revoked may share the partitions, so they are looked up, not compared.
	m.mu.Lock()
	for n := range int32(2) {
		if !slices.Contains(m.revoked, at(topic, n)) {
			r.Errorf("Close revoked %v, not partition %d", m.revoked, n)
		}
	}
	// Lost would mean that the transport left the group first and asked afterwards: by then
	// nothing can be committed, and the next member repeats what was done.
	if len(m.lost) > 0 {
		r.Errorf("Close lost %v", m.lost)
	}
	m.mu.Unlock()
	// Read from the cluster, because a Commit that returns nil and is dropped on the way out
	// looks the same to the member.
	commits := r.committed(group, topic)
	for n := range int32(2) {
		if c := commits[at(topic, n)]; c.Offset != 2 || c.Metadata != "bye" {
			r.Errorf("committed %+v", c)
		}
	}
}

// stretchEpoch is the epoch of a partition's last stretch, also while it is revoked.
func (m *member) stretchEpoch(p transport.Partition) uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := m.stretches[p]
	return all[len(all)-1].Epoch
}

// testCloseBounded: the context of Close ends that of Revoked, and with it Close.
func testCloseBounded(r *run) {
	topic := r.topic(1)
	m := r.member(subscription(r.name("group"), topic, transport.Earliest()), func(m *member) {
		m.onRevoked = func(ctx context.Context, _ []transport.Partition) {
			select {
			case <-ctx.Done():
			// This ends a transport that never cancels ctx, later than receive below gives up, so
			// that the test fails by its own words and no goroutine is left.
			case <-time.After(2 * r.suite.patience):
				r.Error("the context of Revoked went on after that of Close")
			}
		}
	})
	m.awaitOwned(1)
	ctx, cancel := context.WithTimeout(r.Context(), 500*time.Millisecond)
	defer cancel()
	// Close runs beside the test: one that waits for Revoked regardless of ctx would hold it.
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		// Whether a Revoked that was cut short is an error is the transport's choice.
		_ = m.close(ctx)
	}()
	receive(r, "Close", closed)
}

// testCloseLeaves: the other members get the partitions at once, not when a session
// has timed out, which takes longer than the suite's patience.
func testCloseLeaves(r *run) {
	topic, group := r.topic(4), r.name("group")
	config := subscription(group, topic, transport.Earliest())
	// This catches a transport that only stops its heartbeats: its partitions move when the session
	// ends, long after the suite has given up.
	config.SessionTimeout = max(45*time.Second, 2*r.suite.patience)
	first := r.member(config)
	first.awaitOwned(4)
	second := r.member(config)
	// Both are stable members now, so that nothing but leaving moves partitions from here on.
	second.awaitOwned(2)
	first.leave()
	second.awaitOwned(4)
}

// testCloseUnjoined: Close works at any time, also before the group has answered.
func testCloseUnjoined(r *run) {
	topic := r.topic(1)
	// Each time Close meets the join at another point: before the coordinator is found, while
	// the request is on its way, or with an assignment about to be given. A transport that
	// waits for the group first, or that joins after it was closed, fails in leave or leaks.
	for range 3 {
		r.member(subscription(r.name("group"), topic, transport.Earliest())).leave()
	}
}
