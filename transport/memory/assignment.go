package memory

import (
	"errors"
	"fmt"
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

// Why a position moved, as Listener.Skipped hears it.
var (
	errRemoved   = errors.New("retention removed the records from the log")
	errBeyond    = errors.New("the offset lies beyond the end of the log")
	errRecreated = errors.New("the topic was created again")
)

// assignment is one stretch of a consumer's ownership of one partition. It is guarded
// by the cluster's mutex.
//
// Its life: given by the group; announced, when Assigned is called; ready, when that
// has returned; revoking, when the group wants it back, and warned, when Revoked is
// called; gone, when that has returned, or at any time when it is lost.
// The five flags of its life are never taken back. gone may come at any time, also while
// the Listener is being called.
// next moves when a batch is handed out, not when its records are handled or
// committed; fetchedAt is zero until the first fetch request was answered.
type assignment struct {
	transport.Assignment
	consumer *consumer
	log      *log
	next     int64 // the offset that the next batch starts at

	announced, ready, revoking, warned, gone bool

	paused    bool
	skips     int // calls of Skipped that have not returned yet
	fetchedAt time.Time
}

// fetching reports whether fetch requests for the partition are being answered.
func (a *assignment) fetching() bool {
	return a.ready && !a.revoking && !a.gone && !a.paused && a.skips == 0 && a.log.holds == 0 && a.consumer.cluster.cutAt.IsZero()
}

// noteFetch keeps the time of the last answered fetch request: it is called before
// anything that stops them, and while they go on the time is now.
func (a *assignment) noteFetch() {
	// A broker answers a position beyond the end with an error, which is no fetch.
	if a.fetching() && a.next <= a.log.end {
		a.fetchedAt = time.Now()
	}
}

// wake implements follower.
func (a *assignment) wake() { a.consumer.wakePoll() }

// fetch is the next batch and its size, nil if there is none now.
func (a *assignment) fetch(limit int) (*transport.Batch, int) {
	if !a.fetching() || a.next >= a.log.end {
		return nil, 0
	}
	// The limit is of bytes. The batch has at least one record all the same, or a
	// record larger than the limit would stop the partition.
	b, size := a.log.batch(a.next, limit)
	// By the epoch the receiver knows a batch that it polled before the partition was
	// revoked, and came again since, and drops it.
	b.Epoch = a.Epoch
	a.next = b.Next
	return b, size
}

// reposition moves a position that is out of the log's range, and lets the Listener
// hear of it.
// A broker answers OFFSET_OUT_OF_RANGE in both cases. Before the start there is no
// choice: the records are gone. Beyond the end the topic's policy decides, and with
// StayOutOfRange the position is left where it is and status tells of it.
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

// skip moves the position. Nothing is fetched until Skipped has returned.
// Otherwise records from behind the gap could be handled and committed before the
// Listener knows of the gap. The mutex is held here, but not during the call.
func (a *assignment) skip(from, to int64, reason error) {
	a.noteFetch()
	a.next = to
	a.skips++
	m := a.consumer
	m.enqueue(func() {
		m.cluster.mu.Lock()
		// A Listener hears of a partition only between Assigned and Revoked or Lost.
		told := a.announced && !a.gone
		m.cluster.mu.Unlock()
		if told {
			m.config.Listener.Skipped(a.Partition, from, to, reason)
		}
		m.cluster.mu.Lock()
		// Also when nobody was told: the count would stop the fetches indefinitely.
		a.skips--
		m.wakePoll()
		m.cluster.mu.Unlock()
	})
}

// status is a snapshot.
// The end of the log is both LastStable and HighWatermark: there are no transactions
// here, and no replicas that could lag.
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
