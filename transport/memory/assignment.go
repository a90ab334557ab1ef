package memory

import (
	"errors"
	"fmt"
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

// Reasons for a moved position, as passed to Listener.Skipped.
var (
	errRemoved   = errors.New("retention removed the records from the log")
	errBeyond    = errors.New("the offset lies beyond the end of the log")
	errRecreated = errors.New("the topic was created again")
)

// assignment is one period of a consumer's ownership of one partition. The cluster's mutex guards
// it.
//
// Its five flags are set in order and never cleared: announced when Assigned is called, ready when
// that has returned, revoking when the group wants the partition back, warned when Revoked is
// called, and gone when that has returned. gone may be set at any time, even while the Listener is
// being called, if the partition is lost.
//
// next advances when a batch is returned, not when its records are handled or committed.
// fetchedAt is zero until the first fetch request was answered.
type assignment struct {
	transport.Assignment
	consumer *consumer
	log      *log
	next     int64 // the offset that the next batch starts at

	announced, ready, revoking, warned, gone bool

	paused    bool
	skips     int // calls of Skipped that have not returned
	fetchedAt time.Time
}

// fetching reports whether fetch requests for the partition are being answered.
func (a *assignment) fetching() bool {
	return a.ready && !a.revoking && !a.gone && !a.paused && a.skips == 0 && a.log.holds == 0 && a.consumer.cluster.cutAt.IsZero()
}

// noteFetch records the time of the last answered fetch request. Call it before anything that
// stops fetching; while fetching goes on, that time is now.
func (a *assignment) noteFetch() {
	// A broker answers a position beyond the end with an error, so that is not a fetch.
	if a.fetching() && a.next <= a.log.end {
		a.fetchedAt = time.Now()
	}
}

// wake implements follower.
func (a *assignment) wake() { a.consumer.wakePoll() }

// fetch returns the next batch and its size, nil if there is none now.
func (a *assignment) fetch(limit int) (*transport.Batch, int) {
	if !a.fetching() || a.next >= a.log.end {
		return nil, 0
	}
	// limit is in bytes. The batch has at least one record, or a record larger than the limit
	// would stall the partition.
	b, size := a.log.batch(a.next, limit)
	// By the epoch the caller recognizes, and drops, a batch polled before the partition was
	// revoked and assigned again.
	b.Epoch = a.Epoch
	a.next = b.Next
	return b, size
}

// reposition moves a position that is out of the log's range, and reports that to the Listener. A
// broker answers OFFSET_OUT_OF_RANGE in both cases. Before the start there is no choice: the
// records are gone. Beyond the end the topic's policy decides; with StayOutOfRange the position
// stays, and status reports it.
func (a *assignment) reposition() {
	switch {
	case a.next < a.log.start:
		a.skip(a.next, a.log.start, errRemoved)
	case a.next > a.log.end:
		switch a.consumer.topics[a.Topic].OutOfRange {
		case transport.ToEarliest:
			a.skip(a.next, a.log.start, errBeyond)
		case transport.ToLatest:
			a.skip(a.next, a.log.end, errBeyond)
		}
	}
}

// skip moves the position. Nothing is fetched until Skipped has returned; otherwise records behind
// the gap could be handled and committed before the Listener knows about the gap. The mutex is held
// here, but not during the call.
func (a *assignment) skip(from, to int64, reason error) {
	a.noteFetch()
	a.next = to
	a.skips++
	m := a.consumer
	m.enqueue(func() {
		m.cluster.mu.Lock()
		// A Listener is called for a partition only between Assigned and Revoked or Lost.
		told := a.announced && !a.gone
		m.cluster.mu.Unlock()
		if told {
			m.config.Listener.Skipped(a.Partition, from, to, reason)
		}
		m.cluster.mu.Lock()
		// Even if the Listener was not called, or fetching would never resume.
		a.skips--
		m.wakePoll()
		m.cluster.mu.Unlock()
	})
}

// status returns a snapshot. The end of the log is both LastStable and HighWatermark: there are no
// transactions here, and no replicas that could lag.
func (a *assignment) status() transport.PartitionStatus {
	a.noteFetch()
	s := transport.PartitionStatus{
		Partition:     a.Partition,
		Next:          a.next,
		LastStable:    a.log.end,
		HighWatermark: a.log.end,
		LastFetch:     a.fetchedAt,
		Paused:        a.paused,
	}
	if a.next > a.log.end {
		s.Err = fmt.Errorf("%w: %d is past %d", errBeyond, a.next, a.log.end)
	}
	return s
}
