package produce

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/eventbus-go/eventbus/kafka/internal/cluster"
)

const (
	// bulkWorkers may have a request to one broker under way when there is
	// much to send. Otherwise one has: while it waits for the answer the next
	// request gathers what all partitions have, and fewer, fuller requests cost
	// the client and the broker less.
	bulkWorkers = 4
	// bulk is how many bytes of one partition are much.
	bulk = 16 << 10
	// mostWorkers may, when the broker or the way to it is slow.
	mostWorkers = 8
	// slowAfter is for how long a partition waits for an answer to others
	// before another worker is called for.
	slowAfter = time.Millisecond
	// idleAfter is when a worker without work gives its connection back.
	idleAfter = 10 * time.Second
)

// sender sends to one broker what is ready for it. Its workers each hold a
// connection for as long as there is work, and send one request at a time with
// all that is ready.
type sender struct {
	// producer and broker, a node id, never change.
	producer *Producer
	broker   int32
	// wake has a token for each worker that is called for.
	wake chan struct{}

	// mu guards what follows. It is taken under no lock of a partition, and none of a
	// partition is taken under it but to read a deadline or a size.
	mu sync.Mutex
	// ready are the partitions that wait for a worker, in order.
	// workers are those that run, idle ones too.
	ready   []*partition
	workers int
	idle    int // workers that wait for a token, without those called for
	// rounds counts how often partitions were taken. The growth timer compares
	// it to see whether all workers have been busy since it was set.
	rounds  int
	growth  *time.Timer
	growing bool
	muted   time.Time // until then the broker wants no requests (KIP-219)
	health  health
	// expiry runs when the first of what is ready is overdue, at expiresAt; zero if
	// it is not set.
	expiry    *time.Timer
	expiresAt time.Time
}

// sender returns the sender of a broker, and makes it on first use.
func (p *Producer) sender(broker int32) *sender {
	if s := (*p.senders.Load())[broker]; s != nil {
		return s
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	senders := maps.Clone(*p.senders.Load())
	if s := senders[broker]; s != nil {
		return s
	}
	if senders == nil {
		senders = make(map[int32]*sender)
	}
	s := &sender{producer: p, broker: broker, wake: make(chan struct{}, mostWorkers)}
	senders[broker] = s
	p.senders.Store(&senders)
	return s
}

// offer takes over a ready partition. much reports that it has bulk bytes or more to
// send.
func (s *sender) offer(p *partition, much bool) {
	deadline := p.deadline()
	s.mu.Lock()
	s.ready = append(s.ready, p)
	s.expireAt(deadline)
	s.callWorker(much)
	s.mu.Unlock()
}

// mutedUntil returns until when the broker wants no requests, or the zero time. The
// caller holds mu.
func (s *sender) mutedUntil() time.Time {
	if !s.muted.IsZero() && !time.Now().Before(s.muted) {
		s.muted = time.Time{}
	}
	return s.muted
}

// expireAt sets the expiry timer, unless it is set to an earlier time. The caller
// holds mu.
func (s *sender) expireAt(deadline time.Time) {
	if deadline.IsZero() || !s.expiresAt.IsZero() && !deadline.Before(s.expiresAt) {
		return
	}
	// A timer of its own: while all workers wait for the broker none looks at ready.
	s.expiresAt = deadline
	if s.expiry == nil {
		s.expiry = time.AfterFunc(time.Until(deadline), func() { s.producer.spawn(s.expire) })
		return
	}
	s.expiry.Reset(time.Until(deadline))
}

// expire fails what is ready and overdue. Workers look at deadlines when they take
// partitions, which none does while all of them wait for connections or answers.
func (s *sender) expire() {
	now := time.Now()
	var overdue []*partition
	s.mu.Lock()
	s.expiresAt = time.Time{}
	s.ready = slices.DeleteFunc(s.ready, func(p *partition) bool {
		deadline := p.deadline()
		if now.Before(deadline) {
			s.expireAt(deadline)
			return false
		}
		overdue = append(overdue, p)
		return true
	})
	s.mu.Unlock()
	for _, p := range overdue {
		p.overdue(now)
	}
}

// stop stops the timers.
func (s *sender) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.expiry != nil {
		s.expiry.Stop()
	}
}

// callWorker sees to it that a worker will take what is ready. The caller holds mu.
func (s *sender) callWorker(much bool) {
	most := 1
	if much {
		most = bulkWorkers
	}
	if s.workers-s.idle < most {
		s.addWorker()
	} else {
		s.watch()
	}
}

// addWorker wakes a worker that is idle, or starts one. The caller holds mu.
func (s *sender) addWorker() {
	// The token is never lost: wake holds as many as there can be workers.
	if s.idle > 0 {
		s.idle--
		s.wake <- struct{}{}
	} else {
		s.startWorker()
	}
}

// startWorker starts a worker, unless the producer has ended: then what is ready stays
// for Close to fail. The caller holds mu.
func (s *sender) startWorker() {
	if s.producer.spawn(s.work) {
		s.workers++
	}
}

