package kafka

import (
	"context"
	"maps"
	"sync"
	"time"
)

const (
	// eagerWorkers may have a request to one broker under way at any time.
	// More requests would carry less each.
	eagerWorkers = 2
	// mostWorkers may, when those before them are slow.
	mostWorkers = 8
	// slowAfter is when a partition that finds all workers busy gets another.
	slowAfter = 5 * time.Millisecond
	// idleAfter is when a worker without work gives its connection back.
	idleAfter = 10 * time.Second
)

// sender sends to one broker what is ready for it. Its workers each hold a
// connection for as long as there is work, and send one request at a time with
// all that is ready.
type sender struct {
	producer *Producer
	broker   int32
	// wake has a token for each worker that is called for.
	wake chan struct{}

	mu      sync.Mutex
	ready   []*partition
	workers int
	idle    int // workers that wait for a token, without those called for
	// rounds counts how often partitions were taken. The growth timer compares
	// it to see whether all workers have been busy since it was set.
	rounds  int
	growth  *time.Timer
	growing bool
	muted   time.Time // until then the broker wants nothing (KIP-219)
}

// sender is the sender of a broker.
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

// offer takes over a ready partition.
func (s *sender) offer(p *partition) {
	s.mu.Lock()
	s.ready = append(s.ready, p)
	s.call()
	s.mu.Unlock()
}

// call sees to it that somebody will take what is ready. The caller holds mu.
func (s *sender) call() {
	switch {
	case s.idle > 0:
		s.idle--
		s.wake <- struct{}{}
	case s.workers < eagerWorkers:
		s.hire()
	default:
		s.watch()
	}
}

func (s *sender) hire() {
	if s.producer.spawn(s.work) {
		s.workers++
	}
}

// watch sets the growth timer.
func (s *sender) watch() {
	if s.growing || s.workers >= mostWorkers {
		return
	}
	s.growing = true
	rounds := s.rounds
	s.growth = time.AfterFunc(slowAfter, func() { s.grow(rounds) })
}

// grow adds a worker if none has taken anything since the timer was set: they
// all wait for the broker, or for a connection to it.
func (s *sender) grow(rounds int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.growing = false
	if len(s.ready) == 0 || s.idle > 0 || time.Now().Before(s.muted) {
		return
	}
	if s.rounds == rounds && s.workers < mostWorkers {
		s.hire()
	}
	s.watch()
}

// work is a worker.
func (s *sender) work() {
	for s.serve() {
	}
}

// serve is the life of one connection. It returns whether the worker goes on
// with another.
func (s *sender) serve() bool {
	// The dial must not outlast the partitions that wait for it.
	ctx, cancel := context.WithCancel(s.producer.ctx)
	defer cancel()
	limit := time.AfterFunc(s.patience(), cancel)
	defer limit.Stop()
	served := false
	err := s.producer.client.hold(ctx, s.broker, func(w *conn) error {
		served = true
		limit.Stop()
		r := newRound(s, w)
		for {
			if !s.take(r) {
				return nil
			}
			if err := r.run(); err != nil {
				return err
			}
			if w.link.retired() {
				return nil
			}
		}
	})
	if !served {
		s.unreachable(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.ready) == 0 || s.producer.ctx.Err() != nil {
		s.workers--
		return false
	}
	return true
}

// patience is how long to wait for a connection: as long as the connections'
// own limits, or until the first delivery time of what is ready is over.
func (s *sender) patience() time.Duration {
	s.mu.Lock()
	var first *partition
	if len(s.ready) > 0 {
		first = s.ready[0]
	}
	s.mu.Unlock()
	patience := 2 * s.producer.client.cfg.DialTimeout
	if first != nil {
		patience = min(patience, max(time.Until(first.deadline()), 0))
	}
	return patience
}

// unreachable fails the attempt of what is ready.
func (s *sender) unreachable(err error) {
	s.mu.Lock()
	parts := s.ready
	s.ready = nil
	s.rounds++
	s.mu.Unlock()
	if s.producer.ctx.Err() == nil {
		s.report(err)
	}
	for _, p := range parts {
		p.begin()
		if p.head != nil {
			p.failed(err, nil)
		}
	}
}

// report tells the gate how a request ended.
func (s *sender) report(err error) {
	if gate := s.producer.cfg.Gate; gate != nil {
		gate.Report(s.broker, infrastructure(err))
	}
}

// take fills r with the partitions that are ready, waiting for some. It returns
// false when the worker should give its connection back.
func (s *sender) take(r *round) bool {
	for {
		if !s.unmuted() {
			return false
		}
		s.mu.Lock()
		if len(s.ready) > 0 {
			s.rounds++
			s.ready = r.fill(s.ready)
			if len(s.ready) > 0 {
				s.call()
			}
			s.mu.Unlock()
			if r.settle() {
				return true
			}
			continue
		}
		if s.workers > eagerWorkers || s.producer.ctx.Err() != nil {
			s.mu.Unlock()
			return false
		}
		s.idle++
		s.mu.Unlock()
		if !s.rest(r.idle) {
			return false
		}
	}
}
