package transporttest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/eventbus-go/eventbus/transport"
)

// readTests check what a Reader returns, and that it affects no group.
var readTests = []test{
	{"Everything", testReadEverything},
	{"FromOffset", testReadFromOffset},
	{"Window", testReadWindow},
	{"Pause", testReadPause},
	{"AtEnd", testReadAtEnd},
	{"BeyondEnd", testReadBeyondEnd},
	{"Removed", testReadRemoved},
	{"SmallFetch", testReadSmallFetch},
	{"Missing", testReadMissing},
	{"Recreated", testReadRecreated},
	{"NoGroup", testReadNoGroup},
	{"PollContext", testReadPollContext},
	{"PollClosed", testReadPollClosed},
	{"Config", testReadConfig},
}

// testReadEverything: many records of several topics and partitions, each once and in
// order.
func testReadEverything(r *run) {
	const partitions, each = 3, 1000
	a, b := r.topic(partitions), r.topic(partitions)
	for _, topic := range []string{a, b} {
		for n := range int32(partitions) {
			r.fill(topic, n, each)
		}
	}
	config := from(a, partitions, 0)
	maps.Copy(config.From, from(b, partitions, 0).From)
	d := r.reader(config)
	for p := range config.From {
		// Waiting for one partition takes what comes of the others too, so that the order of this
		// loop makes no difference.
		for i, record := range d.await(p, each) {
			if record.Offset != int64(i) || string(record.Value) != fmt.Sprint(i) {
				r.Fatalf("%v: record %d is %s@%d", p, i, record.Value, record.Offset)
			}
		}
	}
}

// testReadFromOffset: reading begins at the offset asked for, or at the log's start if
// that is later.
func testReadFromOffset(r *run) {
	topic := r.topic(2)
	r.fill(topic, 0, 10)
	r.fill(topic, 1, 10)
	// −3 lies before every log. Kafka gives −1 and −2 a meaning of their own (the end, the
	// start), which must not show through.
	d := r.reader(transport.ReaderConfig{From: map[transport.Partition]int64{at(topic, 0): 7, at(topic, 1): -3}})
	if got := d.await(at(topic, 0), 3); got[0].Offset != 7 {
		r.Errorf("asked for offset 7, got %d first", got[0].Offset)
	}
	if got := d.await(at(topic, 1), 10); got[0].Offset != 0 {
		r.Errorf("asked for an offset before the log, got %d first", got[0].Offset)
	}
}

// testReadWindow: what lies at To and after it is not read, and when nothing is left
// to read Poll says so.
func testReadWindow(r *run) {
	topic := r.topic(3)
	for n := range int32(3) {
		r.fill(topic, n, 1000)
	}
	// A window inside the log that a fetch passes at both ends, one of a single record, and
	// an empty one.
	d := r.reader(transport.ReaderConfig{
		From: map[transport.Partition]int64{at(topic, 0): 10, at(topic, 1): 0, at(topic, 2): 7},
		To:   map[transport.Partition]int64{at(topic, 0): 990, at(topic, 1): 1, at(topic, 2): 7},
	})
	if err := d.refusal(); !errors.Is(err, io.EOF) {
		r.Fatalf("Poll at the end of all partitions: %v, want io.EOF", err)
	}
	// The last batch ends at To: a caller that counts by Next would else see more than asked.
	if got := d.records[at(topic, 0)]; len(got) != 980 || got[0].Offset != 10 || d.next[at(topic, 0)] != 990 {
		r.Errorf("asked for [10, 990), got %d records up to %d", len(got), d.next[at(topic, 0)])
	}
	if one, none := len(d.records[at(topic, 1)]), len(d.records[at(topic, 2)]); one != 1 || none != 0 {
		r.Errorf("asked for one record and for none, got %d and %d", one, none)
	}
	// The end is a state, and not an event that only one call is told of.
	if err := d.poll(r.Context()); !errors.Is(err, io.EOF) {
		r.Errorf("Poll once more: %v, want io.EOF", err)
	}
}

