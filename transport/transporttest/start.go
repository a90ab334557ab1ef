package transporttest

import (
	"context"
	"fmt"
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

// startTests check where a group without a commit starts.
var startTests = []test{
	{"Earliest", testStartEarliest},
	{"Latest", testStartLatest},
	{"AtTime", testStartAtTime},
	{"AppliesOnce", testStartAppliesOnce},
	{"LaterPartitions", testStartLaterPartitions},
}

// testStartEarliest: the log's start, which is the zero value.
func testStartEarliest(r *run) {
	topic := r.topic(1)
	r.fill(topic, 0, 5)
	m := r.member(subscription(r.name("group"), topic, transport.Earliest()))
	// The records are older than the group, so a member that begins at the end gets none.
	if got := m.awaitRecords(at(topic, 0), 5); got[0].Offset != 0 {
		r.Errorf("the first record is at offset %d", got[0].Offset)
	}
}

// testStartLatest: the end at the time of the assignment. Records written after Assigned has
// returned are read.
func testStartLatest(r *run) {
	topic := r.topic(1)
	r.fill(topic, 0, 5)
	m := r.member(subscription(r.name("group"), topic, transport.Latest()))
	m.awaitOwned(1)
	r.fill(topic, 0, 3)
	// A transport that resolves the end at its first fetch, and not before Assigned, may come
	// after these three and lose them.
	got := m.awaitRecords(at(topic, 0), 3)
	if got[0].Offset != 5 || m.assignment(at(topic, 0)).Offset != 5 {
		r.Errorf("assigned at %d, the first record is at %d, want 5", m.assignment(at(topic, 0)).Offset, got[0].Offset)
	}
}

// testStartAtTime: the first record at or after a time, and the end of a partition that
// has none.
func testStartAtTime(r *run) {
	topic := r.topic(2)
	p := r.producer(transport.ProducerConfig{})
	start := time.Now().Add(-time.Hour).Truncate(time.Millisecond)
	for n := range 5 {
		r.produce(p, transport.Record{Topic: topic, Partition: 0, Time: start.Add(time.Duration(n) * time.Minute)})
	}
	// The time of the fourth record, at offset 3. Partition 1 is empty.
	m := r.member(subscription(r.name("group"), topic, transport.At(start.Add(3*time.Minute))))
	if got := m.awaitRecords(at(topic, 0), 2); got[0].Offset != 3 {
		r.Errorf("the first record is at offset %d, want 3", got[0].Offset)
	}
	if a := m.assignment(at(topic, 1)); a.Offset != 0 {
		r.Errorf("an empty partition starts at %d", a.Offset)
	}
}

// testStartAppliesOnce: the start of a group is committed when it first comes to a
// topic, so that one that comes back without a commit of its own misses nothing.
func testStartAppliesOnce(r *run) {
	const partitions = 3
	topic, group := r.topic(partitions), r.name("group")
	for n := range int32(partitions) {
		r.fill(topic, n, 10)
	}
	first := r.member(subscription(group, topic, transport.Latest()))
	first.awaitOwned(partitions)
	// Nothing was delivered and the test has committed nothing: these are the start itself.
	commits := r.committed(group, topic)
	for n := range int32(partitions) {
		if c, has := commits[at(topic, n)]; !has || c.Offset != 10 {
			r.Errorf("the start of partition %d is committed as %+v, %v, want 10", n, c, has)
		}
	}
	first.leave()

	for n := range int32(partitions) {
		r.fill(topic, n, 2)
	}
	// Another start than the first member's: if the start applied again, it would repeat all
	// ten with this one, and lose the two with Latest.
	second := r.member(subscription(group, topic, transport.Earliest()))
	for n := range int32(partitions) {
		if got := second.awaitRecords(at(topic, n), 2); got[0].Offset != 10 || len(got) != 2 {
			r.Errorf("partition %d: %d records from offset %d, want 2 from 10", n, len(got), got[0].Offset)
		}
	}
}

// testStartLaterPartitions: a partition that appears later is read from its first
// record, whatever the start was.
func testStartLaterPartitions(r *run) {
	if r.suite.addPartitions == nil {
		r.Skip("the suite was not told how topics grow")
	}
	topic := r.topic(1)
	r.fill(topic, 0, 5)
	m := r.member(subscription(r.name("group"), topic, transport.Latest()))
	m.awaitOwned(1)
	kept := m.assignment(at(topic, 0)).Epoch
	r.within("adding partitions", func(ctx context.Context) error {
		return r.suite.addPartitions(ctx, r.Transport, topic, 3)
	})
	for n := int32(1); n < 3; n++ {
		r.fill(topic, n, 4)
	}
	for n := int32(1); n < 3; n++ {
		for i, record := range m.awaitRecords(at(topic, n), 4) {
			if record.Offset != int64(i) || string(record.Value) != fmt.Sprint(i) {
				r.Errorf("partition %d: record %d is %s@%d", n, i, record.Value, record.Offset)
			}
		}
	}
	// To grow is no reason to take anything away.
	if got := m.assignment(at(topic, 0)).Epoch; got != kept {
		r.Errorf("a partition that stayed has epoch %d after %d", got, kept)
	}
}
