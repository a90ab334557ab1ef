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

// Why a position moved, as Listener.Skipped gets it.
var (
	errRemoved   = errors.New("retention removed the records from the log")
	errBeyond    = errors.New("the offset lies beyond the end of the log")
	ErrTruncated = errors.New("the log was truncated: its new leader does not have the records")
	ErrRecreated = errors.New("the topic was created again")
)

// untilWritten is a reader's policy: an offset that the log does not have yet is
// waited for.
const untilWritten transport.OutOfRange = -1

// checkPositions starts to find out where partitions of one leader really are.
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
	// In the background, since it waits for brokers. checking keeps the partitions from
	// being fetched until it has ended.
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

// checkTruncated asks a new leader whether its log holds what was read up to a
// position: where the epoch that was read last ends in its log (KIP-320).
func (f *Fetcher) checkTruncated(leader int32, partitions []*partition) {
	// Answers come without mu, so each partition is looked at again under it: it may have
	// been revoked, or moved, meanwhile.
	ends, failed := f.epochEnds(leader, partitions)
	logs, unbounded := f.boundedEnds(partitions)
	for _, p := range partitions {
		f.mu.Lock()
		// An error puts the check off: the leader is found out again, and asked.
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
			// Of what was fetched, nothing more may be returned.
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

// epochEnds asks a leader where the last epoch of each partition's position
// ends in its log, −1 if it doesn't know. A partition that it refuses is in failed
// instead, with its own error: one that has moved on says nothing of the others.
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

// boundedEnds asks how far the logs go of which a reader has seen that they go as
// far as it reads.
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

// cutShort ends a reader of which a partition's log went as far as it reads, and
// does not any more: what is missing may never come again, or as other records.
// Without truncation the last stable offset never goes back: a new leader does not
// tell it before its high watermark has reached what its log began with (KIP-207).
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

// checkOutOfRange moves positions that are not in the log. Before the log's start there is
// one way to go; past its end the epochs show whether the log was truncated or a policy applies.
func (f *Fetcher) checkOutOfRange(leader int32, partitions []*partition) {
	ids := make([]transport.Partition, len(partitions))
	for i, p := range partitions {
		ids[i] = p.Partition
	}
	// Three answers of the cluster are needed, in any order: where the log begins, where it
	// ends, and how far the last epoch that was read goes in it.
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
			// The broker did not know yet how far the log goes.
			p.place = inLog
			p.fail(fmt.Errorf("fetching %s at offset %d: %w", p.Partition, p.ahead, kerr.OffsetOutOfRange), time.Now())
		case p.ahead != p.next:
			// Poll is behind, and what it returns next may be in the log.
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

// policy says where a position goes that is not in the log, and why. Without a
// reason it stays: the partition is asked for again, or stuck. start and end are the log's,
// epochs where the position's epoch ends in it. f.mu is held.
func (f *Fetcher) policy(p *partition, start, end int64, epochs map[transport.Partition]int64) (to int64, reason error) {
	// Retention, or an operator, removed the records: they can't be read any more, whatever
	// the policy is.
	if p.next < start {
		return start, errRemoved
	}
	// An epoch that ends earlier in the log than what was read of it shows that
	// the log was truncated, and where.
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

// current reports whether p is still assigned. A caller that gives up f.mu and takes it again
// asks first: a partition that was revoked and came back is another Partition. f.mu is held.
func (f *Fetcher) current(p *partition) bool {
	return f.partitions[p.Partition] == p && !p.revoked
}

// skip calls the Listener's Skipped, and then moves a position: a batch from
// the new place never comes before.
//
// A position that is not in the log may be one of another log. Then it is for the
// member to begin that one.
func (f *Fetcher) skip(ctx context.Context, p *partition, from, to int64, reason error) {
	// The topic is asked for first: an offset that is not in the log may be one of a topic
	// of this name that was deleted.
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
	// Without mu, as Skipped is user code; Enter keeps other calls of the Listener out, and
	// with them the end of the assignment.
	f.Listener.Skipped(p.Partition, from, to, reason)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.moveTo(p, to)
	// Nothing is known of the epoch of what lies before the new position.
	p.place, p.lastEpoch = inLog, -1
	p.err, p.failures, p.damage = nil, 0, nil
	p.notBefore = time.Time{}
	Signal(f.ready)
	Signal(f.wake)
}
