package fetch

import (
	"errors"
	"math"
	"time"

	"github.com/eventbus-go/eventbus/kafka/internal/batch"
	"github.com/eventbus-go/eventbus/kafka/internal/cluster"
	"github.com/eventbus-go/eventbus/kafka/internal/kerr"
	"github.com/eventbus-go/eventbus/transport"
)

// partition is an assigned partition, with its position in the log. It lives as long as the
// assignment. Fetcher.mu guards it.
type partition struct {
	transport.Partition
	// epoch distinguishes assignments of the partition, for commits and for Announce. topicID is
	// the topic's ID when the partition was assigned, or when the ID was first seen; it is zero
	// with old brokers.
	epoch   uint64
	topicID transport.TopicID

	// Poll continues at next, and fetching at ahead. The queue holds what is between them.
	next, ahead int64
	// end is where a reader stops; math.MaxInt64 in a consumer.
	end int64
	// queue holds the fetched data, in order of offsets. Poll takes from its head.
	queue []*fetched
	// lastEpoch is the leader epoch of the record before ahead, or −1 if unknown. When a leader
	// with a later epoch takes over, it is asked whether its log still has that record.
	lastEpoch int32

	// leader is the node id of the partition's leader, or −1 if it has to be looked up.
	// leaderEpoch goes with it into requests, so that a deposed leader refuses them.
	leader, leaderEpoch int32
	replica             int32 // to fetch from instead of the leader (KIP-392); −1 if none
	// A recommended replica is used for cluster.MetadataAge, as long as metadata is, or until it
	// has brought nothing for replicaIdle.
	replicaUntil, replicaBrought time.Time
	leaderUntil                  time.Time     // ask for no replica until then
	replicaLeft                  int           // number of times in a row that a replica was left
	request                      *fetchRequest // in flight; nil if none
	maxBytes                     int32         // that one fetch may return; raised when a larger batch was cut off
	bytes                        int32         // the same without regard to large batches: see nextBytes
	trip                         time.Duration // time of the quickest recent answer: see nextBytes

	announced bool // Assigned has returned
	revoked   bool // Revoked or Lost is being called: nothing more is returned
	// A paused partition keeps its queue, unless others need the memory, and is not fetched.
	paused bool
	// recheck requests a lookup of the leader although one is known, since the request takes
	// long. rechecked is when that was last done.
	recheck   bool
	rechecked time.Time
	// place says whether the position is in the leader's log: truncated if the log may end
	// before it, outOfRange if the leader has said that it isn't there. Nothing is fetched until
	// the position has been checked.
	place    place
	checking bool  // a goroutine is checking it
	stuck    error // why the partition is no longer fetched; nil if it is

	notBefore time.Time // earliest next try after a failure
	failures  int       // in a row, of this partition
	cutOff    int       // number of fetches in a row that cut off a batch that should have fit
	missing   int       // number of answers in a row that it does not exist
	err       error     // last failure, which Status shows; nil once a fetch has succeeded
	// damage describes records at next that can't be read; nil if there are none. It stays until
	// the position has passed it, even if fetches of the log succeed meanwhile.
	damage *damage

	// lastStable and highWatermark are the ends of the log as a broker last reported them, −1 at
	// first. lastFetch is the time of the last successful fetch. lastAsked is when askEnds last
	// asked for the ends.
	lastStable, highWatermark int64
	lastFetch, lastAsked      time.Time
}

// place says where a position is relative to the leader's log.
type place int8

const (
	inLog place = iota
	truncated
	outOfRange
)

// newFetchPartition returns a partition whose leader is not known yet.
func newFetchPartition(a *transport.Assignment, maxBytes int32) *partition {
	return &partition{
		Partition: a.Partition, epoch: a.Epoch, topicID: a.TopicID,
		next: a.Offset, ahead: a.Offset, end: math.MaxInt64, lastEpoch: a.LeaderEpoch,
		leader: -1, leaderEpoch: -1, replica: -1, maxBytes: maxBytes,
		lastStable: -1, highWatermark: -1,
	}
}

// queueLength bounds the queued pieces of one partition. More than one lets fetching go on while
// the caller works.
const queueLength = 8

// fetchable reports whether the partition should be fetched, once its leader is known. Queued
// data counts by its compressed size, which bounds how far fetching goes ahead.
func (p *partition) fetchable() bool {
	if p.revoked || p.paused || p.ahead >= p.end || p.checking || p.stuck != nil || p.request != nil || len(p.queue) >= queueLength {
		return false
	}
	// Records behind unreadable ones would be fetched over and over.
	if p.damage != nil && len(p.queue) > 0 {
		return false // Poll will probably find the damage again, and drop the rest
	}
	queued := 0
	for _, piece := range p.queue {
		queued += piece.left
	}
	return queued <= int(p.maxBytes)
}

// pollable reports whether Poll may return records of the partition.
func (p *partition) pollable() bool {
	return len(p.queue) > 0 && p.announced && !p.revoked && !p.paused
}

// replicaIdle is how long a replica may bring nothing before the leader is asked whether it still
// recommends it: a replica that no longer follows its leader answers, and has nothing new.
const replicaIdle = 10 * time.Second

