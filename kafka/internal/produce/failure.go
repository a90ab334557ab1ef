package produce

import (
	"errors"
	rand "math/rand/v2"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/kafka/internal/batch"
	"github.com/eventbus-go/eventbus/kafka/internal/cluster"
	"github.com/eventbus-go/eventbus/kafka/internal/kerr"
	"github.com/eventbus-go/eventbus/transport"
)

// Waits between attempts of one partition.
const (
	firstBackoff = 10 * time.Millisecond
	lastBackoff  = time.Second
	// missingGrace is how long a topic may be missing that existed when its records were
	// accepted: brokers learn about a new topic one after another.
	missingGrace = 5 * time.Second
)

// retryAfter returns how long to wait after a number of failed attempts: twice as long each time
// up to lastBackoff, give or take a quarter, so that partitions that failed together don't retry
// together.
func retryAfter(attempts int) time.Duration {
	d := min(firstBackoff<<min(max(attempts-1, 0), 10), lastBackoff)
	return d*3/4 + rand.N(d/2)
}

// retry ends an attempt whose error may pass: the head is sent again after a while, unless its
// time is over.
func (p *partition) retry(err error) {
	b := p.head
	b.attempts++
	p.cause, p.known = err, false
	wait := retryAfter(b.attempts)
	// An election may end at any moment, so look again soon, however many attempts have failed.
	if kerr.LeaderMoved(err) {
		p.leaderless = true
		p.producer.client.Invalidate(p.topic.name)
		wait = min(wait, cluster.LookAgainAfter)
	}
	p.wait(time.Now().Add(wait))
}

// wait adds the partition to the waiting ones, until due or the deadline of its next batch.
func (p *partition) wait(due time.Time) {
	p.load.Store(loadRetrying)
	p.due = due
	if deadline := p.deadline(); deadline.Before(due) {
		p.due = deadline
	}
	p.producer.waiting.add(p)
}

// deadline returns the deadline of the next batch, or the zero time if there is none. Batches
// are queued in the order of their deadlines, so no later one is due earlier.
func (p *partition) deadline() time.Time {
	if p.head != nil {
		return p.head.deadline
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case len(p.queue) > 0:
		return p.queue[0].deadline
	case p.open != nil:
		return p.open.deadline
	}
	return time.Time{}
}

// overdue loses the head if its delivery time is over, and reports whether it did. If so, the
// partition has been passed on, and the caller must not touch it any more.
func (p *partition) overdue(now time.Time) bool {
	if deadline := p.deadline(); deadline.IsZero() || now.Before(deadline) {
		return false
	}
	attempts := 0
	if p.head != nil {
		attempts = p.head.attempts
	}
	p.lose(expired(p.producer.cfg.DeliveryTimeout, attempts, p.cause))
	return true
}

// lose fails the head and everything queued behind it: a later record of the partition must not
// be in the log if an earlier one is missing. Records accepted from now on are sent.
func (p *partition) lose(err *DeliveryError) {
	p.mu.Lock()
	behindIt := p.queue
	if p.open != nil {
		behindIt = append(behindIt, p.open)
	}
	p.queue, p.open, p.more = nil, nil, nil
	// The partition stays busy, so records accepted while completions are called are queued.
	p.busy = true
	p.mu.Unlock()
	completed := 0
	notSent := behind(err)
	b := p.head
	if b == nil && len(behindIt) > 0 {
		b, behindIt = behindIt[0], behindIt[1:]
	}
	if b != nil {
		// The sent request may still arrive, or be in the log whatever the broker has said, so
		// write what follows under the next epoch. Under the same numbers the broker would take
		// it for a repetition, acknowledge it and write nothing.
		err.Unknown = b.maybeAppended || b.doubted
		sent := func(b *partitionBatch) bool { return b.stamped || b.perhapsWritten() }
		if sent(b) || slices.ContainsFunc(behindIt, sent) {
			p.fence()
		}
		completed += p.fail(b, err)
		p.head = nil
	}
	// None of these was sent, unless it was in flight together with the head or is another part of
	// the batch that the head was split from.
	for _, b := range behindIt {
		if b.perhapsWritten() {
			unknown := *err
			unknown.Unknown = true
			completed += p.fail(b, &unknown)
		} else {
			completed += p.fail(b, notSent)
		}
	}
	p.conclude(completed)
}

