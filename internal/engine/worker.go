package engine

import (
	"sync"
	"time"

	"github.com/eventbus-go/eventbus/resilience"
)

// worker runs attempts of one subscription, one at a time.
type worker struct {
	sub *Subscription

	mu        sync.Mutex
	current   *attemptContext // of the attempt under way
	partition *partition
	started   time.Time

	lanes   []*lane
	items   []*item
	runs    []int // how many of items are of lanes[i]
	attempt Attempt
}

func (w *worker) work() {
	for {
		w.lanes = w.sub.take(w, w.lanes[:0], w.sub.BatchSize)
		if w.lanes == nil {
			return
		}
		if !w.sub.engine.consumer.Alive() {
			w.postpone()
			continue
		}
		w.run()
	}
}

// postpone puts lanes back for a while: the group may have given the partition
// to somebody else, which the membership will learn with its next heartbeat.
func (w *worker) postpone() {
	for _, l := range w.lanes {
		p := l.partition
		p.mu.Lock()
		if p.state == partitionActive {
			p.park(l, laneParked, time.Now().Add(postponed))
		}
		p.mu.Unlock()
	}
}

// postponed is how long lanes wait before they look again whether the member is
// still counted in.
const postponed = 250 * time.Millisecond

// run makes one attempt at the heads of the lanes that were taken.
func (w *worker) run() {
	p := w.lanes[0].partition
	ticket, ok := w.begin(p)
	if !ok {
		return
	}
	e := w.sub.engine
	w.attempt = Attempt{Records: w.attempt.Records[:0], Number: 1, Epoch: p.epoch}
	for _, it := range w.items {
		w.attempt.Records = append(w.attempt.Records, it.record)
	}
	if f := w.items[0].fail; f != nil {
		w.attempt.Number = f.attempts + 1
	}
	ctx := newAttemptContext(e.base, w.sub.Timeout)
	w.mu.Lock()
	w.current, w.partition, w.started = ctx, p, time.Now()
	w.mu.Unlock()
	err := w.sub.Handle(ctx, &w.attempt)
	took := time.Since(w.started)
	w.mu.Lock()
	w.current, w.partition = nil, nil
	w.mu.Unlock()
	ctx.finish()
	w.settle(ctx, p, ticket, took, err)
}

// begin takes the items of the attempt from the lanes' heads. Lanes that may
// not run now are left out: of a partition that is going, or before an open
// breaker.
func (w *worker) begin(p *partition) (ticket resilience.Ticket, ok bool) {
	s := w.sub
	p.mu.Lock()
	if p.state != partitionActive {
		p.mu.Unlock()
		return ticket, false
	}
	w.items, w.runs = w.items[:0], w.runs[:0]
	kept := w.lanes[:0]
	var back []*lane
	for _, l := range w.lanes {
		// What failed before is tried alone; what follows it waits its turn.
		alone := l.head.fail != nil
		if len(w.items) >= s.BatchSize || alone && len(w.items) > 0 || len(w.items) > 0 && w.items[0].fail != nil {
			back = append(back, l)
			continue
		}
		l.state = laneRunning
		p.running++
		n := 0
		for it := l.head; it != nil && it.sub == s && len(w.items) < s.BatchSize && (n == 0 || it.fail == nil); it = it.next {
			w.items = append(w.items, it)
			n++
			if alone {
				break
			}
		}
		w.runs = append(w.runs, n)
		kept = append(kept, l)
	}
	p.mu.Unlock()
	w.lanes = kept
	if len(back) > 0 {
		s.ready(p, back...)
	}
	if ticket, ok = s.Breaker.Allow(w.lanes[0].key); ok {
		return ticket, true
	}
	p.mu.Lock()
	for _, l := range w.lanes {
		if p.rest(l) {
			p.park(l, laneGated, time.Time{})
			s.gated.add(l)
		}
	}
	p.mu.Unlock()
	return ticket, false
}
