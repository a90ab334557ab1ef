package fetch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/kafka/internal/kerr"
	"github.com/eventbus-go/eventbus/transport"
)

// Reasons for which a position moves. Listener.Skipped gets them.
var (
	errRemoved   = errors.New("retention removed the records from the log")
	errBeyond    = errors.New("the offset lies beyond the end of the log")
	ErrTruncated = errors.New("the log was truncated: its new leader does not have the records")
	ErrRecreated = errors.New("the topic was created again")
)

// untilWritten is a reader's policy: wait until the offset is written.
const untilWritten transport.OutOfRange = -1

// checkPositions starts a check of the positions of partitions with the same leader. f.mu is
// held.
func (f *Fetcher) checkPositions(leader int32, partitions []*partition) {
	var cut, out []*partition
	for _, p := range partitions {
		p.checking = true
		if p.place == truncated {
			cut = append(cut, p)
		} else {
			out = append(out, p)
		}
	}
	// Check in the background, since it waits for brokers. Meanwhile checking keeps the
	// partitions from being fetched.
	f.work.Go(func() {
		if len(cut) > 0 {
			f.checkTruncated(leader, cut)
		}
		if len(out) > 0 {
			f.checkOutOfRange(leader, out)
		}
		f.mu.Lock()
		for _, p := range partitions {
			p.checking = false
		}
		f.mu.Unlock()
		Signal(f.wake)
	})
}

// checkTruncated asks a new leader whether its log has everything before the positions of
// partitions. It compares each position with the end of its last epoch in the leader's log
// (KIP-320).
func (f *Fetcher) checkTruncated(leader int32, partitions []*partition) {
	// The answers come while mu is not held, so check each partition again under it: it may have
	// been revoked, or moved, meanwhile.
	ends, failed := f.epochEnds(leader, partitions)
	logs, unbounded := f.boundedEnds(partitions)
	for _, p := range partitions {
		f.mu.Lock()
		// After an error, look up the leader again and check with it later.
		end := ends[p.Partition]
		err := cmp.Or(failed[p.Partition], unbounded[p.Partition])
		move := false
		switch {
		case !f.current(p):
		case err != nil:
			f.client.Invalidate(p.Topic)
			p.leader = -1
			p.fail(err, time.Now())
		case f.cutShort(p, logs):
		case end < 0 || end >= p.ahead: // nothing is missing, or nobody knows
			p.place = inLog
		default:
			// None of the fetched data may be returned any more.
			f.moveTo(p, p.next)
			p.place = inLog
			move = end < p.next
		}
		from := p.next
		f.mu.Unlock()
		if move {
			f.skip(f.Ctx, p, from, end, ErrTruncated)
		}
	}
}

// epochEnds asks a leader where the last epoch of each partition's position ends in its log. The
// end is −1 if the leader doesn't know. Partitions that the leader refuses are in failed, each
// with its own error: a partition that has moved says nothing about the others.
func (f *Fetcher) epochEnds(leader int32, partitions []*partition) (ends map[transport.Partition]int64, failed map[transport.Partition]error) {
	req := kmsg.NewPtrOffsetForLeaderEpochRequest()
	// A consumer is no replica.
	req.ReplicaID = -1
	f.mu.Lock()
	for _, p := range partitions {
		part := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
		part.Partition, part.CurrentLeaderEpoch, part.LeaderEpoch = p.Partition.Partition, p.leaderEpoch, p.lastEpoch
		if n := len(req.Topics); n == 0 || req.Topics[n-1].Topic != p.Topic {
			t := kmsg.NewOffsetForLeaderEpochRequestTopic()
			t.Topic = p.Topic
			req.Topics = append(req.Topics, t)
		}
		t := &req.Topics[len(req.Topics)-1]
		t.Partitions = append(t.Partitions, part)
	}
	f.mu.Unlock()
	answer, err := f.client.Request(f.Ctx, leader, req)
	ends, failed = make(map[transport.Partition]int64), make(map[transport.Partition]error)
	for _, p := range partitions {
		switch {
		case errors.Is(err, kerr.UnsupportedVersion):
			ends[p.Partition] = -1
		case err != nil:
			failed[p.Partition] = err
		default:
			failed[p.Partition] = fmt.Errorf("asking how far %s goes: %w", p.Partition, kerr.LeaderNotAvailable)
		}
	}
	if err != nil {
		return ends, failed
	}
	for _, t := range answer.(*kmsg.OffsetForLeaderEpochResponse).Topics {
		for _, part := range t.Partitions {
			id := transport.Partition{Topic: t.Topic, Partition: part.Partition}
			if part.ErrorCode == 0 {
				ends[id] = part.EndOffset
				delete(failed, id)
			} else {
				failed[id] = fmt.Errorf("asking how far %s goes: %w", id, kerr.Error(part.ErrorCode))
			}
		}
	}
	return ends, failed
}

// boundedEnds asks for the ends of logs that once reached the end of what their reader reads.
func (f *Fetcher) boundedEnds(partitions []*partition) (ends map[transport.Partition]int64, failed map[transport.Partition]error) {
	var bounded []transport.Partition
	f.mu.Lock()
	for _, p := range partitions {
		if p.lastStable >= p.end {
			bounded = append(bounded, p.Partition)
		}
	}
	f.mu.Unlock()
	if len(bounded) == 0 {
		return nil, nil
	}
	return f.client.TryOffsets(f.Ctx, transport.Latest(), bounded)
}

