package engine

import (
	"sync"
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

// Route is where a record goes: to a subscription, or to one of the other ends.
type Route struct {
	Subscription *Subscription // set for Handle
	Order        Order         // of the topic, where there is no Subscription
	End          End
	Reason       string // why it is skipped, held or dead-lettered
	Err          error  // what the dead letter says
	// Topic and Type are set for a type that no subscription here handles: then End
	// is for when no other member of the group handles it either. Topic is the one
	// that the type belongs to, also of a record of its retry topic.
	Topic, Type string

	foreign *foreignType // it is held for another member
}

// skips reports whether the record is passed over as it is taken in.
func (r *Route) skips() bool { return r.End == Skip && r.foreign == nil }

// intake routes the records of a batch and appends them to their lanes.
// It runs on the polling goroutine alone, so batches of a partition come in order. It
// takes over the batch's memory: what it does not keep it releases.
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
		// Before the partition's lock is taken: Route is the caller's code.
		r := e.config.Route(&b.Records[i])
		if r.Type != "" && r.End != Hold {
			e.meetForeign(&r)
		}
		// Counted per reason and told once per batch, since most of a topic may be skipped.
		if r.skips() {
			if skipped == nil {
				skipped = make(map[string]int64)
			}
			skipped[r.Reason]++
		}
		routes = append(routes, r)
	}
	in.routes = routes
	p.append(b, in)
	for reason, n := range skipped {
		e.observer.Skipped(b.Partition, reason, n)
	}
	// At once and not by wakeFlow: the next Poll would bring more of the same partition.
	if e.pool.full() || e.pool.parkedFull() || p.needsCheck() {
		e.balance()
	}
}

// meetForeign decides about an event of a type that no subscription here handles.
// r.foreign stays nil for a type that is not held: then r.End applies.
func (e *Engine) meetForeign(r *Route) {
	t, decision, news := e.foreign.arrived(r.Topic, r.Type, time.Now())
	r.foreign = t
	switch {
	case t == nil:
		e.config.Unhandled(r.Topic, r.Type)
	case news && decision.live:
		e.log.Info("events of a type that another member of the group handles are held until that member has the partition",
			"topic", t.topic, "type", t.typ)
	case news:
		e.log.Warn("events of a type whose last handler has left the group are held for a while",
			"topic", t.topic, "type", t.typ, "until", decision.until)
	}
}

// append opens the batch's records in the tracker, puts them in lanes, and sends
// those on their way that were idle.
func (p *partition) append(b *transport.Batch, in *intakeBuffers) {
	now := time.Now()
	// The append itself holds the batch, so that it is not released while items are added,
	// and is released at once if none was.
	mem := newBatch(len(b.Records), b.Release)
	p.mu.Lock()
	defer p.mu.Unlock()
	defer mem.drop(0)
	// A drain has begun since intake looked, or the log has started over.
	if p.state != partitionActive || !p.expects(b) {
		return
	}
	if p.records == 0 {
		p.lastProgress = now // nothing was there that could have made any
	}
	p.lastIntake, p.lastStable, p.crowding.batch = now, b.LastStable, len(b.Records)
	before, seen := p.tracker.base, p.tracker.end // what was taken in before is not taken in twice
	var count, bytes int64
	for i := range b.Records {
		r, route := &b.Records[i], &in.routes[i]
		size := int32(min(r.Size(), 1<<30))
		mem.size += int64(size)
		// The size of what is passed over counts in mem.size: it takes memory as long as
		// its neighbours are held.
		if route.skips() || r.Offset < seen || p.finishedBefore(r.Offset) {
			continue
		}
		p.leaderEpoch = r.LeaderEpoch
		p.tracker.open(r.Offset)
		it := &mem.items[i]
		*it = item{record: r, batch: mem, sub: route.Subscription, size: size, retry: p.retryStateOf(r, route, now)}
		mem.held++
		mem.left += int64(size)
		count++
		bytes += int64(size)
		order := route.Order
		if route.Subscription != nil {
			order = route.Subscription.Order
		}
		if l, isNew := p.enqueue(laneKey(order, r), it); isNew {
			// Only a new lane is set off: one that was there runs, is ready, or waits.
			in.lanes = append(in.lanes, l)
		}
	}
	// Beyond the last record too: what compaction or aborted transactions left out at the
	// end is not waited for.
	p.passed(b.Next)
	// Batches of nothing but skipped records, gaps and control records move
	// the watermark too.
	if p.tracker.base != before {
		p.lastProgress = now
	}
	p.records += count
	p.bytes += bytes
	p.shared.pool.take(count, bytes)
	// After the counts, which workers take down again.
	in.setOff(p)
	p.regather(now)
}

