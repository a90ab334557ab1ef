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
	left   []*partition // of parts, those that no answer was found for yet; nil where one was
	size   int          // of their batches
	// body is the memory of responses, used again for each.
	body    []byte
	req     produceRequest
	resp    kmsg.ProduceResponse
	timer   *time.Timer // for waitForWork
	noYield int         // requests before which it does not yield
	watch   *leaderWatch
	// The arguments of watch.begin, made once.
	sent func() []*partition
	stop func()
}

// newRound returns the requests of one connection. Its memory is reused from one to the
// next, since only one is under way.
func newRound(s *sender, c *cluster.Conn, w *leaderWatch) *round {
	r := &round{sender: s, conn: c, timer: time.NewTimer(idleAfter), watch: w}
	r.timer.Stop()
	r.sent = func() []*partition { return r.parts }
	r.stop = func() { _ = c.SetDeadline(cluster.Past) }
	r.req.round = r
	return r
}

// yield lets other goroutines run before a request is made up. A publisher that just
// received its outcome may publish again at once, and what it publishes then goes
// with this request, not after it. Where nothing else runs it costs nothing. Where
// every core is busy with longer work it would cost a turn of all of that, so it is
// left out for a while once it has.
func (r *round) yield() {
	if r.noYield > 0 {
		r.noYield--
		return
	}
	before := time.Now()
	runtime.Gosched()
	if time.Since(before) > longYield {
		r.noYield = noYields
	}
}

const (
	longYield = 2 * time.Millisecond
	noYields  = 100 // requests
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

// begin closes the batches that are to be sent, and fails those whose delivery
// time is over. It reports whether anything is left to be sent.
func (r *round) begin() bool {
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
	begun := time.Now()
	body, err := r.exchange(begun)
	if errors.Is(err, errMuted) {
		for _, p := range r.parts {
			r.sender.offer(p, false)
		}
		return nil
	}
	if err == nil {
		r.resp.SetVersion(r.req.GetVersion())
		if err = r.resp.UnsafeReadFrom(body); err == nil {
			r.sender.noteAnswer(begun)
			r.accept()
			return nil
		}
	}
	// A connection that has worked before, and is lost, may have died while
	// nobody used it: whether the broker is well shows when the next is made.
	if !used || !kerr.LostConnection(err) || errors.Is(err, os.ErrDeadlineExceeded) {
		r.sender.report(begun, err)
	}
	var fatal error
	if !kerr.Retriable(err) && !r.conn.Wrote && r.conn.Ctx.Err() == nil {
		fatal = err
	}
	for _, p := range r.parts {
		// Once the request was on its way, only the broker's answer says that the
		// batch is in the log, or is not.
		p.head.maybeAppended = p.head.maybeAppended || r.conn.Wrote
		if fatal != nil {
			p.retryOrLose(fatal, nil)
		} else {
			p.retry(err)
		}
	}
	return err
}

// errMuted says that the broker wants no requests now (KIP-219), so that none was
// sent.
var errMuted = errors.New("the broker wants no requests now")

// exchange sends the request and returns the response's body.
func (r *round) exchange(begun time.Time) ([]byte, error) {
	p := r.sender.producer
	// By topic, as the request names each once.
	slices.SortStableFunc(r.parts, func(a, b *partition) int { return cmp.Compare(a.topic.name, b.topic.name) })
	r.watch.begin(begun, r.sent, r.stop)
	defer r.watch.end()
	deadline := begun.Add(p.client.Options.RequestTimeout)
	fresh := false
	for _, part := range r.parts {
		// A producer id is fetched at most once for a request, over its own connection.
		fresh = fresh || part.session.ID < 0
		if d := part.head.deadline; d.Before(deadline) {
			deadline = d
		}
	}
	var session batch.ProducerSession
	if fresh {
		var throttle time.Duration
		var err error
		session, throttle, err = p.ids.get(r.conn, deadline)
		r.conn.Wrote = false
		if err != nil {
			return nil, err
		}
		if throttle > 0 {
			// The broker would leave what came next on this connection unread.
			r.sender.mute(throttle)
			return nil, errMuted
		}
	}
	version, err := r.conn.Version(int16(kmsg.Produce), r.req.mostVersion(), deadline)
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

// memory returns that of the last response, if it is large enough. Nothing of a
// response is kept beyond accept.
func (r *round) memory(size int) []byte {
	if cap(r.body) < size {
		r.body = make([]byte, size)
	}
	return r.body[:size]
}

// accept acts on a response. What it says of the broker comes first, so that
// a caller that goes on after the outcome of a record finds it taken into account.
func (r *round) accept() {
	if d := cluster.Throttle(r.resp.ThrottleMillis); d > 0 {
		r.sender.mute(d)
	}
	r.sender.producer.report(r.sender.broker, r.health())
	// r.parts is not needed any more: finish and handleError pass the partitions on, and
	// another worker may have them at once.
	r.left = r.parts
	left := len(r.left)
	for i := range r.resp.Topics {
		topic := &r.resp.Topics[i]
		for j := range topic.Partitions {
			answer := &topic.Partitions[j]
			p := r.answers(topic, answer.Partition)
			if p == nil {
				continue
			}
			left--
			if answer.ErrorCode == 0 {
				p.finish(answer.BaseOffset, answer.LogAppendTime)
			} else {
				p.handleError(answer)
			}
		}
	}
	if left > 0 {
		r.unanswered()
	}
}

// health returns what a response says of the broker's health: nil if it did its
// work for any of the partitions.
func (r *round) health() (first error) {
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

// answers takes the partition out that an answer is for, and returns it, or nil if
// none is left of that topic and index. Brokers answer in the order of the request,
// more or less, so it is mostly the first that is left.
func (r *round) answers(topic *kmsg.ProduceResponseTopic, index int32) *partition {
	named := r.resp.GetVersion() < byID
	for i, p := range r.left {
		if p != nil && p.index == index && (named && p.topic.name == topic.Topic || !named && p.sentTo == topic.TopicID) {
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

// unanswered repeats what the broker's response says nothing of. The broker may have
// appended it.
func (r *round) unanswered() {
	for _, p := range r.left {
		if p != nil {
			p.head.maybeAppended = true
			p.retry(ErrUnanswered)
		}
	}
}
