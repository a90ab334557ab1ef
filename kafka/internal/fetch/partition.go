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

// partition is a partition for the time that it is assigned, with its position in
// the log. It is guarded by Fetcher.mu.
type partition struct {
	transport.Partition
	// epoch tells apart two assignments of the partition, for commits and for Announce.
	// topicID is the topic's when it was assigned, or first seen; zero from old brokers.
	epoch   uint64 // of the assignment
	topicID transport.TopicID

	// next is where Poll goes on, ahead where fetching does. Between them lies
	// the queue.
	next, ahead int64
	// end is where a reader stops; math.MaxInt64 in a consumer.
	end int64 // of what a reader reads
	// queue has what was fetched, in order of offsets. Poll takes from its head.
	queue []*fetched
	// lastEpoch is the leader epoch of what lies before ahead, −1 if unknown.
	// When a leader of a later epoch takes over, it reports whether its log has
	// that.
	lastEpoch int32

	// leader is the node id of the partition's leader, −1 if it is to be found out.
	// leaderEpoch goes with it into requests, so that a deposed leader refuses them.
	leader, leaderEpoch int32
	replica             int32 // to fetch from instead of the leader (KIP-392), −1: none
	// A recommendation is good for cluster.MetadataAge, as long as metadata is.
	replicaUntil time.Time
	leaderUntil  time.Time     // no replica until then
	replicaLeft  int           // how many times in a row a replica was left
	request      *fetchRequest // that is in flight, nil if none
	maxBytes     int32         // that one fetch may bring; more once a larger batch was cut off
	bytes        int32         // the same without regard to large batches: see nextBytes
	trip         time.Duration // of the quickest of the last answers: see nextBytes

	announced bool // Assigned has returned
	revoked   bool // Revoked or Lost is being called: nothing more is returned
	// paused keeps what is queued, unless others need the memory, and fetches no more.
	paused bool
	// recheck asks who leads the partition though a leader is known: the request
	// takes long. rechecked is when that was asked for last.
	recheck   bool
	rechecked time.Time
	// place says whether the position is in the leader's log: truncated if
	// the log may end before it, outOfRange if the leader says that it is not
	// there. Nothing is fetched until the position has been checked.
	place    place
	checking bool  // a goroutine does so
	stuck    error // why the partition is not fetched any more, nil if it is

	notBefore time.Time // earliest next try after a failure
	failures  int       // in a row, of this partition
	cutOff    int       // in a row: fetches that cut off a batch which was to fit
	missing   int       // how many times in a row the cluster said that it is not there
	err       error     // the last failure, nil once a fetch has succeeded: Status shows it
	// damage is what can't be read at next, nil if nothing was found. It stays until
	// the position has passed it: that the log is fetched again is no news.
	damage *damage

	// lastStable and highWatermark are the ends of the log as a broker said last, −1 at
	// first. lastFetch is when a fetch succeeded; lastAsked when the ends were asked for
	// because none had for long.
	lastStable, highWatermark int64
	lastFetch, lastAsked      time.Time
}

// place says where a position may lie, beside in the leader's log.
type place int8

const (
	inLog place = iota
	truncated
	outOfRange
)

// newFetchPartition returns a partition whose leader has yet to be found out.
func newFetchPartition(a *transport.Assignment, maxBytes int32) *partition {
	return &partition{
		Partition: a.Partition, epoch: a.Epoch, topicID: a.TopicID,
		next: a.Offset, ahead: a.Offset, end: math.MaxInt64, lastEpoch: a.LeaderEpoch,
		leader: -1, leaderEpoch: -1, replica: -1, maxBytes: maxBytes,
		lastStable: -1, highWatermark: -1,
	}
}

// queueLength bounds the fetched pieces that wait of one partition. More than
// one lets fetching go on while the caller works.
const queueLength = 8

