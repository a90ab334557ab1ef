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
	// bulkWorkers may have requests to one broker in flight when there is much to send.
	// Otherwise one may: while it waits for the answer, the next request collects the records
	// of all partitions, and fewer, fuller requests cost the client and the broker less.
	bulkWorkers = 4
	// bulk is the number of bytes of one partition from which there is much to send.
	bulk = 16 << 10
	// mostWorkers is the limit when the broker or the network is slow.
	mostWorkers = 8
	// slowAfter is how long a partition waits for an answer to others before another worker is
	// called.
	slowAfter = time.Millisecond
	// idleAfter is when a worker without work returns its connection.
	idleAfter = 10 * time.Second
)

// sender sends ready partitions to one broker. Each of its workers holds a connection as long
// as there is work, and sends one request at a time with everything that is ready.
type sender struct {
	// producer and broker, a node id, never change.
	producer *Producer
	broker   int32
	// wake has a token for each worker that is called.
	wake chan struct{}

	// mu guards the fields below. It is not acquired while holding a partition's lock. While
	// holding it, a partition's lock is acquired only to read a deadline or a size.
	mu sync.Mutex
	// ready are the partitions that wait for a worker, in order. workers counts the running
	// ones, including idle ones.
	ready   []*partition
	workers int
	idle    int // workers that wait for a token, not counting those called
	// rounds counts how often partitions were taken. The growth timer compares it to see
	// whether all workers have been busy since it was set.
	rounds  int
	growth  *time.Timer
	growing bool
	muted   time.Time // until when the broker wants no requests (KIP-219)
	health  health
	// expiry runs when the first ready partition is overdue, at expiresAt; zero if it is not set.
	expiry    *time.Timer
	expiresAt time.Time
}

// sender returns the sender of a broker, creating it on first use.
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

// offer takes over a ready partition. much is set if it has at least bulk bytes to send.
func (s *sender) offer(p *partition, much bool) {
	deadline := p.deadline()
	s.mu.Lock()
	s.ready = append(s.ready, p)
	s.expireAt(deadline)
	s.callWorker(much)
	s.mu.Unlock()
}

// mutedUntil returns until when the broker wants no requests, or the zero time. The caller
// holds mu.
func (s *sender) mutedUntil() time.Time {
	if !s.muted.IsZero() && !time.Now().Before(s.muted) {
		s.muted = time.Time{}
	}
	return s.muted
}

// expireAt sets the expiry timer, unless it is already set to an earlier time. The caller holds mu.
func (s *sender) expireAt(deadline time.Time) {
	if deadline.IsZero() || !s.expiresAt.IsZero() && !deadline.Before(s.expiresAt) {
		return
	}
	// A separate timer: while all workers wait for the broker, none checks ready.
	s.expiresAt = deadline
	if s.expiry == nil {
		s.expiry = time.AfterFunc(time.Until(deadline), func() { s.producer.spawn(s.expire) })
		return
	}
	s.expiry.Reset(time.Until(deadline))
}

// expire fails ready partitions that are overdue. Workers check deadlines when they take
// partitions, which they don't while all of them wait for connections or answers.
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

// callWorker makes sure that a worker will take what is ready. The caller holds mu.
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

// addWorker wakes an idle worker, or starts one. The caller holds mu.
func (s *sender) addWorker() {
	// The token is never lost: wake has room for one per worker.
	if s.idle > 0 {
		s.idle--
		s.wake <- struct{}{}
	} else {
		s.startWorker()
	}
}

// startWorker starts a worker. If the producer has ended it does not, and what is ready stays
// for Close to fail. The caller holds mu.
func (s *sender) startWorker() {
	if s.producer.spawn(s.work) {
		s.workers++
	}
}

// watch sets the growth timer, which notices that all workers wait although something is ready.
// It is a timer, not a count of requests, because a fast broker needs one worker however many
// partitions there are. The caller holds mu.
func (s *sender) watch() {
	if s.growing || s.workers-s.idle >= mostWorkers {
		return
	}
	s.growing = true
	rounds := s.rounds
	s.growth = time.AfterFunc(slowAfter, func() { s.grow(rounds) })
}

// grow calls a worker if none has taken anything since the timer was set, which means that all
// of them wait for the broker or for a connection.
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

// work runs a worker: one connection after another, as long as there is work. Workers end by
// themselves, so an idle producer holds no connection and no goroutine.
func (s *sender) work() {
	for s.serve() {
	}
}

// serve uses one connection until it fails or has been idle for long. It reports whether the
// worker should continue with another.
func (s *sender) serve() bool {
	// The dial must not outlast the partitions that wait for it.
	ctx, cancel := context.WithCancel(s.producer.ctx)
	defer cancel()
	begun := time.Now()
	limit := time.AfterFunc(s.patience(), cancel)
	defer limit.Stop()
	// While the connection is established, the ready partitions wait for it.
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
	// Nothing was sent, so the ready partitions fail. Those of failed requests have been
	// handled by run.
	if !served {
		if ctx.Err() != nil && s.producer.ctx.Err() == nil {
			err = fmt.Errorf("no connection to %s within %s: %w", s.producer.client.BrokerName(s.broker), time.Since(begun).Round(time.Millisecond), os.ErrDeadlineExceeded)
		}
		s.unreachable(begun, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	// Under the lock under which offer checks workers: partitions that come now call another one.
	if len(s.ready) == 0 || s.producer.ctx.Err() != nil {
		s.workers--
		return false
	}
	return true
}

// patience returns how long to wait for a connection: as long as the connections' own limits,
// or until the delivery time of the ready partitions is over.
func (s *sender) patience() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	patience := 2 * s.producer.client.Options.DialTimeout
	if len(s.ready) > 0 {
		patience = min(patience, max(time.Until(s.ready[0].deadline()), 0))
	}
	return patience
}

// unreachable fails the attempt of the ready partitions, since a connection begun at begun
// could not be established.
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

// take fills r with ready partitions, waiting for some. It returns false if the worker should
// return its connection.
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

// waitForWork waits for a token. It returns false if none came for a while, or if the producer
// ends.
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
	// Each idle worker is either counted in idle or has a token in wake. A token that is there
	// now may be meant for this worker.
	select {
	case <-s.wake:
		return true
	default:
		s.idle--
		return false
	}
}

// mute stops sending for d, as requested by the broker in a response. Until then partitions
// wait where their deadlines are watched, not for a worker.
func (s *sender) mute(d time.Duration) {
	s.producer.client.Throttled.Add(int64(d))
	s.mu.Lock()
	defer s.mu.Unlock()
	if until := time.Now().Add(d); until.After(s.muted) {
		s.muted = until
	}
}