// fail completes the records of a batch with an error, and returns their number, including
// those refused earlier that count with it.
func (p *partition) fail(b *partitionBatch, err error) int {
	p.producer.credit.release(b.held, len(b.records))
	for i := range b.records {
		p.complete(&b.records[i], err)
	}
	completed := len(b.records) + b.refused
	b.recycle()
	return completed
}

// complete completes a record with an error. Completions are code of the layers above, which
// may publish again, so they are called without a lock.
func (p *partition) complete(r *pending, err error) {
	if r.done != nil {
		r.done.Done(transport.Position{Partition: p.name(), Offset: -1, Time: time.UnixMilli(r.timestamp)}, err)
	}
}

// notAppended records that neither the head nor the batch it was split from is in the log,
// although no answer says so.
func (p *partition) notAppended() {
	if p.head != nil {
		p.head.maybeAppended, p.head.doubted = false, false
	}
	p.mu.Lock()
	for _, b := range p.queue {
		b.doubted = false
	}
	p.mu.Unlock()
}

// fence gives up a batch that may or may not be in the log, by writing what follows under the
// next epoch, from sequence 0 on. The broker then refuses the old request should it still
// arrive. If it arrives before the next batch does, it is in the log before it, where it
// belongs.
//
// A broker keeps id, epoch and sequence per partition and, without transactions, checks them
// only there. So the epochs of this producer's partitions grow independently, and a partition
// in trouble disturbs no other. (Kafka's Java client has one epoch for all, and moves each
// partition to it once that has nothing in flight, which amounts to the same.)
//
// As in the Java client, the last epoch is never used: the partition then starts under a new
// producer id, which fences nothing.
func (p *partition) fence() {
	p.known = false
	if p.session.Epoch >= 1<<15-2 {
		p.renew()
		return
	}
	p.session.Epoch++
	p.sequence = 0
}

// renew makes the partition start under another producer id.
func (p *partition) renew() {
	p.producer.ids.retire(p.session.ID)
	p.session, p.known = batch.ProducerSession{ID: -1}, false
}

// resend sends the head under another session as soon as possible, and then what was sent
// behind it. The caller knows that none of it is in the log.
func (p *partition) resend(err error) {
	p.head.stamped, p.head.maybeAppended = false, false
	p.restamp()
	p.retry(err)
}

// handleError acts on a broker's error for the head. The head is sent again with the same
// bytes, sent again with different ones, or lost. It may be sent with different bytes only if
// it is known not to be in the log, or if the log recognizes it.
func (p *partition) handleError(answer *kmsg.ProduceResponseTopicPartition) {
	b, code := p.head, kerr.Error(answer.ErrorCode)
	if appendedMaybe(code) {
		b.maybeAppended = true
	}
	p.known = false
	switch code {
	case kerr.DuplicateSequenceNumber:
		// It is in the log, at an offset that the broker no longer knows.
		p.finish(-1, -1)
	case kerr.OutOfOrderSequenceNumber:
		if b.doubted {
			// The log has the batch from which this one was split, or it has lost what came
			// before. It does not say which.
			p.lose(&DeliveryError{What: "the batch was refused when it was sent again", Cause: code})
			return
		}
		// The log ends before the last acknowledged batch, after an unclean election for
		// instance. It does not have this one either: the broker would know its sequence, since
		// fewer were written after it than brokers remember. Without its past, the log may even
		// have accepted batches sent behind the head, which would then have overtaken it.
		if p.queued((*partitionBatch).perhapsWritten) {
			p.lose(&DeliveryError{What: "the log has lost what was written before", Cause: code})
			return
		}
		p.fence()
		p.resend(code)
	case kerr.InvalidProducerEpoch, kerr.UnknownProducerID:
		// The broker has forgotten or fenced the session, and with it whether it has the batch.
		unknown := b.perhapsWritten() || p.queued((*partitionBatch).perhapsWritten)
		p.renew()
		if unknown {
			p.lose(&DeliveryError{What: "the broker has lost track of this producer", Cause: code})
			return
		}
		p.resend(code)
	case kerr.MessageTooLarge, kerr.RecordListTooLarge, kerr.InvalidTimestamp, kerr.InvalidRecord:
		written := p.queued(func(b *partitionBatch) bool { return b.written })
		if !written && (!b.perhapsWritten() || len(b.records) > 1) {
			p.refuse(answer)
			return
		}
		// Brokers check a batch before they look whether they already have it.
		p.lose(&DeliveryError{What: "refused", Cause: code})
	case kerr.NotLeaderOrFollower:
		if p.producer.client.Moved(p.topic.name, p.index, answer.CurrentLeader.LeaderID, answer.CurrentLeader.LeaderEpoch) {
			p.leader.Store(answer.CurrentLeader.LeaderID)
			b.attempts++
			p.cause = code
			p.offer(false)
			return
		}
		p.retry(code)
	default:
		p.retryOrLose(code, answer.ErrorMessage)
	}
}