// source returns the broker to fetch from: the replica that the leader recommended, until that
// recommendation expires, or the leader.
func (p *partition) source(now time.Time) int32 {
	// Then ask the leader, whose answer may recommend one again (KIP-392).
	if p.replica >= 0 && (now.After(p.replicaUntil) || now.Sub(p.replicaBrought) >= replicaIdle) {
		p.replica = -1
	}
	if p.replica >= 0 {
		return p.replica
	}
	return p.leader
}

// leaveReplica goes back from a replica to the leader. A leader keeps recommending a frozen
// replica as long as it counts as in sync, so the leader is not told the rack until leaderUntil,
// each time in a row for longer.
func (p *partition) leaveReplica(now time.Time) {
	p.replica = -1
	p.leaderUntil = now.Add(10 * time.Second << min(p.replicaLeft, 5))
	p.replicaLeft++
}

// silent reports whether the partition's request waits too long for a replica's answer while the
// partition has a leader. A replica is not waited for as a leader is.
func (p *partition) silent(now time.Time) bool {
	r := p.request
	return r != nil && p.leader >= 0 && r.source != p.leader && now.Sub(r.sent) >= SilentAfter
}

// recheckDue returns when to look up next whether the broker that the partition's request waits
// for still leads it. It is soon if the previous request got no answer. Leaders move one by one,
// so a request may have gone to the silent broker again for the partitions that it still led
// then.
func (p *partition) recheckDue() time.Time {
	patience := SilentAfter
	if p.request.sent.Sub(p.rechecked) < SilentAfter {
		patience = fetchWait + cluster.LookAgainAfter
	}
	due := p.request.sent.Add(patience)
	if again := p.rechecked.Add(cluster.LookAgainAfter); again.After(due) {
		return again
	}
	return due
}

// fail puts off the next try, for longer after each failure. The leader is looked up at a steady
// pace instead, since it may move at any time.
func (p *partition) fail(err error, now time.Time) {
	p.err = err
	wait := cluster.Backoff(p.failures)
	if code, ok := errors.AsType[kerr.Error](err); ok && kerr.LeaderMoved(code) || kerr.LostConnection(err) {
		// Not Backoff: the wait would grow to a second, while an election ends at any moment.
		wait = min(wait, cluster.LookAgainAfter)
	}
	p.notBefore = now.Add(wait)
	p.failures++
}

// succeed ends a failure, but not damage, which is still in the log.
func (p *partition) succeed() {
	p.err, p.failures = nil, 0
	if p.damage != nil {
		p.err = p.damage.fault
	}
}

// moveTo drops the fetched data and continues at an offset. Data from a request in flight is
// dropped too. f.mu is held.
func (f *Fetcher) moveTo(p *partition, offset int64) {
	for _, piece := range p.queue {
		f.drop(piece)
	}
	p.queue = nil
	p.next, p.ahead = offset, offset
	p.request = nil
}

// fetched is one partition's part of a fetch response, or the rest of it.
type fetched struct {
	reader   batch.Reader // used by Poll only while reading is set
	reading  bool
	left     int // number of bytes that reader has not read
	retained int // bytes of memory that reader keeps between reads
	memory   *fetchMemory
	// unreturned holds decoded records that were not returned, since the partition was paused
	// meanwhile.
	unreturned                *batch.Decoded
	lastStable, highWatermark int64
}

// fetchMemory is the memory of a fetch response. Its size counts against the limit until all its
// pieces are polled or dropped.
type fetchMemory struct {
	buffer *batch.Buffer
	pieces int
}

// drop releases a piece. The memory of batches that Poll returned stays until they are released.
// f.mu is held.
func (f *Fetcher) drop(piece *fetched) {
	if piece.unreturned != nil {
		piece.unreturned.Release()
		piece.unreturned = nil
	}
	if !piece.reading {
		piece.reader.Close()
	}
	m := piece.memory
	if m.pieces--; m.pieces == 0 {
		f.held -= cap(m.buffer.Bytes)
	}
	m.buffer.Release()
}

// distance is the response time from which on a broker counts as far away.
const distance = 12 * time.Millisecond

// nextBytes returns how many bytes the next fetch of a partition may return, given that the
// previous one took the time took. A partition has one fetch in flight at a time, so over a slow
// network the size of a fetch decides how fast the partition is read. The size doubles, up to
// all that a request may return, as long as the log has more and Poll has used up the data. The
// quickest recent answer shows how far away the broker is: a busy broker is also slow at times,
// and larger pieces would then only cost memory.
func (f *Fetcher) nextBytes(p *partition, more bool, took time.Duration) int32 {
	usual := f.partitionBytes()
	if p.trip == 0 || took < p.trip {
		p.trip = took
	} else {
		p.trip += (took - p.trip) / 64
	}
	switch {
	case p.trip < distance:
		p.bytes = usual
	case more && len(p.queue) == 0:
		p.bytes = 2 * max(p.bytes, usual)
	}
	p.bytes = min(max(p.bytes, usual), int32(f.share()))
	return p.bytes
}
