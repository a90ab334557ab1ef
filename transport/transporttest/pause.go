package transporttest

import (
	"context"
	"fmt"

	"github.com/eventbus-go/eventbus/transport"
)

// pauseTests check Pause and Resume, with which the engine bounds memory.
var pauseTests = []test{
	{"Pause", testPause},
	{"KeepsFetched", testPauseKeepsFetched},
	{"NotAssigned", testPauseNotAssigned},
}

// testPause: a paused partition delivers nothing while others go on, and everything once it
// is resumed.
func testPause(r *run) {
	topic := r.topic(2)
	paused, other := at(topic, 0), at(topic, 1)
	m := r.member(subscription(r.name("group"), topic, transport.Earliest()))
	r.fill(topic, 0, 10)
	// The partition has flowed, so the next fetch of it is on its way when Pause is called:
	// that is the harder case.
	m.awaitRecords(paused, 10)

	m.consumer.Pause(paused)
	r.fill(topic, 0, 10)
	// Twice, so that at least one fetch began after the paused partition had more.
	for n := range 2 {
		r.fill(topic, 1, 10)
		m.awaitRecords(other, 10*(n+1))
	}
	// Ten are there already, so this waits for nothing and shows what has come.
	if got := m.awaitRecords(paused, 10); len(got) != 10 {
		r.Errorf("a paused partition went on: %d records", len(got))
	}
	for _, p := range m.consumer.Status().Partitions {
		// Health tells a partition that is held back on purpose from one that is stuck.
		if p.Paused != (p.Partition == paused) {
			r.Errorf("status of %v: paused is %v", p.Partition, p.Paused)
		}
	}

	m.consumer.Resume(paused)
	// Ten from before and ten from during the pause. Dropping what was fetched and forgetting
	// to fetch it again shows as a gap, which take reports too.
	for i, record := range m.awaitRecords(paused, 20) {
		if record.Offset != int64(i) {
			r.Fatalf("record %d is at offset %d", i, record.Offset)
		}
	}
}

// testPauseKeepsFetched: records that may have been fetched already are neither returned nor
// lost.
func testPauseKeepsFetched(r *run) {
	topic := r.topic(2)
	paused, other := at(topic, 0), at(topic, 1)
	r.fill(topic, 0, 50)
	m := r.member(subscription(r.name("group"), topic, transport.Earliest()), idle)
	// Fifty records of the partition may be in the consumer's buffer by now: nobody polls.
	m.awaitOwned(2)
	m.consumer.Pause(paused)
	r.fill(topic, 1, 10)
	r.within("Poll of the other partition", func(ctx context.Context) error {
		// Waiting for 0 records returns what has come so far.
		for got := 0; got < 10; got = len(m.awaitRecords(other, 0)) {
			partitions, err := m.pollOnce(ctx)
			if err != nil {
				return err
			}
			// A Poll that returns without any batch is wrong as well: it is to wait for one.
			if len(partitions) != 1 || partitions[0] != other {
				return fmt.Errorf("a poll returned batches of %v", partitions)
			}
		}
		return nil
	})
	m.consumer.Resume(paused)
	r.within("Poll of the resumed partition", func(ctx context.Context) error {
		for len(m.awaitRecords(paused, 0)) < 50 {
			if _, err := m.pollOnce(ctx); err != nil {
				return err
			}
		}
		return nil
	})
}

// testPauseNotAssigned: partitions that are not the member's are ignored. They may have
// been taken away a moment before.
func testPauseNotAssigned(r *run) {
	topic := r.topic(1)
	m := r.member(subscription(r.name("group"), topic, transport.Earliest()))
	// Nothing may be assigned yet, and these never are.
	m.consumer.Pause(at(topic, 9), at(r.name("missing"), 0))
	// Resume of what was never paused is not an error either.
	m.consumer.Resume(at(topic, 9))
	r.fill(topic, 0, 1)
	// The partition that is the member's flows: the others' names have stopped nothing.
	m.awaitRecords(at(topic, 0), 1)
}