// retryOrLose ends an attempt with an error: the head is sent again if that may help, and lost
// otherwise. message is the broker's own text, nil if there is none.
func (p *partition) retryOrLose(err error, message *string) {
	if kerr.Retriable(err) || errors.Is(err, kerr.UnknownServerError) {
		p.retry(err)
		return
	}
	what := "refused"
	if message != nil && *message != "" {
		what += " (" + *message + ")"
	}
	p.lose(&DeliveryError{What: what, Cause: err})
}

// refuse fails the records that the broker refuses for their content, and sends the others in a
// new batch under the next epoch.
//
// If the broker doesn't name the records (KIP-467) the batch is halved, until a record is alone.
// That also gets a batch down to a size that the topic accepts.
//
// A batch that may be in the log is halved too, since brokers refuse it before they look for it.
// Its first part is sent under the same sequence number. A log that has the whole batch answers
// that the part is out of order; one that accepts the part does not have the batch. No record is
// reported as refused before that is known.
func (p *partition) refuse(answer *kmsg.ProduceResponseTopicPartition) {
	b, code := p.head, kerr.Error(answer.ErrorCode)
	uncertain := b.perhapsWritten()
	// Batches sent behind it are not in the log either, since what comes before them is missing.
	// Their numbers may change now. No broker may accept them under the old ones (KIP-360), nor
	// take what follows for a repetition of what it refused.
	if !uncertain {
		p.restamp()
		p.fence()
	}
	var message string
	if answer.ErrorMessage != nil {
		message = *answer.ErrorMessage
	}
	refused := make(map[int]string, len(answer.ErrorRecords))
	for _, r := range answer.ErrorRecords {
		// In a batch that may be in the log, named records are not failed yet: a record refused
		// now may have been accepted then.
		if uncertain || r.RelativeOffset < 0 || int(r.RelativeOffset) >= len(b.records) {
			continue
		}
		refused[int(r.RelativeOffset)] = message
		if r.ErrorMessage != nil {
			refused[int(r.RelativeOffset)] = *r.ErrorMessage
		}
	}
	named := len(refused) > 0
	if len(b.records) == 1 {
		refused[0], named = message, true
	}
	if errors.Is(code, transport.ErrTooLarge) && len(b.records) > 1 {
		// Make later batches smaller, or each would be refused and halved.
		p.topic.limit.Store(max(int64(b.size()/2), 1))
	}
	taken := b.refused
	for i := range b.records {
		if why, ok := refused[i]; ok {
			r := &b.records[i]
			p.producer.credit.release(int64(r.size), 1)
			p.complete(r, refusal(code, why, len(b.wire())))
			taken++
		}
	}
	parts := b.split(func(i int) bool { _, out := refused[i]; return !out }, named)
	b.recycle()
	if len(parts) == 0 {
		p.conclude(taken)
		return
	}
	// All parts: whether the log has them is not known before the first is answered.
	for _, part := range parts {
		part.doubted = uncertain
	}
	// Removed records count as completed with the last part, so that a Flush that waits for
	// them has also waited for those before them.
	parts[len(parts)-1].refused = taken
	p.mu.Lock()
	p.queue = append(parts[1:], p.queue...)
	p.mu.Unlock()
	p.head, p.cause = parts[0], nil
	p.offer(false)
}
