package engine

import (
	"sync"
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

// Route is a record's destination: a subscription, or one of the other ends.
type Route struct {
	Subscription *Subscription // set for Handle
	Order        Order         // of the topic, if there is no Subscription
	End          End
	Reason       string // why the record is skipped, held or dead-lettered
	Err          error  // the error in the dead letter
	// Topic and Type are set if no subscription here handles the type. End then applies if no
	// other member of the group handles it either. Topic is the topic that the type belongs to,
	// even for a record of its retry topic.
	Topic, Type string

	foreign *foreignType // set if the record is held for another member
}

// skips reports whether the record is skipped on intake.
func (r *Route) skips() bool { return r.End == Skip && r.foreign == nil }

// intake routes the records of a batch and appends them to their lanes. It runs only on the
// polling goroutine, so batches of a partition come in order. It takes over the batch's memory,
// and releases what it does not keep.
func (e *Engine) intake(b *transport.Batch) {
	p := e.partition(b.Partition)
	if p == nil || p.epoch != b.Epoch {
		// Fetched before a revocation and polled after it: the new owner fetches it again.
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
		// Before acquiring the partition's lock: Route is the caller's code.
		r := e.config.Route(&b.Records[i])
		if r.Type != "" && r.End != Hold {
			e.meetForeign(&r)
		}
		// Count per reason and report once per batch, since most of a topic may be skipped.
		if r.skips() {
			if skipped == nil {
				skipped = make(map[string]int64)
			}
			skipped[r.Reason]++
		}
		routes = append(routes, r)
	}
	in.routes = routes
	for !p.append(b, in) {
		// It goes, or its log starts over, and another takes its place: then once startOver is done.
		e.flowMu.Lock()
		now := e.partition(b.Partition)
		e.flowMu.Unlock()
		if now == nil || now == p || now.epoch != b.Epoch {
			if b.Release != nil {
				b.Release()
			}
			break
		}
		p = now
	}
	for reason, n := range skipped {
		e.observer.Skipped(b.Partition, reason, n)
	}
	// At once, not by wakeFlow: the next Poll would return more of the same partition.
	if e.pool.full() || e.pool.parkedFull() || p.needsCheck() {
		e.balance()
	}
}

// meetForeign decides about an event whose type no subscription here handles. If it is not
// held, r.foreign stays nil and r.End applies.
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

// append opens the batch's records in the tracker, adds them to lanes, and sets off lanes that
// were idle. It takes over the batch's memory, unless it returns false because the partition is no
// longer active.
func (p *partition) append(b *transport.Batch, in *intakeBuffers) bool {
	now := time.Now()
	// The append itself holds the batch, so that it is not released while items are added, and
	// is released at once if none was.
	mem := newBatch(len(b.Records), b.Release)
	p.mu.Lock()
	defer p.mu.Unlock()
	defer mem.drop(0)
	if p.state != partitionActive {
		mem.release = nil
		return false
	}
	if b = p.expected(b); b == nil {
		return true
	}
	if p.records == 0 {
		p.lastProgress = now // there was nothing to make progress with
	}
	p.lastIntake, p.lastStable, p.crowding.batch = now, b.LastStable, len(b.Records)
	before, seen := p.tracker.base, p.tracker.end // records taken in before are not taken in twice
	var count, bytes int64
	for i := range b.Records {
		r, route := &b.Records[i], &in.routes[i]
		size := int32(min(r.Size(), 1<<30))
		mem.size += int64(size)
		if r.LeaderEpoch > p.ownerEpoch {
			p.replaced(r.Offset)
		}
		// What an earlier owner finished further on may have a higher one.
		p.leaderEpoch = max(p.leaderEpoch, r.LeaderEpoch)
		// Skipped records count in mem.size too: they take memory while the rest of their batch
		// is held.
		if route.skips() || r.Offset < seen || p.finishedBefore(r.Offset) {
			continue
		}
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
			// Only a new lane is set off: an existing one runs, is ready, or waits.
			in.lanes = append(in.lanes, l)
		}
	}
	// Beyond the last record too: don't wait for offsets that compaction or aborted
	// transactions left out at the end.
	p.passed(b.Next)
	// A batch of only skipped records, gaps and control records moves the watermark too.
	if p.tracker.base != before {
		p.lastProgress = now
	}
	p.records += count
	p.bytes += bytes
	p.shared.pool.take(count, bytes)
	// After adding to the counts, which workers subtract from.
	in.setOff(p)
	p.regather(now)
	return true
}

