package engine

import "context"

// wakeFlow has balance called soon. It never blocks, and calls that come before that
// count as one; it is called under locks that balance takes.
func (e *Engine) wakeFlow() {
	select {
	case e.flowWake <- struct{}{}:
	default:
	}
}

// flow resumes partitions when room was made.
// It has a goroutine of its own: room is made under locks that balance takes.
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

// balance pauses and resumes partitions as the bounds ask.
// flowMu is held over the calls of the consumer too: a Pause that was decided before a
// Resume must not reach the consumer after it.
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

// mustPause and mayResume are asked with mu held.
func (p *partition) mustPause() bool {
	pool := &p.shared.pool
	switch {
	// What an earlier owner left unfinished among finished offsets is fetched
	// in any case: it is what makes room in the metadata.
	case p.crowding.full && len(p.finished) == 0:
		return true
	case p.heldKeys > 0 && pool.heldFull():
		return true
	case p.parkedKeys > 0 && pool.parkedFull():
		return true
	}
	// A partition below its own minimum goes on although the pool is full: else the others
	// would starve it.
	return pool.full() && p.records >= int64(pool.bounds.MinRecords)
}

// mayResume leaves a gap to mustPause, in which a pause stays as it is.
// It is asked only when mustPause is false, so what is parked or crowded needs no second look.
func (p *partition) mayResume() bool {
	pool := &p.shared.pool
	return pool.roomy() || p.records <= int64(pool.bounds.MinRecords/2)
}

// needsCheck reports whether the partition is crowded, after a batch.
// Measuring walks the runs, so a partition that can't be crowded is not measured.
func (p *partition) needsCheck() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	// However its offsets end, a short window is no more than so many bits.
	if p.tracker.window()+int64(p.crowding.batch) > int64(crowdedAt-p.crowding.head)*8 {
		p.measure()
	}
	return p.crowding.full
}
