package produce

import (
	"cmp"
	"errors"
	"os"
	"runtime"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/kafka/internal/batch"
	"github.com/eventbus-go/eventbus/kafka/internal/cluster"
	"github.com/eventbus-go/eventbus/kafka/internal/kerr"
)

// round is one worker's requests: each carries the heads of the partitions that
// it took.
type round struct {
	sender *sender
	conn   *cluster.Conn
	parts  []*partition
	left   []*partition // of parts, those that the response has not told of; nil where it has
	size   int          // of their batches
	body   []byte
	req    produceRequest
	resp   kmsg.ProduceResponse
	timer  *time.Timer // for rest
	hurry  int         // requests before which it does not yield
	vigil  *vigil
	// What vigil needs, made once.
	sent func() []*partition
	end  func()
}

func newRound(s *sender, w *cluster.Conn, v *vigil) *round {
	r := &round{sender: s, conn: w, timer: time.NewTimer(idleAfter), vigil: v}
	r.timer.Stop()
	r.sent = func() []*partition { return r.parts }
	r.end = func() { _ = w.SetDeadline(cluster.Past) }
	r.req.round = r
	return r
}

// yield lets other goroutines run before a request is made up. Those who were just
// told their outcomes may publish again at once, and what they publish then goes
// with this request, not after it. Where nobody else runs it costs nothing. Where
// every core is busy with longer work it would cost a turn of all of that, so it is
// left out for a while once it has.
func (r *round) yield() {
	if r.hurry > 0 {
		r.hurry--
		return
	}
	before := time.Now()
	runtime.Gosched()
	if time.Since(before) > longYield {
		r.hurry = hurried
	}
}

const (
	longYield = 2 * time.Millisecond
	hurried   = 100
)

// fill takes partitions from those that are ready, as many as a request may
// carry, and returns the rest. It runs under the sender's lock.
func (r *round) fill(ready []*partition) []*partition {
	r.parts, r.size = r.parts[:0], 0
	limit := r.sender.producer.cfg.RequestBytes
	for len(r.parts) < len(ready) {
		p := ready[len(r.parts)]
		size := p.next()
		if len(r.parts) > 0 && r.size+size > limit {
			break
		}
		r.size += size
		r.parts = append(r.parts, p)
	}
	return slices.Delete(ready, 0, len(r.parts))
}

// settle closes the batches that are to be sent, and fails those whose delivery
// time is over. It returns false if nothing is left to be sent.
func (r *round) settle() bool {
	now := time.Now()
	r.parts = slices.DeleteFunc(r.parts, func(p *partition) bool {
		if p.overdue(now) {
			return true
		}
		p.begin()
		return false
	})
	return len(r.parts) > 0
}

// run sends a request and acts on the response. An error is one of the
// connection, which must not be used again.
func (r *round) run() error {
	used := r.conn.Link.Correlation > 0
	body, err := r.exchange()
	if err == nil {
		r.resp.SetVersion(r.req.GetVersion())
		if err = r.resp.UnsafeReadFrom(body); err == nil {
			r.accept()
			return nil
		}
	}
	// A connection that has worked before, and is lost, may have died while
	// nobody used it: whether the broker is well shows when the next is made.
	if !used || !kerr.LostConnection(err) || errors.Is(err, os.ErrDeadlineExceeded) {
		r.sender.report(err)
	}
	var fatal error
	if !kerr.Retriable(err) && !r.conn.Wrote && r.conn.Ctx.Err() == nil {
		fatal = err
	}
	for _, p := range r.parts {
		// Once the request was on its way, only the broker's answer says that the
		// batch is in the log, or is not.
		p.head.maybe = p.head.maybe || r.conn.Wrote
		if fatal != nil {
			p.failed(fatal, nil)
		} else {
			p.retry(err)
		}
	}
	return err
}