// expects reports whether a batch is of the log that the tracker is about. The
// caller holds mu.
func (p *partition) expects(b *transport.Batch) bool {
	switch {
	// The usual case: batches of a partition join without a gap.
	case b.From == p.tracker.end:
	case p.overstarts:
		return false // of the log before, polled before Skipped was called
	// Neither batches nor Skipped accounted for them, which no transport should do. It is
	// told of, and the partition goes on.
	case b.From > p.tracker.end:
		p.shared.log.Error("offsets were never delivered", "partition", p.id.String(), "from", p.tracker.end, "to", b.From)
		p.shared.observer.Skipped(p.id, "not delivered", b.From-p.tracker.end)
	}
	p.overstarts = false
	return true
}

// passed moves the tracker's end to next, and over what Skipped told of from
// there on. The caller holds mu.
func (p *partition) passed(next int64) {
	p.tracker.extend(next)
	for len(p.skipped) > 0 && p.skipped[0].from <= p.tracker.end {
		p.tracker.extend(p.skipped[0].to)
		p.skipped = p.skipped[1:]
	}
	p.passFinished(p.tracker.end)
}

// retryStateOf returns the history of items that do not start fresh: the ones whose
// end the route has decided, and the ones that an earlier owner has tried. If that
// owner decided on a dead letter, another attempt would be one that the policy does
// not have.
func (p *partition) retryStateOf(r *transport.Record, route *Route, now time.Time) *retryState {
	// The entry stays until the record is finished: a commit in between carries it on.
	spent, ok := p.budgets[r.Offset]
	if route.foreign != nil || route.End == DeadEnd || route.End == Hold {
		f := &retryState{end: route.End, reason: route.Reason, err: route.Err, first: now, last: now}
		if ok && route.End != DeadEnd {
			kept := spent   // a copy, so that records without a history cost no memory
			f.spent = &kept // for the member that knows the type
		}
		if route.foreign != nil {
			f.end, f.then, f.foreign = await, route.End, route.foreign
		}
		if ok && spent.decided != "" {
			f.end, f.reason, f.err, f.attempts = DeadEnd, spent.decided, errDecided, spent.attempts
		}
		return f
	}
	if !ok {
		return nil
	}
	f := &retryState{attempts: spent.attempts, first: spent.first, last: now, openBefore: route.Subscription.Breaker.OpenFor()}
	if spent.used >= 0 {
		// Time in which nobody owned the partition is not the record's.
		f.first = now.Add(-spent.used)
	}
	if spent.decided != "" {
		f.end, f.reason, f.err = DeadEnd, spent.decided, errDecided
	}
	return f
}

// intakeBuffers is what an intake works in.
type intakeBuffers struct {
	routes []Route
	lanes  []*lane // that were idle
	group  []*lane // of those, some of one subscription
}

// intakePool keeps buffers from one batch to the next: they are as large as batches.
var intakePool = sync.Pool{New: func() any { return new(intakeBuffers) }}

// free gives the buffers back without what they point to, which would otherwise keep
// fetched memory alive.
func (in *intakeBuffers) free() {
	clear(in.routes)
	clear(in.lanes)
	clear(in.group[:cap(in.group)])
	in.lanes, in.group = in.lanes[:0], in.group[:0]
	intakePool.Put(in)
}

// setOff sends lanes on their way, runs of one subscription together. The
// caller holds p.mu.
// A run takes the subscription's lock once, and wakes as many workers as it has lanes.
func (in *intakeBuffers) setOff(p *partition) {
	for i := 0; i < len(in.lanes); {
		sub := in.lanes[i].head.sub
		in.group = in.group[:0]
		for ; i < len(in.lanes) && in.lanes[i].head.sub == sub && in.lanes[i].head.retry == nil; i++ {
			in.group = append(in.group, in.lanes[i])
		}
		if len(in.group) > 0 {
			sub.arrive(p, in.group...)
			continue
		}
		p.setOff(in.lanes[i])
		i++
	}
}
