package engine

import (
	"slices"
	"time"
)

// park makes a lane wait: until at, if that is not zero. The caller holds mu.
// Its records are copied out of their batches, which could otherwise not be released for
// as long as the lane waits. since is kept where one wait follows another, without
// an attempt between them.
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

// unpark ends a wait. The caller holds mu.
// awaits looks at the state, so the counts are taken down before that changes. Unless
// the lane is dropped, the caller sets it off.
func (p *partition) unpark(l *lane) {
	p.shared.parking.remove(l.wait)
	if l.awaits() {
		p.countHeld(-1, -l.records, -l.bytes)
	}
	l.state, l.wait = laneReady, nil
	p.countParked(-1, -l.records, -l.bytes)
}

// countParked keeps the partition's counts and those of the pool together: flow pauses
// the partitions that have parked keys, and only when the pool is full of them.
func (p *partition) countParked(keys, records, bytes int64) {
	p.parkedKeys += keys
	p.parkedRecords += records
	p.parkedBytes += bytes
	p.shared.pool.park(keys, records, bytes)
}

// awaits reports whether the lane is held for another member that handles the type
// of its head. The caller holds the partition's mu.
func (l *lane) awaits() bool {
	return l.state == laneHeld && l.head.retry.end == await
}

// countHeld counts what is held for other members, which is parked as well. The
// caller holds mu.
func (p *partition) countHeld(keys, records, bytes int64) {
	p.heldKeys += keys
	p.heldRecords += records
	p.shared.pool.hold(keys, records, bytes)
}

// release applies the policy of its type to a head that nobody handles, and reports
// whether that has ended it: else its dead letter is to be written. The caller holds
// mu.
func (p *partition) release(l *lane) (ended bool) {
	f := l.head.retry
	p.shared.unhandled(f.foreign.topic, f.foreign.typ)
	p.shared.observer.Released(p.id, f.foreign.typ, time.Since(f.first))
	// Nobody comes back to its budget: its end is decided here.
	f.spent = nil
	if f.end = f.then; f.end != Skip {
		return false
	}
	p.shared.observer.Skipped(p.id, f.reason, 1)
	p.finish(l.pop(), time.Now())
	return true
}

// releaseForeign lets go of the lanes that are held for a type that nobody handles
// any more. They are looked at on a timer: a member does not hear of every change.
func (p *partition) releaseForeign(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.heldKeys == 0 || p.state != partitionActive {
		return
	}
	// Each type is decided about once, and not for each of its keys.
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
			// Set off after the walk: that may remove lanes from the table.
			free = append(free, l)
		}
	}
	for _, l := range free {
		p.unpark(l)
		p.setOff(l)
	}
}

// gathering is what waits in one partition for a batch of a subscription to become
// full. The partition's lock guards it. Its lanes are ready and in no queue, so a drain
// leaves them to the next owner as it does those.
type gathering struct {
	lanes []gathered // by time
	timer *time.Timer
}

// gathered is a lane that nothing but the size of its batch holds up, since a time.
type gathered struct {
	lane  *lane
	since time.Time
}

// Gatherer has lanes wait for full batches. It is an interface, so that a program whose
// batches don't wait does not link it.
type Gatherer interface {
	arrive(s *Subscription, p *partition, lanes []*lane)
	gather(s *Subscription, p *partition, g *gathering, now time.Time)
}

// NewGatherer returns what waits until a batch is full, or its first record has waited
// for so long and nothing else held it up.
func NewGatherer(wait time.Duration) Gatherer { return batchWait(wait) }

type batchWait time.Duration

// arrive enters lanes into the subscription's queue, or has them wait for a full batch.
// What was tried before, and what waited for a breaker, does not come here: it has
// waited already. The partition's lock is held, and the partition is active.
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

// gather sends lanes on their way for as long as they fill batches, or have waited long
// enough, and sets the timer for the rest. The partition's lock is held.
func (w batchWait) gather(s *Subscription, p *partition, g *gathering, now time.Time) {
	full, n := 0, 0 // so many lanes fill batches, and n records are in those behind
	for i := range g.lanes {
		more, ends := g.lanes[i].lane.runnable(s, s.BatchSize)
		n += more
		// By partition there is no other lane, so what ends can't become more.
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

// runnable returns how many of the lane's first records an attempt of s may have, up to
// most. ends reports that another record follows, which keeps it from more. The
// partition's lock is held.
func (l *lane) runnable(s *Subscription, most int) (n int, ends bool) {
	it := l.head
	for ; it != nil && it.sub == s && (n == 0 || it.retry == nil) && n < most; it = it.next {
		n++
	}
	return n, it != nil
}

// regather looks at what waits for full batches after more has come, which may have
// come into lanes that wait already. The caller holds mu, and the partition is active.
func (p *partition) regather(now time.Time) {
	for s, g := range p.gathering {
		if len(g.lanes) > 0 {
			s.Gatherer.gather(s, p, g, now)
		}
	}
}
