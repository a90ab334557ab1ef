package produce

import (
	"errors"
	"os"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/kafka/internal/cluster"
	"github.com/eventbus-go/eventbus/kafka/internal/kerr"
)

// round is one worker's requests: each carries the heads of the partitions that
// it took, or what follows them.
type round struct {
	sender *sender
	conn   *cluster.Conn
	parts  []*partition // that were taken
	// flights are the requests under way, the oldest first; spare ones are used again.
	flights, spare []*flight
	req            produceRequest
	resp           kmsg.ProduceResponse
	timer          *time.Timer // for waitForWork
	noYield        int         // requests before which it does not yield
	watch          *leaderWatch
	// The arguments of watch.begin, made once.
	sent func() []*partition
	stop func()
	// more is signalled when there is something to follow. expect has the requests whose
	// responses are to be read, and come has these; see cruise.
	more    chan struct{}
	expect  chan *flight
	come    chan received
	stopped atomic.Bool // by stop
}

// newRound returns the requests of one connection. Its memory is reused from one to the
// next.
func newRound(s *sender, c *cluster.Conn, w *leaderWatch) *round {
	r := &round{sender: s, conn: c, timer: time.NewTimer(idleAfter), watch: w, more: make(chan struct{}, 1)}
	r.timer.Stop()
	r.sent = r.waiting
	r.stop = func() {
		r.stopped.Store(true)
		_ = c.SetDeadline(cluster.Past)
	}
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
	r.parts = r.parts[:0]
	taken := 0
	limit := r.sender.producer.cfg.RequestBytes
	for len(r.parts) < len(ready) {
		p := ready[len(r.parts)]
		size := p.next()
		if len(r.parts) > 0 && taken+size > limit {
			break
		}
		taken += size
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

// run sends a request, and what follows it, and acts on the responses. An error is one
// of the connection, which must not be used again.
func (r *round) run() error {
	used := r.conn.Link.Correlation > 0
	// It may have been stopped just as the last response came.
	r.stopped.Store(false)
	f := r.newFlight()
	for _, p := range r.parts {
		f.add(p, p.head)
	}
	err := r.launch(f)
	switch {
	case errors.Is(err, errMuted):
		err, r.flights = nil, nil
		for _, p := range r.parts {
			r.sender.offer(p, false)
		}
	case err != nil:
	case r.sender.far():
		err = r.cruise()
	default:
		err = r.land()
	}
	if err != nil {
		r.fail(err, used)
	}
	return err
}

// fail acts on a connection that was lost with requests under way.
func (r *round) fail(err error, used bool) {
	// A connection that has worked before, and is lost, may have died while
	// nobody used it: whether the broker is well shows when the next is made.
	if !used || !kerr.LostConnection(err) || errors.Is(err, os.ErrDeadlineExceeded) {
		r.sender.report(r.flights[0].begun, err)
	}
	fatal := !kerr.Retriable(err) && !r.flights[0].wrote && r.conn.Ctx.Err() == nil
	for _, f := range r.flights {
		for i := range f.carried {
			p := f.carried[i].part
			// Once the request was on its way, only the broker's answer says that the
			// batch is in the log, or is not.
			p.unanswered(f.carried[i].batch, f.wrote, func() {
				if fatal {
					p.retryOrLose(err, nil)
				} else {
					p.retry(err)
				}
			})
		}
	}
	r.flights = nil
}

// errMuted says that the broker wants no requests now (KIP-219), so that none was
// sent.
var errMuted = errors.New("the broker wants no requests now")

// accept acts on the response to a flight. What it says of the broker comes first, so that
// a caller that goes on after the outcome of a record finds it taken into account.
func (r *round) accept(f *flight) {
	if d := cluster.Throttle(r.resp.ThrottleMillis); d > 0 {
		r.sender.mute(d)
	}
	r.sender.producer.report(r.sender.broker, r.health())
	// What is answered is forgotten: its partition may be passed on, and another worker have
	// it at once.
	f.left = f.carried
	left := len(f.left)
	for i := range r.resp.Topics {
		topic := &r.resp.Topics[i]
		for j := range topic.Partitions {
			answer := &topic.Partitions[j]
			if p, b := f.answers(topic, answer.Partition); p != nil {
				left--
				p.answered(b, answer)
			}
		}
	}
	if left > 0 {
		f.unanswered()
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