// fetchable reports whether the partition is to be fetched, once it is known where. What is
// queued counts as it came, compressed: it is the bound of what is fetched ahead.
func (p *partition) fetchable() bool {
	if p.revoked || p.paused || p.ahead >= p.end || p.checking || p.stuck != nil || p.request != nil || len(p.queue) >= queueLength {
		return false
	}
	// What lies behind records that can't be read would be fetched again and again.
	if p.damage != nil && len(p.queue) > 0 {
		return false // Poll is likely to find it again, and to drop what comes behind
	}
	queued := 0
	for _, piece := range p.queue {
		queued += piece.left
	}
	return queued <= int(p.maxBytes)
}

// pollable reports whether Poll may return something of the partition.
func (p *partition) pollable() bool {
	return len(p.queue) > 0 && p.announced && !p.revoked && !p.paused
}

// source returns the broker to fetch from: the replica that the leader recommended, for as
// long as such advice is good, or the leader.
func (p *partition) source(now time.Time) int32 {
	// Then the leader is asked, whose answer may recommend one again (KIP-392).
	if p.replica >= 0 && now.After(p.replicaUntil) {
		p.replica = -1
	}
	if p.replica >= 0 {
		return p.replica
	}
	return p.leader
}

// leaveReplica goes back from a replica near by to the leader, which knows better. The leader
// goes on recommending a replica that is frozen for as long as it counts as in sync, so
// each time in a row the partition stays with the leader for longer.
func (p *partition) leaveReplica(now time.Time) {
	p.replica = -1
	p.leaderUntil = now.Add(10 * time.Second << min(p.replicaLeft, 5))
	p.replicaLeft++
}

// silent reports whether a replica near by owes an answer for too long, though its
// partition has a leader: it is not waited for then as a leader is.
func (p *partition) silent(now time.Time) bool {
	r := p.request
	return r != nil && p.leader >= 0 && r.source != p.leader && now.Sub(r.sent) >= SilentAfter
}

// recheckDue is when to find out, the next time, whether the broker that the
// partition's request waits for still leads it: soon, if the request before was
// waited for without an answer. Leaders move one by one, so a request may go to the silent
// broker once more, because of the partitions that it still led then.
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

// fail puts the next try off, the longer the more often it has failed. Who leads
// a partition is asked for at a steady pace: it moves when the cluster says so.
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

// succeed ends a failure. What was damaged in the log still is.
func (p *partition) succeed() {
	p.err, p.failures = nil, 0
	if p.damage != nil {
		p.err = p.damage.fault
	}
}

// moveTo drops what was fetched and goes on at an offset. What a request in
// flight brings is dropped too.
func (f *Fetcher) moveTo(p *partition, offset int64) {
	for _, piece := range p.queue {
		f.drop(piece)
	}
	p.queue = nil
	p.next, p.ahead = offset, offset
	p.request = nil
}

// fetched is one partition's share of a fetch response, or what is left of it.
type fetched struct {
	reader   batch.Reader // Poll's alone while reading is set
	reading  bool
	left     int // bytes that reader has not read
	retained int // bytes of memory that reader retained to go on
	memory   *fetchMemory
	// unreturned is what was decoded and then not returned, since the partition
	// was paused meanwhile.
	unreturned                *batch.Decoded
	lastStable, highWatermark int64
}

// fetchMemory is a fetch response in memory. Its size counts against the bound
// until all its pieces are polled or dropped.
type fetchMemory struct {
	buffer *batch.Buffer
	pieces int
}

// drop gives a piece up. The memory of batches that Poll returned stays until
// they are released.
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

// distance is how long a fetch takes at least that is answered from afar.
const distance = 12 * time.Millisecond

// nextBytes is what the next fetch may bring of a partition, of which one has just been
// answered, within took. One fetch of a partition is under way at a time, so what it
// brings over a slow network decides how fast the partition is read: it doubles, up to
// all that a request may bring, for as long as there is more in the log and Poll has
// used up what came before. The quickest of the last answers says how far the broker is:
// one that is busy takes as long now and then, and larger pieces would only cost memory.
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
