package engine

import "time"

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