// testReadPause: nothing of a paused partition is returned, and nothing of it is
// missing afterwards.
func testReadPause(r *run) {
	topic := r.topic(2)
	r.fill(topic, 0, 100)
	r.fill(topic, 1, 100)
	config := from(topic, 2, 0)
	config.To = from(topic, 2, 100).From
	d := r.reader(config)
	// Partition 7 is not read, and is ignored. The pause comes before the first Poll, when a
	// fetch may be on its way.
	d.reader.Pause(at(topic, 0), at(topic, 7))
	d.await(at(topic, 1), 100)
	if n := len(d.records[at(topic, 0)]); n > 0 {
		r.Errorf("%d records of a partition that was paused before the first Poll", n)
	}
	d.reader.Resume(at(topic, 0))
	d.await(at(topic, 0), 100)
	// A paused partition that is not at its end keeps the reader from being at the end; now
	// both are.
	if err := d.refusal(); !errors.Is(err, io.EOF) {
		r.Errorf("Poll at the end: %v, want io.EOF", err)
	}
}

// testReadAtEnd: a reader at the end waits for new records, and returns nothing that was not
// asked for.
func testReadAtEnd(r *run) {
	topic := r.topic(2)
	r.fill(topic, 0, 5)
	r.fill(topic, 1, 5)
	// Partition 1 has records and is not asked for: a reader that fetches whole topics would
	// return them.
	d := r.reader(transport.ReaderConfig{From: map[transport.Partition]int64{at(topic, 0): 5}})
	polled := make(chan error, 1)
	go func() {
		ctx, cancel := r.patience()
		defer cancel()
		polled <- d.poll(ctx)
	}()
	r.fill(topic, 0, 3)
	if err := receive(r, "Poll", polled); err != nil {
		r.Fatalf("Poll: %v", err)
	}
	// The goroutine has ended, so d is this one's again: reading has no lock.
	if got := d.await(at(topic, 0), 3); got[0].Offset != 5 || len(d.records) != 1 {
		r.Errorf("got records of %d partitions, of the one asked for from offset %d, want 5", len(d.records), got[0].Offset)
	}
}

// testReadBeyondEnd: an offset that the log does not have yet is waited for.
func testReadBeyondEnd(r *run) {
	topic := r.topic(1)
	r.fill(topic, 0, 5)
	// Three offsets past the end. The broker calls that out of range, as it does an offset
	// that retention removed; the reader has to tell the two apart.
	d := r.reader(from(topic, 1, 8))
	polled := make(chan error, 1)
	go func() {
		ctx, cancel := r.patience()
		defer cancel()
		polled <- d.poll(ctx)
	}()
	r.fill(topic, 0, 5)
	if err := receive(r, "Poll", polled); err != nil {
		r.Fatalf("Poll: %v", err)
	}
	// Offsets 5 to 7 were written as well, and are not asked for.
	if got := d.await(at(topic, 0), 2); got[0].Offset != 8 {
		r.Errorf("asked for offset 8, got %d first", got[0].Offset)
	}
}

// testReadRemoved: reading begins at the log's start where retention removed what
// was asked for.
func testReadRemoved(r *run) {
	if r.suite.deleteRecords == nil {
		r.Skip("the suite was not told how records are deleted")
	}
	topic := r.topic(1)
	r.fill(topic, 0, 10)
	r.within("deleting records", func(ctx context.Context) error {
		return r.suite.deleteRecords(ctx, r.Transport, at(topic, 0), 5)
	})
	// The first batch may begin later than asked for: that is how a caller learns of the gap.
	if got := r.reader(from(topic, 1, 2)).await(at(topic, 0), 5); got[0].Offset != 5 {
		r.Errorf("the first record is at offset %d, want 5", got[0].Offset)
	}
}

// testReadSmallFetch: a record larger than the bound is still delivered.
func testReadSmallFetch(r *run) {
	topic := r.topic(2)
	p := r.producer(transport.ProducerConfig{})
	for n := range int32(2) {
		for range 5 {
			r.produce(p, transport.Record{Topic: topic, Partition: n, Value: make([]byte, 5000)})
		}
	}
	config := from(topic, 2, 0)
	// A fifth of a record: one above the bound still passes, or reading would stop here.
	config.FetchBytes = 1000
	d := r.reader(config)
	for n := range int32(2) {
		d.await(at(topic, n), 5)
	}
}

