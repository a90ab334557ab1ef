package produce

import (
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/kafka/internal/kerr"
)

// mostUnderWay bounds the batches of a partition in flight: brokers remember the last five of a
// session, and recognize only these when they are sent again.
const mostUnderWay = 5

// callLocked tells the worker that owns the partition that another batch can be sent behind
// those in flight. The caller holds mu.
func (p *partition) callLocked() {
	select {
	case p.more <- struct{}{}:
	default: // already signalled, or more is nil
	}
}

// follow returns the next batch to be sent before those in flight are answered, or nil if there
// is none or it must wait.
//
// Only a broker that knows nothing about the session accepts a batch whose sequence number is
// not the next. So once the leader has acknowledged a batch of the session (known), batches
// behind a failed one are refused, so nothing overtakes them. After any failure, batches are
// sent one at a time.
func (p *partition) follow(more chan<- struct{}) *partitionBatch {
	h := p.head
	if !p.known || p.failed != nil || h.attempts > 0 || h.perhapsWritten() || len(p.behind) >= mostUnderWay-1 {
		return nil
	}
	p.mu.Lock()
	p.more = more
	var b *partitionBatch
	switch {
	case len(p.queue) == 0:
		b, p.open = p.open, nil
	case !p.queue[0].stamped && !p.queue[0].doubted:
		b = p.queue[0]
		p.queue = slices.Delete(p.queue, 0, 1)
	}
	if b != nil {
		p.usual = b.size()
	}
	p.mu.Unlock()
	if b != nil {
		p.behind = append(p.behind, b)
		p.topic.advance(p)
	}
	return b
}

// newest reports whether nothing of the partition was sent after b.
func (p *partition) newest(b *partitionBatch) bool {
	if n := len(p.behind); n > 0 {
		return p.behind[n-1] == b
	}
	return p.head == b
}

// answered acts on the answer to a batch in flight.
func (p *partition) answered(b *partitionBatch, answer *kmsg.ProduceResponseTopicPartition) {
	newest := p.newest(b)
	switch {
	case p.failed != nil:
		// It is sent again after the failed one, with the same bytes.
		code := kerr.Error(answer.ErrorCode)
		switch code {
		// The latter two report the wait for the replicas, after the append.
		case 0, kerr.DuplicateSequenceNumber, kerr.RequestTimedOut, kerr.NotEnoughReplicasAppended:
			b.written = true
		}
		b.maybeAppended = b.written || appendedMaybe(code)
	case answer.ErrorCode == 0:
		p.finish(answer.BaseOffset, answer.LogAppendTime)
		return
	case newest:
		p.handleError(answer)
		return
	default:
		kept := copyOf(answer)
		p.failed = func() { p.handleError(kept) }
	}
	if newest {
		p.settle()
	}
}

// unanswered acts on a sent batch for which there is no answer: a broker may have appended it.
// again is what to do for the head.
func (p *partition) unanswered(b *partitionBatch, sent bool, again func()) {
	b.maybeAppended = b.maybeAppended || sent
	newest := p.newest(b)
	if p.failed == nil {
		p.failed = again
	}
	if newest {
		p.settle()
	}
}

// settle acts on the failure of the head once nothing is in flight any more. Batches sent
// behind it are queued again, to be sent one by one with the same bytes.
func (p *partition) settle() {
	p.known = false
	if len(p.behind) > 0 {
		p.mu.Lock()
		p.queue = append(slices.Clone(p.behind), p.queue...)
		p.mu.Unlock()
		clear(p.behind)
		p.behind = p.behind[:0]
	}
	failed := p.failed
	p.failed = nil
	failed()
}

// queued reports whether is(b) is true for any batch b behind the head.
func (p *partition) queued(is func(*partitionBatch) bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.ContainsFunc(p.queue, is)
}

// restamp allows the batches sent behind the head to be sent with other numbers, and reports
// whether there were any. The caller knows that they are not in the log.
func (p *partition) restamp() (found bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, b := range p.queue {
		found = found || b.stamped
		b.stamped, b.maybeAppended = false, false
	}
	return found
}

// copyOf returns a copy of an answer that shares no memory with its response.
func copyOf(a *kmsg.ProduceResponseTopicPartition) *kmsg.ProduceResponseTopicPartition {
	kept := *a
	kept.ErrorMessage = cloned(a.ErrorMessage)
	kept.ErrorRecords = slices.Clone(a.ErrorRecords)
	for i := range kept.ErrorRecords {
		kept.ErrorRecords[i].ErrorMessage = cloned(a.ErrorRecords[i].ErrorMessage)
	}
	return &kept
}

// cloned returns a copy of a text that may be nil.
func cloned(s *string) *string {
	if s == nil {
		return nil
	}
	return new(strings.Clone(*s))
}
