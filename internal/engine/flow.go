package engine

import "context"

func (e *Engine) wakeFlow() {
	select {
	case e.flowWake <- struct{}{}:
	default:
	}
}

// flow resumes partitions when room was made.
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
	pool := &p.engine.pool
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
	return pool.full() && p.records >= int64(pool.bounds.MinRecords)
}

func (p *partition) mayResume() bool {
	pool := &p.engine.pool
	return pool.roomy() || p.records <= int64(pool.bounds.MinRecords/2)
}

// crowding is how full the commit's metadata may become. Past the broker's
// bound, progress beyond the watermark could not be kept, so the partition stops
// fetching at three quarters of it, or earlier if the next batch might not fit.
type crowding struct {
	full   bool
	easeAt int64 // look again when the partition holds so few records
	batch  int   // records in the last batch
	head   int   // bytes of the last commit's metadata that are not offsets
}

// crowdedAt is how many bytes of the metadata may be used up.
var crowdedAt = roomIn(maxMetadata) * 3 / 4

// needsCheck reports whether the partition is crowded, after a batch.
func (p *partition) needsCheck() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	// However its offsets end, a short window is no more than so many bits.
	if p.tracker.window()+int64(p.crowding.batch) > int64(crowdedAt-p.crowding.head)*8 {
		p.measure()
	}
	return p.crowding.full
}

// measure notes how full the metadata may become: all that is open now may end
// in the worst order, and that of another batch too. The caller holds mu.
func (p *partition) measure() {
	c := &p.crowding
	done := progress{base: p.tracker.base, runs: p.runs()}
	_, worst := done.split(0, max(p.tracker.window()-done.length(), 0))
	worst += c.head
	c.full = p.records > 0 && (worst > crowdedAt || worst+c.batch/8 > roomIn(maxMetadata))
	c.easeAt = p.records / 2
}

// ease looks again at a crowded partition after half of what it held has ended.
// The caller holds mu.
func (p *partition) ease() {
	if p.measure(); !p.crowding.full {
		p.engine.pool.changed()
	}
}
