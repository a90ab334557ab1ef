package engine

import (
	"context"
	"sync/atomic"
	"time"
)

// Bounds limit what a group holds in memory. The zero value takes the defaults.
//
// A partition that may not hold more stops fetching; it stays assigned, and the
// member keeps heartbeating. The bounds are looked at after each fetched batch,
// so one batch per partition can come on top of them.
type Bounds struct {
	// Records and Bytes bound what is fetched and not finished. Defaults
	// 20,000 and 64 MiB.
	Records int
	Bytes   int64
	// MinRecords is what each partition may hold whatever the others do, so
	// that one full partition can't starve them. Default 100.
	MinRecords int
	// ParkedKeys bounds the keys that wait for a retry, a breaker or a dead
	// letter; their records may take half of Bytes. Default 5,000.
	ParkedKeys int
	// ParkedAge is how long a key may wait before its partition stops
	// fetching. Default 15 minutes.
	ParkedAge time.Duration
}

func (b Bounds) withDefaults() Bounds {
	if b.Records <= 0 {
		b.Records = 20_000
	}
	if b.Bytes <= 0 {
		b.Bytes = 64 << 20
	}
	if b.MinRecords <= 0 {
		b.MinRecords = 100
	}
	if b.ParkedKeys <= 0 {
		b.ParkedKeys = 5_000
	}
	if b.ParkedAge <= 0 {
		b.ParkedAge = 15 * time.Minute
	}
	return b
}

// pool counts what the group's partitions hold together.
type pool struct {
	bounds                  Bounds
	changed                 func() // room was made
	records, bytes          atomic.Int64
	parkedKeys, parkedBytes atomic.Int64
}

func (p *pool) take(records, bytes int64) {
	p.records.Add(records)
	p.bytes.Add(bytes)
}

// give returns room. Crossing a threshold downwards, of the pool or of the
// partition's own minimum, lets paused partitions look again.
func (p *pool) give(part *partition, records, bytes int64) {
	r, b := p.records.Add(-records), p.bytes.Add(-bytes)
	lowRecords, lowBytes := p.resumeRecords(), p.resumeBytes()
	if r <= lowRecords && r+records > lowRecords || b <= lowBytes && b+bytes > lowBytes ||
		part.paused && part.records == int64(p.bounds.MinRecords/2) {
		p.changed()
	}
}

func (p *pool) park(keys, bytes int64) {
	k := p.parkedKeys.Add(keys)
	p.parkedBytes.Add(bytes)
	if keys < 0 && k < int64(p.bounds.ParkedKeys) && k-keys >= int64(p.bounds.ParkedKeys) {
		p.changed()
	}
}

func (p *pool) resumeRecords() int64 { return int64(p.bounds.Records) * 3 / 4 }
func (p *pool) resumeBytes() int64   { return p.bounds.Bytes * 3 / 4 }

func (p *pool) full() bool {
	return p.records.Load() >= int64(p.bounds.Records) || p.bytes.Load() >= p.bounds.Bytes || p.parkedFull()
}

// roomy is not the opposite of full: between the two a pause stays as it is, so
// that partitions do not flutter.
func (p *pool) roomy() bool {
	return p.records.Load() <= p.resumeRecords() && p.bytes.Load() <= p.resumeBytes()
}

func (p *pool) parkedFull() bool {
	return p.parkedKeys.Load() >= int64(p.bounds.ParkedKeys) || p.parkedBytes.Load() >= p.bounds.Bytes/2
}

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
	case p.crowded:
		return true
	case p.parkedKeys > 0 && (pool.parkedFull() || p.oldestParked() > pool.bounds.ParkedAge):
		return true
	}
	return pool.full() && p.records >= int64(pool.bounds.MinRecords)
}

func (p *partition) mayResume() bool {
	pool := &p.engine.pool
	return pool.roomy() || p.records <= int64(pool.bounds.MinRecords/2)
}

// oldestParked is the age of the longest wait. The caller holds mu.
func (p *partition) oldestParked() time.Duration {
	var oldest time.Time
	for _, l := range p.lanes {
		if l.state >= laneParked && (oldest.IsZero() || l.since.Before(oldest)) {
			oldest = l.since
		}
	}
	if oldest.IsZero() {
		return 0
	}
	return time.Since(oldest)
}
