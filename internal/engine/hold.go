package engine

import (
	"slices"
	"time"
)

// park makes a lane wait: until at, unless that is zero. Its records are copied out of their
// batches, which could otherwise not be released while the lane waits. If one wait follows
// another without an attempt in between, since is kept. The caller holds mu.
func (p *partition) park(l *lane, state laneState, at time.Time) *wait {
	l.state, l.wait = state, &wait{stay: stay{at: at, slot: -1}, lane: l}
	if l.since.IsZero() {
		l.since = time.Now()
	}
	l.own(true)
	p.countParked(1, l.records, l.bytes)
	if l.awaits() {
		p.countHeld(1, l.records, l.bytes)
	}
	if !at.IsZero() {
		p.shared.parking.add(l.wait)
	}
	return l.wait
}

// unpark ends a wait. The counts are updated before the state changes, which awaits reads.
// Unless the lane is dropped, the caller sets it off. The caller holds mu.
func (p *partition) unpark(l *lane) {
	p.shared.parking.remove(l.wait)
	if l.awaits() {
		p.countHeld(-1, -l.records, -l.bytes)
	}
	l.state, l.wait = laneReady, nil
	p.countParked(-1, -l.records, -l.bytes)
}

// countParked updates the partition's counts and the pool's together: if the pool is full of
// parked keys, flow pauses the partitions that have some.
func (p *partition) countParked(keys, records, bytes int64) {
	p.parkedKeys += keys
	p.parkedRecords += records
	p.parkedBytes += bytes
	p.shared.pool.park(keys, records, bytes)
}

// awaits reports whether the lane is held for another member that handles the type of its head.
// The caller holds the partition's mu.
func (l *lane) awaits() bool {
	return l.state == laneHeld && l.head.retry.end == await
}

// countHeld counts what is held for other members, which countParked counts as well. The caller
// holds mu.
func (p *partition) countHeld(keys, records, bytes int64) {
	p.heldKeys += keys
	p.heldRecords += records
	p.shared.pool.hold(keys, records, bytes)
}

// release applies the policy of its type to a head that nobody handles, and reports whether
// that has ended it; otherwise its dead letter must be written. The caller holds mu.
func (p *partition) release(l *lane) (ended bool) {
	f := l.head.retry
	p.shared.unhandled(f.foreign.topic, f.foreign.typ)
	p.shared.observer.Released(p.id, f.foreign.typ, time.Since(f.first))
	// Nobody needs its budget any more: its end is decided here.
	f.spent = nil
	if f.end = f.then; f.end != Skip {
		return false
	}
	p.shared.observer.Skipped(p.id, f.reason, 1)
	p.finish(l.pop(), time.Now())
	return true
}

// releaseForeign releases the lanes held for a type that nobody handles any more. It runs on a
// timer, since a member is not told about every change.
func (p *partition) releaseForeign(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.heldKeys == 0 || p.state != partitionActive {
		return
	}
	// Decide once per type, not once per key.
	decided := make(map[*foreignType]hold)
	var free []*lane
	for l := range p.lanes.all() {
		if !l.awaits() {
			continue
		}
		t := l.head.retry.foreign
		d, known := decided[t]
		if !known {
			d = p.shared.foreign.decide(t, now)
			decided[t] = d
		}
		if !d.holds {
			// Set off after the walk, since that may remove lanes from the table.
			free = append(free, l)
		}
	}
	for _, l := range free {
		p.unpark(l)
		p.setOff(l)
	}
}

// gathering holds the lanes in one partition that wait for a subscription's batch to fill. The
// partition's lock guards it. Its lanes are ready but in no queue; a drain leaves them to the
// next owner as it leaves queued ones.
type gathering struct {
	lanes []gathered // by time
	timer *time.Timer
}

// gathered is a lane that only the size of its batch has held up, and since when.
type gathered struct {
	lane  *lane
	since time.Time
}

// Gatherer makes lanes wait for full batches. It is an interface so that programs without such
// batches don't link it.
type Gatherer interface {
	arrive(s *Subscription, p *partition, lanes []*lane)
	gather(s *Subscription, p *partition, g *gathering, now time.Time)
}

// NewGatherer returns a Gatherer that waits until a batch is full, or until its first record
// has waited for the given time with nothing else holding it up.
func NewGatherer(wait time.Duration) Gatherer { return batchWait(wait) }

type batchWait time.Duration

// arrive adds lanes to the subscription's queue, or makes them wait for a full batch. Records
// that were tried before or waited for a breaker don't come here: they have waited already. The
// caller holds the partition's lock, and the partition is active.
func (s *Subscription) arrive(p *partition, lanes ...*lane) {
	if s.Gatherer == nil {
		s.ready(p, lanes...)
		return
	}
	s.Gatherer.arrive(s, p, lanes)
}

// arrive implements Gatherer.
func (w batchWait) arrive(s *Subscription, p *partition, lanes []*lane) {
	if p.gathering == nil {
		p.gathering = make(map[*Subscription]*gathering)
	}
	g := p.gathering[s]
	if g == nil {
		g = new(gathering)
		p.gathering[s] = g
	}
	now := time.Now()
	for _, l := range lanes {
		g.lanes = append(g.lanes, gathered{l, now})
	}
	w.gather(s, p, g, now)
}

// gather sets lanes off as long as they fill batches or have waited long enough, and sets the
// timer for the rest. The caller holds the partition's lock.
func (w batchWait) gather(s *Subscription, p *partition, g *gathering, now time.Time) {
	full, n := 0, 0 // full lanes fill batches, and the lanes behind them have n records
	for i := range g.lanes {
		more, ends := g.lanes[i].lane.runnable(s, s.BatchSize)
		n += more
		// Ordered by partition there is only one lane, so a batch that ends can't grow.
		if n >= s.BatchSize || ends && s.Order == ByPartition || now.Sub(g.lanes[i].since) >= time.Duration(w) {
			full, n = i+1, 0
		}
	}
	if full > 0 {
		// Together, so that no worker begins a batch with some of them.
		lanes := make([]*lane, full)
		for i := range lanes {
			lanes[i] = g.lanes[i].lane
		}
		s.ready(p, lanes...)
	}
	g.lanes = slices.Delete(g.lanes, 0, full)
	if g.timer != nil {
		g.timer.Stop()
		g.timer = nil
	}
	if len(g.lanes) > 0 {
		g.timer = time.AfterFunc(g.lanes[0].since.Add(time.Duration(w)).Sub(now), func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			if p.state == partitionActive {
				w.gather(s, p, g, time.Now())
			}
		})
	}
}

// runnable returns how many of the lane's first records an attempt of s may take, up to most.
// ends is set if a record that it can't take follows. The caller holds the partition's lock.
func (l *lane) runnable(s *Subscription, most int) (n int, ends bool) {
	it := l.head
	for ; it != nil && it.sub == s && (n == 0 || it.retry == nil) && n < most; it = it.next {
		n++
	}
	return n, it != nil
}

// regather checks lanes that wait for full batches after more records have come, perhaps into
// these lanes. The caller holds mu, and the partition is active.
func (p *partition) regather(now time.Time) {
	for s, g := range p.gathering {
		if len(g.lanes) > 0 {
			s.Gatherer.gather(s, p, g, now)
		}
	}
}