// exchange sends the request and returns the response's body.
func (r *round) exchange() ([]byte, error) {
	p := r.sender.producer
	slices.SortStableFunc(r.parts, func(a, b *partition) int { return cmp.Compare(a.topic.name, b.topic.name) })
	r.vigil.begin(r.sent, r.end)
	defer r.vigil.over()
	deadline := time.Now().Add(p.client.Options.RequestTimeout)
	fresh := false
	for _, part := range r.parts {
		fresh = fresh || part.session.ID < 0
		if d := part.head.deadline; d.Before(deadline) {
			deadline = d
		}
	}
	var session batch.ProducerSession
	if fresh {
		var err error
		session, err = p.ids.get(r.conn, deadline)
		r.conn.Wrote = false
		if err != nil {
			return nil, err
		}
	}
	version, err := r.conn.Version(int16(kmsg.Produce), cluster.Highest(int16(kmsg.Produce)), deadline)
	r.conn.Wrote = false
	if err != nil {
		return nil, err
	}
	for _, part := range r.parts {
		part.stamp(session)
	}
	// The broker waits for the replicas for half of the time at most, so that
	// its answer that they are late comes before the connection is given up.
	r.req.TimeoutMillis = int32(max(min(time.Until(deadline), p.client.Options.RequestTimeout/2).Milliseconds(), 1))
	r.req.SetVersion(version)
	frame := cluster.TakeFrame()
	defer cluster.GiveFrame(frame)
	frame.Bytes = r.req.frame(p.client.Formatter, frame.Bytes[:0])
	return r.conn.Await(frame.Bytes, r.req.pieces(frame.Bytes), version >= 9, deadline, r.memory)
}

// memory is that of the last response, if it is large enough.
func (r *round) memory(size int) []byte {
	if cap(r.body) < size {
		r.body = make([]byte, size)
	}
	return r.body[:size]
}

// accept acts on a response. What it says of the broker comes first, so that
// a caller that goes on after the outcome of a record finds it taken into account.
func (r *round) accept() {
	if d := r.resp.ThrottleMillis; d > 0 {
		r.sender.mute(time.Duration(d) * time.Millisecond)
	}
	r.sender.report(r.trouble())
	r.left = r.parts
	left := len(r.left)
	for i := range r.resp.Topics {
		topic := &r.resp.Topics[i]
		for j := range topic.Partitions {
			answer := &topic.Partitions[j]
			p := r.answers(topic.Topic, answer.Partition)
			if p == nil {
				continue
			}
			left--
			if answer.ErrorCode == 0 {
				p.finish(answer.BaseOffset, answer.LogAppendTime)
			} else {
				p.answered(answer)
			}
		}
	}
	if left > 0 {
		r.unanswered()
	}
}

// trouble is what a response says of the broker's health: nil if it did its work
// for any of the partitions.
func (r *round) trouble() (first error) {
	for i := range r.resp.Topics {
		for j := range r.resp.Topics[i].Partitions {
			err := infrastructure(kerr.CodeError(r.resp.Topics[i].Partitions[j].ErrorCode))
			if err == nil {
				return nil
			}
			if first == nil {
				first = err
			}
		}
	}
	return first
}

// answers takes the partition out that an answer is for. Brokers answer in the
// order of the request, more or less, so it is mostly the first that is left.
func (r *round) answers(topic string, index int32) *partition {
	for i, p := range r.left {
		if p != nil && p.index == index && p.topic.name == topic {
			r.left[i] = nil
			if i == 0 {
				r.left = r.left[1:]
			}
			return p
		}
	}
	return nil
}

// ErrUnanswered is the error of a partition that is missing in the response to its
// request.
var ErrUnanswered = errors.New("the broker's response leaves the partition out")

// unanswered repeats what the broker's response says nothing of.
func (r *round) unanswered() {
	for _, p := range r.left {
		if p != nil {
			p.head.maybe = true
			p.retry(ErrUnanswered)
		}
	}
}