// cutShort ends the reader, and reports true, if a partition's log reached the reader's end
// before and no longer does: the missing records may never come again, or come as other records.
// Without truncation the last stable offset never goes back: a new leader doesn't report it
// before its high watermark has reached what its log began with (KIP-207). f.mu is held.
func (f *Fetcher) cutShort(p *partition, ends map[transport.Partition]int64) bool {
	end, known := ends[p.Partition]
	if !known || end >= p.end || p.lastStable < p.end {
		return false
	}
	f.moveTo(p, p.next)
	p.stuck = fmt.Errorf("%s ends at offset %d and was to be read up to %d: %w", p.Partition, end, p.end, ErrTruncated)
	p.err, f.fatal = p.stuck, p.stuck
	Signal(f.ready)
	return true
}

// checkOutOfRange moves positions that are not in the log. A position before the log's start can
// only move there. For one past its end, the epochs show whether the log was truncated;
// otherwise the policy applies.
func (f *Fetcher) checkOutOfRange(leader int32, partitions []*partition) {
	ids := make([]transport.Partition, len(partitions))
	for i, p := range partitions {
		ids[i] = p.Partition
	}
	// Three answers are needed, in any order: where the log begins, where it ends, and where the
	// last epoch that was read ends in it.
	starts, noStart := f.client.TryOffsets(f.Ctx, transport.Earliest(), ids)
	ends, noEnd := f.client.TryOffsets(f.Ctx, transport.Latest(), ids)
	epochs, noEpoch := f.epochEnds(leader, partitions)
	for _, p := range partitions {
		f.mu.Lock()
		from, to := p.next, int64(-1)
		err := cmp.Or(noStart[p.Partition], noEnd[p.Partition], noEpoch[p.Partition])
		var reason error
		switch {
		case !f.current(p):
		case err != nil:
			f.client.Invalidate(p.Topic)
			p.leader = -1
			p.fail(err, time.Now())
		case f.cutShort(p, ends):
		case p.ahead >= starts[p.Partition] && p.ahead <= ends[p.Partition]:
			// The broker did not know the log's end yet.
			p.place = inLog
			p.fail(fmt.Errorf("fetching %s at offset %d: %w", p.Partition, p.ahead, kerr.OffsetOutOfRange), time.Now())
		case p.ahead != p.next:
			// Poll is behind, and its own position may be in the log.
			p.place = inLog
			f.moveTo(p, p.next)
		default:
			to, reason = f.policy(p, starts[p.Partition], ends[p.Partition], epochs)
		}
		f.mu.Unlock()
		if reason != nil {
			f.skip(f.Ctx, p, from, to, reason)
		}
	}
}

// policy returns where a position that is not in the log moves, and why. Without a reason the
// position stays: the partition is fetched again, or is stuck. start and end are the log's;
// epochs has where the position's epoch ends in it. f.mu is held.
func (f *Fetcher) policy(p *partition, start, end int64, epochs map[transport.Partition]int64) (to int64, reason error) {
	// Retention, or an operator, removed the records. They can't be read any more, whatever the
	// policy.
	if p.next < start {
		return start, errRemoved
	}
	// If the epoch ends in the log before the position, the log was truncated there.
	if cut, known := epochs[p.Partition]; known && p.lastEpoch >= 0 && cut >= start && cut < p.next {
		return cut, ErrTruncated
	}
	switch f.Topics[p.Topic].OutOfRange {
	case transport.ToEarliest:
		return start, errBeyond
	case transport.ToLatest:
		return end, errBeyond
	case untilWritten:
		p.place = inLog
		p.fail(fmt.Errorf("%s: %w: %d is past %d", p.Partition, errBeyond, p.next, end), time.Now())
		return 0, nil
	}
	p.stuck = fmt.Errorf("%s: %w: %d is past %d, and the policy is to stay", p.Partition, errBeyond, p.next, end)
	p.err = p.stuck
	return 0, nil
}

// current reports whether p is still assigned. Call it after releasing and reacquiring f.mu: a
// partition that was revoked and assigned again is another *partition. f.mu is held.
func (f *Fetcher) current(p *partition) bool {
	return f.partitions[p.Partition] == p && !p.revoked
}

// skip calls the Listener's Skipped and then moves a position, so that no batch from the new
// position comes first. It does nothing if the topic was created again: a position that is not
// in the log may belong to the old topic, and the member has to begin the new one.
func (f *Fetcher) skip(ctx context.Context, p *partition, from, to int64, reason error) {
	// Ask about the topic first: the offset may belong to a deleted topic of this name.
	known, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if t, err := f.client.FreshTopic(known, p.Topic); err == nil {
		f.mu.Lock()
		stale := f.current(p) && f.outdated(p, t)
		f.mu.Unlock()
		if stale {
			return
		}
	}
	f.log.Error("position moved", "partition", p.String(), "from", from, "to", to, "reason", reason)
	if !f.Listener.Enter(ctx) {
		return
	}
	defer f.Listener.Leave()
	f.mu.Lock()
	current := f.current(p) && p.next == from
	f.mu.Unlock()
	if !current {
		return
	}
	// Not under mu, since Skipped is user code. Enter keeps out other calls of the Listener, and
	// so the end of the assignment.
	f.Listener.Skipped(p.Partition, from, to, reason)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.moveTo(p, to)
	// The epoch of the record before the new position is unknown.
	p.place, p.lastEpoch = inLog, -1
	p.err, p.failures, p.damage = nil, 0, nil
	p.notBefore = time.Time{}
	Signal(f.ready)
	Signal(f.wake)
}
