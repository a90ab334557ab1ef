package transporttest

import (
	"context"
	"errors"
	"fmt"

	"github.com/eventbus-go/eventbus/transport"
)

// consumeTests check what Poll returns and when.
var consumeTests = []test{
	{"Everything", testConsumeEverything},
	{"AssignedFirst", testConsumeAssignedFirst},
	{"Assignment", testConsumeAssignment},
	{"PollContext", testConsumePollContext},
	{"PollClosed", testConsumePollClosed},
	{"SmallFetch", testConsumeSmallFetch},
	{"Groups", testConsumeGroups},
	{"Status", testConsumeStatus},
	{"Config", testConsumeConfig},
}

// testConsumeEverything: many records of several topics and partitions, each once
// and in order.
func testConsumeEverything(r *run) {
	const partitions, each = 3, 1000
	a, b := r.topic(partitions), r.topic(partitions)
	// The member joins first, so the records come while it polls, and fetches end wherever
	// the logs ended at that time.
	m := r.member(transport.ConsumerConfig{Group: r.name("group"), Topics: []transport.TopicStart{{Topic: a}, {Topic: b}}})
	for _, topic := range []string{a, b} {
		for n := range int32(partitions) {
			r.fill(topic, n, each)
		}
	}
	for _, topic := range []string{a, b} {
		for n := range int32(partitions) {
			// Offset and value both count from 0: a record that is repeated, missing, or out of order
			// shifts one against the other.
			for i, record := range m.awaitRecords(at(topic, n), each) {
				if record.Offset != int64(i) || string(record.Value) != fmt.Sprint(i) {
					r.Fatalf("%s/%d: record %d is %s@%d", topic, n, i, record.Value, record.Offset)
				}
			}
		}
	}
}

// testConsumeAssignedFirst: Poll returns nothing of a partition before Assigned has
// returned, which the member checks of every batch.
func testConsumeAssignedFirst(r *run) {
	topic := r.topic(1)
	r.fill(topic, 0, 10)
	// Assigned is held up while records lie ready: a transport that begins to fetch with the
	// assignment has a batch for the Poll below, and returns it too early.
	called, goOn := make(chan struct{}), make(chan struct{})
	m := r.member(subscription(r.name("group"), topic, transport.Earliest()), idle, func(m *member) {
		m.onAssigned = func([]transport.Assignment) {
			close(called)
			<-goOn
		}
	})
	receive(r, "Assigned", called)
	// Room for one, so that the goroutine ends even if the test has given up on it.
	polled := make(chan error, 1)
	go func() {
		ctx, cancel := r.patience()
		defer cancel()
		_, err := m.pollOnce(ctx)
		polled <- err
	}()
	// Heartbeats go on while the listener works, however long it takes.
	if !m.consumer.Alive() {
		r.Error("the member is not alive while Assigned runs")
	}
	close(goOn)
	// take has checked the batch: its epoch is that of an assignment that was noted, which
	// happens at the end of Assigned.
	if err := receive(r, "Poll", polled); err != nil {
		r.Errorf("Poll: %v", err)
	}
}

// testConsumeAssignment: an assignment without a commit starts at the resolved start, with empty
// metadata, and names its topic and its cluster.
func testConsumeAssignment(r *run) {
	topic := r.topic(2)
	m := r.member(subscription(r.name("group"), topic, transport.Earliest()))
	m.awaitOwned(2)
	var cluster transport.Cluster
	r.within("Cluster", func(ctx context.Context) (err error) {
		cluster, err = r.Cluster(ctx)
		return err
	})
	info := r.describe(topic)
	for n := range int32(2) {
		// Nothing was committed, so LeaderEpoch is unknown, which is −1: 0 is a real epoch, and
		// would be compared with the log's.
		a := m.assignment(at(topic, n))
		if a.Offset != 0 || a.Metadata != "" || a.LeaderEpoch != -1 || a.Partitions != 2 {
			r.Errorf("assigned %+v", a)
		}
		// By these two the engine finds that commits belong to another topic or cluster.
		if a.TopicID != info.ID || a.ClusterID != cluster.ID {
			r.Errorf("topic id %x and cluster id %q, want %x and %q", a.TopicID, a.ClusterID, info.ID, cluster.ID)
		}
	}
}

