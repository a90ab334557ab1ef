package transporttest

import (
	"context"

	"github.com/eventbus-go/eventbus/transport"
)

// positionTests check what a Consumer does with a committed offset that is not in the log: no
// move is silent.
var positionTests = []test{
	{"BeyondEndToEarliest", testPositionToEarliest},
	{"BeyondEndToLatest", testPositionToLatest},
	{"BeyondEndStays", testPositionStays},
	{"Removed", testPositionRemoved},
	{"Recreated", testPositionRecreated},
}

// beyond returns a group whose committed offset is 1000 on a log of 10 records.
func (r *run) beyond() (group, topic string) {
	r.Helper()
	topic, group = r.topic(1), r.name("group")
	r.fill(topic, 0, 10)
	m := r.member(subscription(group, topic, transport.Earliest()))
	m.awaitOwned(1)
	// Kafka takes any offset. In production the log lost its end to an unclean election, or
	// the group's commits were moved to a cluster with shorter logs.
	m.commit(at(topic, 0), 1000, "")
	m.leave()
	return group, topic
}

// outOfRange returns the config of a member that has a policy for such offsets.
func outOfRange(group, topic string, policy transport.OutOfRange) transport.ConsumerConfig {
	return transport.ConsumerConfig{Group: group, Topics: []transport.TopicStart{{Topic: topic, OutOfRange: policy}}}
}

// testPositionToEarliest: the default loses nothing. It goes to the log's start and may
// repeat, and the listener is told from where to where.
func testPositionToEarliest(r *run) {
	group, topic := r.beyond()
	m := r.member(outOfRange(group, topic, transport.ToEarliest))
	// take reports a batch that begins at 0 unless Skipped has said so.
	if got := m.awaitSkip(); got.p != at(topic, 0) || got.from != 1000 || got.to != 0 {
		r.Errorf("skipped %+v, want 1000 to 0", got)
	}
	if got := m.awaitRecords(at(topic, 0), 10); got[0].Offset != 0 {
		r.Errorf("the first record is at offset %d", got[0].Offset)
	}
}

// testPositionToLatest: the position moves to the end, and what is written from then on
// is read.
func testPositionToLatest(r *run) {
	group, topic := r.beyond()
	m := r.member(outOfRange(group, topic, transport.ToLatest))
	// The records are written after the move, so that the end it went to is 10 without doubt.
	if got := m.awaitSkip(); got.from != 1000 || got.to != 10 {
		r.Errorf("skipped %+v, want 1000 to 10", got)
	}
	r.fill(topic, 0, 1)
	if got := m.awaitRecords(at(topic, 0), 1); got[0].Offset != 10 {
		r.Errorf("the first record is at offset %d, want 10", got[0].Offset)
	}
}

// testPositionStays: nothing is read or moved, and the partition's status says why, until
// somebody decides.
func testPositionStays(r *run) {
	group, topic := r.beyond()
	m := r.member(outOfRange(group, topic, transport.StayOutOfRange))
	r.eventually("a status that reports the partition", func() bool {
		s := m.consumer.Status()
		return len(s.Partitions) == 1 && s.Partitions[0].Err != nil && s.Partitions[0].Next == 1000
	})
	// The policy has been applied by now, because the status says so.
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.skipped) > 0 || len(m.records) > 0 {
		r.Errorf("skipped %v, got records of %d partitions", m.skipped, len(m.records))
	}
}

// testPositionRemoved: a committed offset before the log's start moves to it, and the
// Listener is told.
func testPositionRemoved(r *run) {
	if r.suite.deleteRecords == nil {
		r.Skip("the suite was not told how records are deleted")
	}
	topic, group := r.topic(1), r.name("group")
	r.fill(topic, 0, 10)
	first := r.member(subscription(group, topic, transport.Earliest()))
	first.awaitOwned(1)
	first.commit(at(topic, 0), 2, "two")
	first.leave()
	r.within("deleting records", func(ctx context.Context) error {
		return r.suite.deleteRecords(ctx, r.Transport, at(topic, 0), 5)
	})

	// Stay concerns offsets beyond the end alone. What retention removed never comes back, so
	// a member that stayed there would wait without end.
	m := r.member(outOfRange(group, topic, transport.StayOutOfRange))
	if got := m.awaitSkip(); got.p != at(topic, 0) || got.from != 2 || got.to != 5 {
		r.Errorf("skipped %+v, want 2 to 5", got)
	}
	if got := m.awaitRecords(at(topic, 0), 5); got[0].Offset != 5 {
		r.Errorf("the first record is at offset %d, want 5", got[0].Offset)
	}
	// The assignment says what was committed; that fetching moved is Skipped's to say.
	if a := m.assignment(at(topic, 0)); a.Offset != 2 || a.Metadata != "two" {
		r.Errorf("assigned %+v, want what was committed", a)
	}
}

// testPositionRecreated: a topic that is created again is read from its first record,
// under another epoch and topic id.
func testPositionRecreated(r *run) {
	if r.suite.deleteTopic == nil {
		r.Skip("the suite was not told how topics are deleted")
	}
	topic, group := r.topic(1), r.name("group")
	r.fill(topic, 0, 5)
	m := r.member(subscription(group, topic, transport.Latest()))
	m.awaitOwned(1)
	before := m.assignment(at(topic, 0))
	// The new log is shorter than this offset: a member that goes by the name alone finds
	// itself beyond the end, and one that waits there loses the first records.
	m.commit(at(topic, 0), 5, "old")

	r.within("deleting the topic", func(ctx context.Context) error {
		return r.suite.deleteTopic(ctx, r.Transport, topic)
	})
	r.within("creating it again", func(ctx context.Context) error {
		return r.Admin().CreateTopics(ctx, transport.TopicSpec{Name: topic, Partitions: 1})
	})
	r.fill(topic, 0, 3)
	// The start was Latest, which applied to the first topic only.
	for i, record := range m.awaitRecords(at(topic, 0), 3) {
		if record.Offset != int64(i) {
			r.Errorf("record %d is at offset %d", i, record.Offset)
		}
	}
	// Another epoch fences the commits of handlers that still run on the old records.
	if a := m.assignment(at(topic, 0)); a.TopicID == before.TopicID || a.Epoch == before.Epoch || a.Offset != 0 || a.Metadata != "" {
		r.Errorf("assigned %+v, and then %+v", before, a)
	}
}
