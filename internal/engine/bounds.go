package engine

import "sync/atomic"

// Bounds limits what a group holds in memory. A zero field means its default.
//
// A partition that may hold no more stops fetching; it stays assigned, and the member keeps
// heartbeating. Bounds are checked after each fetched batch, so they may be exceeded by one batch
// per partition.
type Bounds struct {
	// Records and Bytes bound what is fetched and not finished. Defaults 20,000 and 64 MiB.
	Records int
	Bytes   int64
	// MinRecords is what each partition may hold regardless of the others, so that one full
	// partition can't starve the rest. Default 100.
	MinRecords int
	// ParkedKeys bounds the keys that wait for a retry, a breaker or a dead letter. Their records
	// may be half of Records and take half of Bytes. At the bound, only partitions with such keys
	// stop fetching. Events held for another member of the group may take a quarter of it.
	// Default 5,000.
	ParkedKeys int
}

// withDefaults fills in zero fields. Negative values, which the bus's configuration refuses, mean
// the default here.
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
	return b
}

// pool counts what the group's partitions hold in total.
type pool struct {
	bounds  Bounds
	changed func() // called when there is room again

	records, bytes                         atomic.Int64
	parkedKeys, parkedRecords, parkedBytes atomic.Int64
	heldKeys, heldRecords, heldBytes       atomic.Int64
}

// take adds a batch to the counts. That may exceed the bounds: a batch is never cut.
func (p *pool) take(records, bytes int64) {
	p.records.Add(records)
	p.bytes.Add(bytes)
}

// give subtracts what a partition no longer holds. Falling below a threshold, of the pool or of the
// partition's own minimum, lets paused partitions check again.
func (p *pool) give(records, bytes int64, crossedOwn bool) {
	r, b := p.records.Add(-records), p.bytes.Add(-bytes)
	if crossed(r, records, p.resumeRecords()) || crossed(b, bytes, p.resumeBytes()) ||
		crossedOwn {
		p.changed()
	}
}

// park adds waiting keys, and their records, which take counts as well. Negative numbers end a
// wait.
func (p *pool) park(keys, records, bytes int64) {
	k, r, b := p.parkedKeys.Add(keys), p.parkedRecords.Add(records), p.parkedBytes.Add(bytes)
	if crossed(k, -keys, int64(p.bounds.ParkedKeys)-1) || crossed(r, -records, int64(p.bounds.Records)/2-1) ||
		crossed(b, -bytes, p.bounds.Bytes/2-1) {
		p.changed()
	}
}

// hold adds what is held for other members of the group.
func (p *pool) hold(keys, records, bytes int64) {
	full := p.heldFull()
	p.heldKeys.Add(keys)
	p.heldRecords.Add(records)
	p.heldBytes.Add(bytes)
	if full && !p.heldFull() {
		p.changed()
	}
}

// heldFull reports whether events held for other members use their quarter of what may be parked: a
// rollout must leave room for failures.
func (p *pool) heldFull() bool { return p.heldUse() >= 1 }

// heldUse returns the used share of that quarter. It may exceed 1.
func (p *pool) heldUse() float64 {
	return max(share(p.heldKeys.Load(), int64(p.bounds.ParkedKeys)/4),
		share(p.heldRecords.Load(), int64(p.bounds.Records)/8), share(p.heldBytes.Load(), p.bounds.Bytes/8))
}

// share returns used as a share of bound, which counts as at least 1.
func share(used, bound int64) float64 { return float64(used) / float64(max(bound, 1)) }

// crossed reports whether a count that fell by n to now passed limit.
func crossed(now, n, limit int64) bool { return now <= limit && now+n > limit }

// Partitions are resumed at three quarters of a bound: at the bound itself each
// finished record would resume one, and the next batch pause it again.
func (p *pool) resumeRecords() int64 { return threeQuarters(int64(p.bounds.Records)) }
func (p *pool) resumeBytes() int64   { return threeQuarters(p.bounds.Bytes) }

// threeQuarters returns three quarters of n, rounded down, without overflow.
func threeQuarters(n int64) int64 { return n - n/4 - min(n%4, 1) }

// full reports whether a bound on fetched records is reached.
func (p *pool) full() bool {
	return p.records.Load() >= int64(p.bounds.Records) || p.bytes.Load() >= p.bounds.Bytes
}

// roomy reports whether paused partitions may resume. It is not the opposite of full: between
// the two a pause stays as it is, so that partitions don't flap.
func (p *pool) roomy() bool {
	return p.records.Load() <= p.resumeRecords() && p.bytes.Load() <= p.resumeBytes()
}

// parkedFull reports whether a bound on waiting records is reached.
func (p *pool) parkedFull() bool { return p.parkedUse() >= 1 }

// parkedUse returns the used share of the room for waiting records. It may exceed 1.
func (p *pool) parkedUse() float64 {
	return max(share(p.parkedKeys.Load(), int64(p.bounds.ParkedKeys)),
		share(p.parkedRecords.Load(), int64(p.bounds.Records)/2), share(p.parkedBytes.Load(), p.bounds.Bytes/2))
}

// crowding is how full the commit's metadata may get. Beyond the broker's limit, progress past
// the watermark would be lost, so the partition stops fetching at three quarters of it, or
// earlier if the next batch might not fit.
type crowding struct {
	full   bool
	easeAt int64 // check again once the partition holds this few records
	batch  int   // records in the last batch
	head   int   // size of the last commit's metadata without offsets
	use    float64
}

// crowdedAt is how many bytes of the metadata may be used.
var crowdedAt = roomIn(maxMetadata) * 3 / 4

// measure computes how full the metadata may get, if everything open now, and another batch,
// ends in the worst order. runs are what is finished beyond the watermark.
func (c *crowding) measure(t *tracker, runs []int64, records int64) {
	done := progress{base: t.base, runs: runs}
	_, worst := done.split(0, max(t.window()-done.length(), 0))
	worst += c.head
	c.use = share(int64(worst), int64(roomIn(maxMetadata)))
	c.full = records > 0 && (worst > crowdedAt || worst+c.batch/8 > roomIn(maxMetadata))
	c.easeAt = records / 2
}