// testConsumePollContext: Poll ends with its context, and the next one goes on. What
// was fetched meanwhile must not be lost with the call that ended.
func testConsumePollContext(r *run) {
	topic := r.topic(1)
	m := r.member(subscription(r.name("group"), topic, transport.Earliest()), idle)
	m.awaitOwned(1)
	ctx, cancel := context.WithCancel(r.Context())
	polled := make(chan error, 1)
	go func() {
		_, err := m.pollOnce(ctx)
		polled <- err
	}()
	// Poll may have begun to wait or not: it has to end either way.
	cancel()
	if err := receive(r, "Poll", polled); !errors.Is(err, context.Canceled) {
		r.Errorf("Poll: %v, want the context's error", err)
	}
	r.fill(topic, 0, 1)
	r.within("Poll after one whose context ended", func(ctx context.Context) error {
		// take checks that the batch begins at offset 0: one that was handed to the Poll that
		// ended would be missing here.
		partitions, err := m.pollOnce(ctx)
		if err == nil && len(partitions) != 1 {
			r.Errorf("Poll returned batches of %v", partitions)
		}
		return err
	})
}

// testConsumePollClosed: Close ends a Poll that waits, and every later one.
func testConsumePollClosed(r *run) {
	topic := r.topic(1)
	m := r.member(subscription(r.name("group"), topic, transport.Earliest()), idle)
	m.awaitOwned(1)
	polled := make(chan error, 1)
	go func() {
		// No context that ends: nothing but Close can end this Poll.
		_, err := m.pollOnce(context.Background())
		polled <- err
	}()
	m.leave()
	if err := receive(r, "Poll", polled); !errors.Is(err, transport.ErrClosed) {
		r.Errorf("Poll while Close was called: %v, want ErrClosed", err)
	}
	// A goroutine that is late must not wait for records of a member that is gone.
	if _, err := m.pollOnce(r.Context()); !errors.Is(err, transport.ErrClosed) {
		r.Errorf("Poll after Close: %v, want ErrClosed", err)
	}
	if m.consumer.Alive() {
		r.Error("the member is alive after Close")
	}
}

// testConsumeSmallFetch: a record larger than the bound is still delivered.
func testConsumeSmallFetch(r *run) {
	topic := r.topic(2)
	p := r.producer(transport.ProducerConfig{})
	config := subscription(r.name("group"), topic, transport.Earliest())
	// A fifth of a record. A transport that takes the bound for the room that a record needs
	// waits for room that never comes, and reports nothing.
	config.FetchBytes = 1000
	m := r.member(config)
	for n := range int32(2) {
		for range 5 {
			r.produce(p, transport.Record{Topic: topic, Partition: n, Value: make([]byte, 5000)})
		}
	}
	for n := range int32(2) {
		m.awaitRecords(at(topic, n), 5)
	}
}

// testConsumeGroups: each group gets every record.
func testConsumeGroups(r *run) {
	topic := r.topic(1)
	r.fill(topic, 0, 10)
	// Both are members at the same time. A transport that keeps positions by topic alone would
	// share the records out between them.
	a := r.member(subscription(r.name("a"), topic, transport.Earliest()))
	b := r.member(subscription(r.name("b"), topic, transport.Earliest()))
	a.awaitRecords(at(topic, 0), 10)
	b.awaitRecords(at(topic, 0), 10)
}

// testConsumeStatus: a member shows that it is in its group, where it is in each
// partition, and, after Close, that it is closed. Health checks read nothing else.
func testConsumeStatus(r *run) {
	topic := r.topic(1)
	r.fill(topic, 0, 3)
	m := r.member(subscription(r.name("group"), topic, transport.Earliest()))
	m.awaitRecords(at(topic, 0), 3)
	// The status follows Poll and the heartbeats, some time later.
	r.eventually("a status that shows the member and its partition", func() bool {
		s := m.consumer.Status()
		if !s.Joined || s.State != "stable" || s.MemberID == "" || s.LastHeartbeat.IsZero() || s.LastError != nil || len(s.Partitions) != 1 {
			return false
		}
		// Next is 3, the offset after the last record. The high watermark may be unknown, but
		// must not be another number.
		p := s.Partitions[0]
		return p.Partition == at(topic, 0) && p.Next == 3 && !p.LastFetch.IsZero() && !p.Paused && p.Err == nil &&
			(p.HighWatermark == 3 || p.HighWatermark == -1)
	})
	m.leave()
	if s := m.consumer.Status(); s.State != "closed" {
		r.Errorf("the state after Close is %q", s.State)
	}
}

// testConsumeConfig: a consumer without a group, a topic or a listener is refused.
func testConsumeConfig(r *run) {
	// Each lacks one field and has the others, so that it is refused for that field. Without
	// the check the consumer would wait in silence, or panic when it is assigned something.
	for what, config := range map[string]transport.ConsumerConfig{
		"group":    {Topics: []transport.TopicStart{{Topic: "t"}}, Listener: new(member)},
		"topics":   {Group: "g", Listener: new(member)},
		"listener": {Group: "g", Topics: []transport.TopicStart{{Topic: "t"}}},
	} {
		if _, err := r.NewConsumer(config); err == nil {
			r.Errorf("a consumer without a %s was made", what)
		}
	}
}