// watch sets the growth timer, which notices that all workers wait although something
// is ready. It is a timer and not a count of requests, because a fast broker needs one
// worker however many partitions there are. The caller holds mu.
func (s *sender) watch() {
	if s.growing || s.workers-s.idle >= mostWorkers {
		return
	}
	s.growing = true
	rounds := s.rounds
	s.growth = time.AfterFunc(slowAfter, func() { s.grow(rounds) })
}

// grow calls for a worker if none has taken anything since the timer was set:
// they all wait for the broker, or for a connection to it.
func (s *sender) grow(rounds int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.growing = false
	if len(s.ready) == 0 {
		return
	}
	if s.rounds == rounds && s.workers-s.idle < mostWorkers {
		s.addWorker()
	}
	s.watch()
}

// work runs a worker: one connection after another, as long as there is work. A worker
// leaves by itself, so a producer that is idle holds no connection and no goroutine.
func (s *sender) work() {
	for s.serve() {
	}
}

// serve uses one connection until it fails or is idle for long. It reports whether
// the worker should go on with another.
func (s *sender) serve() bool {
	// The dial must not outlast the partitions that wait for it.
	ctx, cancel := context.WithCancel(s.producer.ctx)
	defer cancel()
	begun := time.Now()
	limit := time.AfterFunc(s.patience(), cancel)
	defer limit.Stop()
	// While the connection is made, the partitions that are ready wait for it.
	watch := newLeaderWatch(s)
	defer watch.end()
	watch.begin(begun, s.waiters, cancel)
	served := false
	err := s.producer.client.Hold(ctx, s.broker, func(w *cluster.Conn) error {
		served = true
		limit.Stop()
		watch.end()
		r := newRound(s, w, watch)
		for {
			r.yield()
			if !s.take(r) {
				return nil
			}
			if err := r.run(); err != nil {
				return err
			}
			if w.Link.Retired() {
				return nil
			}
		}
	})
	// Nothing was sent, so the partitions that are ready fail; those of requests that
	// failed have been dealt with by run.
	if !served {
		if ctx.Err() != nil && s.producer.ctx.Err() == nil {
			err = fmt.Errorf("no connection to %s within %s: %w", s.producer.client.BrokerName(s.broker), time.Since(begun).Round(time.Millisecond), os.ErrDeadlineExceeded)
		}
		s.unreachable(begun, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	// Under the lock in which offer looks at workers: what comes now calls for another.
	if len(s.ready) == 0 || s.producer.ctx.Err() != nil {
		s.workers--
		return false
	}
	return true
}

// patience returns how long to wait for a connection: as long as the connections'
// own limits, or until the delivery time of what is ready is over.
func (s *sender) patience() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	patience := 2 * s.producer.client.Options.DialTimeout
	if len(s.ready) > 0 {
		patience = min(patience, max(time.Until(s.ready[0].deadline()), 0))
	}
	return patience
}

// unreachable fails the attempt of what is ready, since a connection that was
// begun at begun could not be made.
func (s *sender) unreachable(begun time.Time, err error) {
	s.mu.Lock()
	parts := s.ready
	s.ready = nil
	s.rounds++
	s.mu.Unlock()
	if s.producer.ctx.Err() == nil {
		s.report(begun, err)
	}
	for _, p := range parts {
		p.begin()
		if p.head != nil {
			p.retryOrLose(err, nil)
		}
	}
}

// take fills r with the partitions that are ready, waiting for some. It returns
// false when the worker should give its connection back.
func (s *sender) take(r *round) bool {
	for {
		s.mu.Lock()
		if until := s.mutedUntil(); !until.IsZero() && len(s.ready) > 0 {
			parts := s.ready
			s.ready = nil
			s.mu.Unlock()
			for _, p := range parts {
				p.wait(until)
			}
			continue
		}
		if len(s.ready) > 0 {
			s.rounds++
			s.ready = r.fill(s.ready)
			if len(s.ready) > 0 {
				s.callWorker(true)
			}
			s.mu.Unlock()
			if r.begin() {
				return true
			}
			continue
		}
		if s.workers > bulkWorkers || s.producer.ctx.Err() != nil {
			s.mu.Unlock()
			return false
		}
		s.idle++
		s.mu.Unlock()
		if !s.waitForWork(r.timer) {
			return false
		}
	}
}

// waitForWork waits for a token, which it returns true for. It returns false when none
// came for a while, or the producer ends.
func (s *sender) waitForWork(timer *time.Timer) bool {
	timer.Reset(idleAfter)
	defer timer.Stop()
	select {
	case <-s.wake:
		return true
	case <-timer.C:
	case <-s.producer.ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	// Each worker that is idle is counted in idle or has a token in wake. If one
	// is there now, it may be meant for this worker.
	select {
	case <-s.wake:
		return true
	default:
		s.idle--
		return false
	}
}

// mute sends nothing for d, as the broker asks for in a response. Until then
// partitions wait where their deadlines are kept, and not for a worker.
func (s *sender) mute(d time.Duration) {
	s.producer.client.Throttled.Add(int64(d))
	s.mu.Lock()
	defer s.mu.Unlock()
	if until := time.Now().Add(d); until.After(s.muted) {
		s.muted = until
	}
}
