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

// round is a worker's requests on one connection. Each carries the heads of the partitions that
// the worker took, or batches behind them.
type round struct {
	sender *sender
	conn   *cluster.Conn
	parts  []*partition // the taken partitions
	// flights are the requests in flight, oldest first; spare ones are reused.
	flights, spare []*flight
	req            produceRequest
	resp           kmsg.ProduceResponse
	timer          *time.Timer // for waitForWork
	noYield        int         // requests left before it yields again
	watch          *leaderWatch
	// Arguments of watch.begin, made once.
	sent func() []*partition
	stop func()
	// more is signalled when there is something to follow. expect has the requests whose
	// responses must be read, and come has those responses; see pipeline.
	more    chan struct{}
	expect  chan *flight
	come    chan received
	stopped atomic.Bool // set by stop
}

// newRound returns the round of one connection. Its memory is reused from request to request.
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

// yield lets other goroutines run before a request is composed. A publisher that just got its
// outcome may publish again at once, and that record then goes with this request, not after it.
// If nothing else runs it costs nothing. If every core is busy with longer work it would cost a
// turn of all of that, so once it has, it is skipped for a while.
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

// fill takes as many ready partitions as fit into a request, and returns the rest. The caller
// holds the sender's lock.
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

// begin closes the batches to send and fails those whose delivery time is over. It reports
// whether anything is left to send.
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

// run sends a request and what follows it, and acts on the responses. An error means that the
// connection must not be used again.
func (r *round) run() error {
	used := r.conn.Link.Correlation > 0
	// It may have been stopped just as the last response came.
	r.stopped.Store(false)
	f := r.newFlight()
	for _, p := range r.parts {
		f.add(p, p.head)
	}
	err := r.send(f)
	switch {
	case errors.Is(err, errMuted):
		err, r.flights = nil, nil
		for _, p := range r.parts {
			r.sender.offer(p, false)
		}
	case err != nil:
	case r.sender.far():
		err = r.pipeline()
	default:
		err = r.awaitResponse()
	}
	if err != nil {
		r.fail(err, used)
	}
	return err
}

// fail acts on a connection that was lost with requests in flight.
func (r *round) fail(err error, used bool) {
	// A connection that has worked before may have died while nobody used it; the next one will
	// show whether the broker works.
	if !used || !kerr.LostConnection(err) || errors.Is(err, os.ErrDeadlineExceeded) {
		r.sender.report(r.flights[0].begun, err)
	}
	fatal := !kerr.Retriable(err) && !r.flights[0].wrote && r.conn.Ctx.Err() == nil
	for _, f := range r.flights {
		for i := range f.carried {
			p := f.carried[i].part
			// Once the request was on its way, only a broker's answer can tell whether the
			// batch is in the log.
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

// errMuted means that nothing was sent since the broker wants no requests now (KIP-219).
var errMuted = errors.New("the broker wants no requests now")

// accept acts on the response to a flight. It first handles what concerns the broker, so that a
// caller that continues after a record's outcome finds that done.
func (r *round) accept(f *flight) {
	if d := cluster.Throttle(r.resp.ThrottleMillis); d > 0 {
		r.sender.mute(d)
	}
	r.sender.producer.report(r.sender.broker, r.health())
	// Forget what is answered: its partition may be passed on, and another worker may own it at
	// once.
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

// health returns what a response says about the broker's health: nil if it did its work for any
// of the partitions.
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
