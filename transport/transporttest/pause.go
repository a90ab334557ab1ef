package transporttest

import (
	"context"
	"fmt"

	"github.com/eventbus-go/eventbus/transport"
)

// pauseTests hold a Consumer to Pause and Resume, by which the engine bounds memory.
var pauseTests = []test{
	{"Pause", testPause},
	{"KeepsFetched", testPauseKeepsFetched},
	{"NotAssigned", testPauseNotAssigned},
}

// testPause: nothing of a paused partition comes while others go on, and everything
// when it is resumed.
func testPause(r *run) {
	topic := r.topic(2)
	paused, other := at(topic, 0), at(topic, 1)
	m := r.member(subscription(r.name("group"), topic, transport.Earliest()))
	r.fill(topic, 0, 10)
	m.awaitRecords(paused, 10)

	m.consumer.Pause(paused)
	r.fill(topic, 0, 10)
	// Twice, so that at least one fetch began after the paused partition had more.
	for n := range 2 {
		r.fill(topic, 1, 10)
		m.awaitRecords(other, 10*(n+1))
	}
	if got := m.awaitRecords(paused, 10); len(got) != 10 {
		r.Errorf("a paused partition went on: %d records", len(got))
	}
	for _, p := range m.consumer.Status().Partitions {
		if p.Paused != (p.Partition == paused) {
			r.Errorf("status of %v: paused is %v", p.Partition, p.Paused)
		}
	}

	m.consumer.Resume(paused)
	for i, record := range m.awaitRecords(paused, 20) {
		if record.Offset != int64(i) {
			r.Fatalf("record %d is at offset %d", i, record.Offset)
		}
	}
}

// testPauseKeepsFetched: what may have been fetched already is neither returned nor
// lost.
func testPauseKeepsFetched(r *run) {
	topic := r.topic(2)
	paused, other := at(topic, 0), at(topic, 1)
	r.fill(topic, 0, 50)
	m := r.member(subscription(r.name("group"), topic, transport.Earliest()), idle)
	m.awaitOwned(2)
	m.consumer.Pause(paused)
	r.fill(topic, 1, 10)
	r.within("Poll of the other partition", func(ctx context.Context) error {
		for got := 0; got < 10; got = len(m.awaitRecords(other, 0)) {
			partitions, err := m.pollOnce(ctx)
			if err != nil {
				return err
			}
			if len(partitions) != 1 || partitions[0] != other {
				return fmt.Errorf("Poll returned batches of %v", partitions)
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
	m.consumer.Pause(at(topic, 9), at(r.name("missing"), 0))
	m.consumer.Resume(at(topic, 9))
	r.fill(topic, 0, 1)
	m.awaitRecords(at(topic, 0), 1)
}
