package engine

import (
	"sync"
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

// intake routes the records of a batch and appends them to their lanes.
func (e *Engine) intake(b *transport.Batch) {
	p := e.partition(b.Partition)
	if p == nil || p.epoch != b.Epoch {
		// Fetched before a revocation and polled after it: its new owner
		// fetches it again.
		if b.Release != nil {
			b.Release()
		}
		return
	}
	in := intakePool.Get().(*intakeBuffers)
	defer in.free()
	routes := in.routes[:0]
	skipped := map[string]int64(nil)
	for i := range b.Records {
		r := e.config.Route(&b.Records[i])
		if r.End == Skip {
			if skipped == nil {
				skipped = make(map[string]int64)
			}
			skipped[r.Reason]++
		}
		routes = append(routes, r)
	}
	in.routes = routes
	in.lanes = p.append(b, routes, in.lanes[:0])
	in.setOff(e, p)
	for reason, n := range skipped {
		e.observer.Skipped(b.Partition, reason, n)
	}
	if e.pool.full() || p.needsCheck() {
		e.balance()
	}
}

// append opens the batch's records in the tracker and puts them in lanes. It
// returns the lanes that were idle.
func (p *partition) append(b *transport.Batch, routes []Route, idle []*lane) []*lane {
	now := time.Now()
	mem := &batch{items: make([]item, len(b.Records)), release: b.Release}
	mem.left.Store(1) // held by this function until all items are counted
	p.mu.Lock()
	defer func() {
		p.mu.Unlock()
		mem.drop()
	}()
	if p.state != partitionActive {
		return idle
	}
	p.lastIntake = now
	p.lastStable = b.LastStable
	seen := p.tracker.end // what was taken in before is not taken in twice
	p.tracker.extend(b.Next)
	var count, bytes int64
	for i := range b.Records {
		r, route := &b.Records[i], &routes[i]
		if route.End == Skip || r.Offset < seen || p.finishedBefore(r.Offset) {
			continue
		}
		p.leaderEpoch = r.LeaderEpoch
		p.tracker.open(r.Offset)
		it := &mem.items[i]
		*it = item{record: r, batch: mem, sub: route.Subscription, size: int32(min(r.Size(), 1<<30)), fail: p.failingOf(r, route, now)} //nolint:gosec // bounded
		mem.left.Add(1)
		count++
		bytes += int64(it.size)
		order := ByKey
		if route.Subscription != nil {
			order = route.Subscription.Order
		}
		if l, isNew := p.enqueue(laneKey(order, r), it); isNew {
			idle = append(idle, l)
		}
	}
	// Batches of nothing but skipped records, gaps and control records move
	// the watermark too.
	before := p.tracker.base
	p.tracker.advance()
	if p.tracker.base != before {
		p.lastProgress = now
	}
	p.records += count
	p.bytes += bytes
	p.engine.pool.take(count, bytes)
	return idle
}

// failingOf prepares items that do not start fresh: those whose end is decided,
// and those that an earlier owner has tried.
func (p *partition) failingOf(r *transport.Record, route *Route, now time.Time) *failing {
	if route.End == DeadEnd || route.End == Hold {
		return &failing{end: route.End, reason: route.Reason, err: route.Err, first: now, last: now}
	}
	spent, ok := p.budgets[r.Offset]
	if !ok {
		return nil
	}
	return &failing{attempts: spent.attempts, first: spent.first, last: now, openBefore: route.Subscription.Breaker.OpenFor()}
}

// intakeBuffers is what an intake works in.
type intakeBuffers struct {
	routes []Route
	lanes  []*lane
	group  []*lane
}

var intakePool = sync.Pool{New: func() any { return new(intakeBuffers) }}

func (in *intakeBuffers) free() {
	clear(in.routes)
	clear(in.lanes)
	clear(in.group)
	intakePool.Put(in)
}

// setOff sends new lanes on their way, runs of one subscription at a time.
func (in *intakeBuffers) setOff(e *Engine, p *partition) {
	in.group = in.group[:0]
	var sub *Subscription
	flush := func() {
		if len(in.group) > 0 {
			sub.ready(p, in.group...)
			in.group = in.group[:0]
		}
	}
	for _, l := range in.lanes {
		it := l.head
		if it.fail != nil {
			e.setOff(p, l)
			continue
		}
		if it.sub != sub {
			flush()
			sub = it.sub
		}
		in.group = append(in.group, l)
	}
	flush()
}
