package memory

import (
	"errors"
	"fmt"
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

// outcomes are the records of one producer on one partition whose completions have not returned
// yet, in the order of Produce. The cluster's mutex guards it but is released during a
// completion, which is why draining exists.
type outcomes struct {
	waiting  []*outcome
	draining bool // a goroutine is calling completions
}

// outcome is the outcome of one record and its receiver. It stays at the head of its queue until
// the completion has returned, so Flush, which waits for the last one, waits for the call too.
type outcome struct {
	producer *producer
	done     transport.Completion
	size     int
	position transport.Position
	err      error
	settled  bool
	deadline *time.Timer   // of a held acknowledgement
	heard    chan struct{} // closed once the completion has returned; nil while nobody waits
}

// settle sets the outcome. Only the first call counts: the deadline, a release and Close may
// all come. An error takes back the position of a record that was appended. The caller calls
// deliver for the completion.
func (o *outcome) settle(err error) {
	if o.settled {
		return
	}
	o.settled = true
	if err != nil {
		o.err, o.position.Offset = err, -1
	}
	if o.deadline != nil {
		o.deadline.Stop()
	}
}

// heardChannel returns a channel that is closed once the completion has returned.
func (o *outcome) heardChannel() <-chan struct{} {
	if o.heard == nil {
		o.heard = make(chan struct{})
	}
	return o.heard
}

// expire ends the wait for a held acknowledgement at the delivery timeout. Without an answer a
// producer can't know whether the record is in the log, so the outcome is unknown, not failed.
func (p *producer) expire(o *outcome) {
	p.cluster.mu.Lock()
	defer p.cluster.mu.Unlock()
	o.settle(fmt.Errorf("%w: no acknowledgement within %v", transport.ErrOutcomeUnknown, p.config.DeliveryTimeout))
	o.deliver()
}

// deliver calls the completions due at the head of the record's queue. The mutex is held.
func (o *outcome) deliver() { o.producer.drain(o.producer.queues[o.position.Partition]) }

// drain calls the completions at the head of a queue whose outcomes are settled. The mutex is
// held, and released during each call. A completion that produces to the same partition, or a
// second goroutine, leaves its records to the running loop, so completions come one at a time
// and in order.
func (p *producer) drain(q *outcomes) {
	if q.draining {
		return
	}
	q.draining = true
	for len(q.waiting) > 0 && q.waiting[0].settled {
		// An unsettled head holds up settled outcomes behind it: order comes first.
		o := q.waiting[0]
		p.cluster.mu.Unlock()
		if p.config.Gate != nil {
			p.config.Gate.Report(0, infrastructure(o.err))
		}
		o.done.Done(o.position, o.err)
		p.cluster.mu.Lock()
		// The array behind the slice would keep the record's completion alive.
		q.waiting[0] = nil
		q.waiting = q.waiting[1:]
		if o.heard != nil {
			close(o.heard)
		}
		// After the completion: while the caller is slow, a full buffer stays full.
		p.giveBack(o.size)
	}
	q.draining = false
}

// infrastructure returns err if the broker is to blame for it, nil if the record is. A breaker
// must not open because one publisher writes records that are too large.
func infrastructure(err error) error {
	for _, ofRecord := range []error{
		transport.ErrTooLarge, transport.ErrRejected, transport.ErrUnauthorized, transport.ErrTopicMissing,
	} {
		if errors.Is(err, ofRecord) {
			return nil
		}
	}
	return err
}