// expected returns the part of a batch that belongs to the log that the tracker is about, nil if
// none does. The caller holds mu.
func (p *partition) expected(b *transport.Batch) *transport.Batch {
	// The new log begins at startsAt or, if Skipped was called once more, at the tracker's end. Any
	// other batch is from the previous log, polled before Skipped was called. What the new log has of
	// it comes only now.
	if p.overstarts {
		late := b.From == p.late.from && b.Next <= p.late.to
		switch {
		case late && b.From < p.startsAt:
			b = below(b, p.startsAt)
		case late:
			p.late = span{} // a batch of the new log may begin there too
			return nil
		case b.From != p.startsAt && b.From != p.tracker.end:
			return nil
		}
	}
	p.overstarts = false
	// The usual case is consecutive batches. If neither batches nor Skipped accounted for
	// offsets, which no transport should do, report it and continue.
	if b.From > p.tracker.end {
		p.shared.log.Error("offsets were never delivered", "partition", p.id.String(), "from", p.tracker.end, "to", b.From)
		p.shared.observer.Skipped(p.id, "not delivered", b.From-p.tracker.end)
	}
	return b
}

// below returns the part of a batch below an offset.
func below(b *transport.Batch, end int64) *transport.Batch {
	part := *b
	part.Next = min(b.Next, end)
	for i := range b.Records {
		if b.Records[i].Offset >= end {
			part.Records = b.Records[:i]
			break
		}
	}
	return &part
}

// passed moves the tracker's end to next, and past the offsets reported by Skipped from there
// on. The caller holds mu.
func (p *partition) passed(next int64) {
	p.tracker.extend(next)
	for len(p.skipped) > 0 && p.skipped[0].from <= p.tracker.end {
		p.tracker.extend(p.skipped[0].to)
		p.skipped = p.skipped[1:]
	}
	p.passFinished(p.tracker.end)
}

// retryStateOf returns the history of items that have one: their end was decided by the route,
// or an earlier owner has tried them. If that owner decided on a dead letter, the policy allows
// no further attempt.
func (p *partition) retryStateOf(r *transport.Record, route *Route, now time.Time) *retryState {
	// The entry stays until the record is finished: commits in between include it.
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
		// Time in which nobody owned the partition doesn't count for the record.
		f.first = now.Add(-spent.used)
	}
	if spent.decided != "" {
		f.end, f.reason, f.err = DeadEnd, spent.decided, errDecided
	}
	return f
}

// intakeBuffers has the buffers of one intake.
type intakeBuffers struct {
	routes []Route
	lanes  []*lane // lanes that were idle
	group  []*lane // some of these, of one subscription
}

// intakePool keeps buffers from one batch to the next: they are as large as batches.
var intakePool = sync.Pool{New: func() any { return new(intakeBuffers) }}

// free returns the buffers to the pool without their pointers, which would keep fetched memory
// alive.
func (in *intakeBuffers) free() {
	clear(in.routes)
	clear(in.lanes)
	clear(in.group[:cap(in.group)])
	in.lanes, in.group = in.lanes[:0], in.group[:0]
	intakePool.Put(in)
}

// setOff sets lanes off, runs of one subscription together: each run acquires the
// subscription's lock once, and wakes as many workers as it has lanes. The caller holds p.mu.
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
