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
	b, size := a.log.batch(a.next, limit)
	b.Epoch = a.Epoch
	a.next = b.Next
	return b, size
}

// reposition moves a position that is out of the log's range, and lets the Listener
// hear of it.
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
func (a *assignment) skip(from, to int64, reason error) {
	a.noteFetch()
	a.next = to
	a.skips++
	m := a.consumer
	m.enqueue(func() {
		m.cluster.mu.Lock()
		told := a.announced && !a.gone
		m.cluster.mu.Unlock()
		if told {
			m.config.Listener.Skipped(a.Partition, from, to, reason)
		}
		m.cluster.mu.Lock()
		a.skips--
		m.wakePoll()
		m.cluster.mu.Unlock()
	})
}

// status is a snapshot.
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
