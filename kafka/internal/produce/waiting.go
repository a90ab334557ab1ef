package produce

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/eventbus-go/eventbus/kafka/internal/cluster"
	"github.com/eventbus-go/eventbus/kafka/internal/kerr"
	"github.com/eventbus-go/eventbus/transport"
)

// waiting holds the partitions of a producer that wait for a retry, and looks up the leaders of
// those without one. While partitions wait nothing runs; a timer is set for the first of them.
type waiting struct {
	producer *Producer

	// mu guards the fields below. Partitions belong to the goroutine that takes them out.
	mu      sync.Mutex
	parts   []*partition
	timer   *time.Timer
	at      time.Time // when timer fires; zero if it is not set
	stopped bool
}

// add adds a partition that is due at part.due.
func (w *waiting) add(part *partition) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.parts = append(w.parts, part)
	w.set(part.due)
}

// set makes the timer fire at due or earlier. One timer serves all partitions: otherwise a
// cluster that is down would cost one for each. The caller holds mu.
func (w *waiting) set(due time.Time) {
	if w.stopped || !w.at.IsZero() && !due.Before(w.at) {
		return
	}
	w.at = due
	if w.timer == nil {
		w.timer = time.AfterFunc(time.Until(due), func() { w.producer.spawn(w.fire) })
		return
	}
	w.timer.Reset(time.Until(due))
}

// stop stops the timer. The partitions stay, for Close to fail.
func (w *waiting) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
	if w.timer != nil {
		w.timer.Stop()
	}
}

// fire passes on the partitions that are due.
func (w *waiting) fire() {
	now := time.Now()
	var due, leaderless []*partition
	w.mu.Lock()
	w.at = time.Time{}
	w.parts = slices.DeleteFunc(w.parts, func(p *partition) bool {
		if p.due.After(now) {
			w.set(p.due)
			return false
		}
		due = append(due, p)
		return true
	})
	w.mu.Unlock()
	for _, p := range due {
		switch {
		case p.overdue(now):
		case p.leaderless:
			leaderless = append(leaderless, p)
		default:
			p.offer(false)
		}
	}
	if len(leaderless) > 0 {
		w.find(leaderless)
	}
}

// find looks up the leaders of partitions, in one request. It waits for the answer only for a
// while, and after the first time for a shorter one: a late answer counts the next time.
func (w *waiting) find(parts []*partition) {
	var names []string
	var deadline time.Time
	begun, limit := time.Now(), cluster.LookAgainAfter
	for _, p := range parts {
		if p.searches == 0 {
			limit = sendPatience
		}
		if !slices.Contains(names, p.topic.name) {
			names = append(names, p.topic.name)
		}
		if d := p.deadline(); deadline.IsZero() || d.Before(deadline) {
			deadline = d
		}
	}
	if until := begun.Add(limit); until.Before(deadline) {
		deadline = until
	}
	c := w.producer.client
	ctx, cancel := context.WithDeadline(w.producer.ctx, deadline)
	defer cancel()
	err := c.Refresh(ctx, names...)
	silent := errors.Is(err, context.DeadlineExceeded)
	for _, name := range names {
		w.producer.relearn(name)
	}
	now := time.Now()
	// While no leader is known nothing is sent, so report that to the gate here, once for each
	// broker that led.
	reported := make(map[int32]bool)
	for _, p := range parts {
		led := p.leader.Load()
		failed := infrastructure(p.resume(c.KnownTopic(p.topic.name), err, now))
		if silent {
			failed = fmt.Errorf("no broker answers a request for metadata: %w", os.ErrDeadlineExceeded)
		}
		if failed != nil && !reported[led] && w.producer.ctx.Err() == nil {
			reported[led] = true
			w.producer.sender(led).report(begun, failed)
		}
	}
}

// resume continues with a partition that has lost its leader, after the metadata was refreshed,
// and returns why it can't. t may be nil.
func (p *partition) resume(t *cluster.TopicMeta, err error, now time.Time) error {
	if err == nil && t != nil {
		err = t.Err
	}
	leader := int32(-1)
	switch {
	case err != nil:
	case t == nil:
		err = cluster.MissingPartition(p.topic.name, p.index, 0)
	case int(p.index) >= len(t.Partitions):
		err = cluster.MissingPartition(p.topic.name, p.index, len(t.Partitions))
	default:
		if leader = t.Partitions[p.index].Leader; leader < 0 {
			err = kerr.LeaderNotAvailable
		}
	}
	// A missing topic is final only after a while: brokers learn about a new one one after
	// another, and a late one reports it as missing.
	gone := errors.Is(err, transport.ErrTopicMissing)
	if int(p.index) >= p.topic.layout.Load().n {
		p.missing = now.Add(-missingGrace) // a topic with fewer partitions has replaced this one
	}
	switch {
	case leader >= 0:
		p.leaderless, p.missing, p.searches = false, time.Time{}, 0
		p.leader.Store(leader)
		p.offer(false)
	case p.overdue(now):
	case gone && p.missing.IsZero():
		p.missing = now
		p.search(err, now)
	case gone && now.Sub(p.missing) >= missingGrace:
		p.missing = time.Time{}
		// There is no log that could have anything.
		p.notAppended()
		p.restamp()
		p.lose(&DeliveryError{What: "gave up", Cause: err})
	case gone || kerr.Retriable(err) || errors.Is(err, context.DeadlineExceeded):
		p.search(err, now)
	default:
		p.lose(&DeliveryError{What: "no leader is known", Cause: err})
	}
	return err
}

// search waits before the leader is looked up again. It keeps the most informative cause: that
// brokers don't answer says less than an earlier failure.
func (p *partition) search(err error, now time.Time) {
	p.searches++
	if p.cause == nil || !errors.Is(err, context.DeadlineExceeded) {
		p.cause = err
	}
	p.wait(now.Add(min(retryAfter(p.searches), cluster.LookAgainAfter)))
}
