package engine

import "context"

// wakeFlow makes balance run soon. It never blocks, and calls before that count as one. It is
// called while holding locks that balance acquires.
func (e *Engine) wakeFlow() {
	select {
	case e.flowWake <- struct{}{}:
	default:
	}
}

// flow runs balance when there is room again. It needs its own goroutine: room is made while
// holding locks that balance acquires.
func (e *Engine) flow(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.flowWake:
			e.balance()
		}
	}
}

// balance pauses and resumes partitions according to the bounds. It holds flowMu during the
// calls of the consumer too: a Pause decided before a Resume must not reach the consumer after
// it.
func (e *Engine) balance() {
	e.flowMu.Lock()
	defer e.flowMu.Unlock()
	for _, p := range e.owned() {
		p.mu.Lock()
		pause := p.paused
		switch {
		case p.mustPause():
			pause = true
		case p.mayResume():
			pause = false
		}
		changed := pause != p.paused && p.state == partitionActive
		if changed {
			p.paused = pause
		}
		p.mu.Unlock()
		switch {
		case changed && pause:
			e.consumer.Pause(p.id)
		case changed:
			e.consumer.Resume(p.id)
		}
	}
}

// mustPause reports whether the partition must stop fetching. The caller holds mu.
func (p *partition) mustPause() bool {
	pool := &p.shared.pool
	switch {
	// What an earlier owner left unfinished among finished offsets is fetched in any case:
	// finishing it makes room in the metadata.
	case p.crowding.full && len(p.finished) == 0:
		return true
	case p.heldKeys > 0 && pool.heldFull():
		return true
	case p.parkedKeys > 0 && pool.parkedFull():
		return true
	}
	// A partition below its own minimum continues even if the pool is full: otherwise the
	// others would starve it.
	return pool.full() && p.records >= int64(pool.bounds.MinRecords)
}

// mayResume reports whether a paused partition may fetch again. Between mustPause and mayResume
// a pause stays as it is. It is called only if mustPause returns false, so parked and crowded
// need no second check.
func (p *partition) mayResume() bool {
	pool := &p.shared.pool
	return pool.roomy() || p.records <= int64(pool.bounds.MinRecords/2)
}

// needsCheck reports, after a batch, whether the partition is crowded. Measuring walks the
// runs, so a partition that can't be crowded is not measured.
func (p *partition) needsCheck() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	// However its offsets end, a short window takes at most this many bits.
	if p.tracker.window()+int64(p.crowding.batch) > int64(crowdedAt-p.crowding.head)*8 {
		p.measure()
	}
	return p.crowding.full
}