// testReadMissing: a partition that does not exist is an error of Poll, and not waited
// for: a reader has no group that could get it later.
func testReadMissing(r *run) {
	topic := r.topic(1)
	// A partition that a topic lacks, and a topic that the cluster lacks.
	for _, p := range []transport.Partition{at(topic, 1), at(r.name("none"), 0)} {
		d := r.reader(transport.ReaderConfig{From: map[transport.Partition]int64{p: 0}})
		if err := d.refusal(); !errors.Is(err, transport.ErrTopicMissing) {
			r.Errorf("%v, which does not exist: %v, want ErrTopicMissing", p, err)
		}
	}
}

// testReadRecreated: a reader does not go on in another topic of the same name.
func testReadRecreated(r *run) {
	if r.suite.deleteTopic == nil {
		r.Skip("the suite was not told how topics are deleted")
	}
	topic := r.topic(1)
	r.fill(topic, 0, 5)
	d := r.reader(from(topic, 1, 0))
	d.await(at(topic, 0), 5)
	r.within("deleting the topic", func(ctx context.Context) error {
		return r.suite.deleteTopic(ctx, r.Transport, topic)
	})
	if err := d.refusal(); !errors.Is(err, transport.ErrTopicMissing) {
		r.Errorf("reading a topic that was deleted: %v, want ErrTopicMissing", err)
	}
}

// testReadNoGroup: a reader beside a group takes nothing from it and moves nothing.
func testReadNoGroup(r *run) {
	topic, group := r.topic(1), r.name("group")
	r.fill(topic, 0, 10)
	m := r.member(subscription(group, topic, transport.Earliest()))
	m.awaitRecords(at(topic, 0), 10)
	// Not where the member is, so that a reader that commits for the group shows.
	m.commit(at(topic, 0), 4, "four")
	before := r.committed(group, topic)
	d := r.reader(from(topic, 1, 0))
	d.await(at(topic, 0), 10)
	d.close()
	if after := r.committed(group, topic); !maps.Equal(before, after) {
		r.Errorf("the group committed %v before a reader read, and %v after", before, after)
	}
	r.fill(topic, 0, 1)
	// The member still has its partition and has got each record once: there was no rebalance
	// that would have sent it back to the commit.
	if got := m.awaitRecords(at(topic, 0), 11); len(got) != 11 || !slices.Equal(m.owned(), []transport.Partition{at(topic, 0)}) {
		r.Errorf("the member has %d records and %v, want 11 and its partition", len(got), m.owned())
	}
}

// testReadPollContext: Poll ends with its context, and the next one goes on.
func testReadPollContext(r *run) {
	topic := r.topic(1)
	d := r.reader(from(topic, 1, 0))
	ctx, cancel := context.WithCancel(r.Context())
	polled := make(chan error, 1)
	go func() { polled <- d.poll(ctx) }()
	cancel()
	if err := receive(r, "Poll", polled); !errors.Is(err, context.Canceled) {
		r.Errorf("Poll: %v, want the context's error", err)
	}
	r.fill(topic, 0, 1)
	d.await(at(topic, 0), 1)
}

// testReadPollClosed: Close ends a Poll that waits, and every later one.
func testReadPollClosed(r *run) {
	topic := r.topic(1)
	d := r.reader(from(topic, 1, 0))
	polled := make(chan error, 1)
	// No context that ends: nothing but Close can end this Poll.
	go func() { polled <- d.poll(context.Background()) }()
	d.close()
	if err := receive(r, "Poll", polled); !errors.Is(err, transport.ErrClosed) {
		r.Errorf("Poll while Close was called: %v, want ErrClosed", err)
	}
	if err := d.poll(r.Context()); !errors.Is(err, transport.ErrClosed) {
		r.Errorf("Poll after Close: %v, want ErrClosed", err)
	}
}

// testReadConfig: a reader of no partition, or with a negative bound, is refused when it is
// made: it would wait without end, and nobody would hear why.
func testReadConfig(r *run) {
	if _, err := r.NewReader(transport.ReaderConfig{}); err == nil {
		r.Error("a reader of nothing was made")
	}
	config := from("topic", 1, 0)
	config.FetchBytes = -1
	if _, err := r.NewReader(config); err == nil {
		r.Error("a reader with negative FetchBytes was made")
	}
}
