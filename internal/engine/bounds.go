package engine

import "sync/atomic"

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
	// letter; their records may be half of Records and take half of Bytes.
	// At the bound, partitions with such keys stop fetching, and no others. Events
	// that are held for another member of the group may take a quarter of it.
	// Default 5,000.
	ParkedKeys int
}

// withDefaults fills in what is zero. Negative values are refused where the bus is
// configured, and mean the default here.
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

// pool counts what the group's partitions hold together.
type pool struct {
	bounds  Bounds
	changed func() // room was made

	records, bytes                         atomic.Int64
	parkedKeys, parkedRecords, parkedBytes atomic.Int64
	heldKeys, heldRecords, heldBytes       atomic.Int64
}

// take counts what a batch brought. It may exceed the bounds: a batch is never cut.
func (p *pool) take(records, bytes int64) {
	p.records.Add(records)
	p.bytes.Add(bytes)
}

// give returns what a partition held. Crossing a threshold downwards, of the pool or
// of the partition's own minimum, lets paused partitions look again.
func (p *pool) give(records, bytes int64, crossedOwn bool) {
	r, b := p.records.Add(-records), p.bytes.Add(-bytes)
	if crossed(r, records, p.resumeRecords()) || crossed(b, bytes, p.resumeBytes()) ||
		crossedOwn {
		p.changed()
	}
}

// park counts keys that wait, and their records, which are counted by take as well.
// Negative numbers end a wait.
func (p *pool) park(keys, records, bytes int64) {
	k, r, b := p.parkedKeys.Add(keys), p.parkedRecords.Add(records), p.parkedBytes.Add(bytes)
	if crossed(k, -keys, int64(p.bounds.ParkedKeys)-1) || crossed(r, -records, int64(p.bounds.Records)/2-1) ||
		crossed(b, -bytes, p.bounds.Bytes/2-1) {
		p.changed()
	}
}

// hold counts what is held for other members of the group.
func (p *pool) hold(keys, records, bytes int64) {
	full := p.heldFull()
	p.heldKeys.Add(keys)
	p.heldRecords.Add(records)
	p.heldBytes.Add(bytes)
	if full && !p.heldFull() {
		p.changed()
	}
}

// heldFull reports whether what is held for other members takes a quarter of what
// may be parked: a rollout must leave room for what fails.
func (p *pool) heldFull() bool { return p.heldUse() >= 1 }

// heldUse returns the share of that quarter which is used. It may exceed 1.
func (p *pool) heldUse() float64 {
	return max(share(p.heldKeys.Load(), int64(p.bounds.ParkedKeys)/4),
		share(p.heldRecords.Load(), int64(p.bounds.Records)/8), share(p.heldBytes.Load(), p.bounds.Bytes/8))
}

// share returns used as a share of a bound, which is at least 1.
func share(used, bound int64) float64 { return float64(used) / float64(max(bound, 1)) }

// crossed reports whether a count that fell by n to now passed limit.
func crossed(now, n, limit int64) bool { return now <= limit && now+n > limit }

// Partitions are resumed at three quarters of a bound: at the bound itself each
// finished record would resume one, and the next batch pause it again.
func (p *pool) resumeRecords() int64 { return threeQuarters(int64(p.bounds.Records)) }
func (p *pool) resumeBytes() int64   { return threeQuarters(p.bounds.Bytes) }

// threeQuarters rounds down, and takes numbers of any size.
func threeQuarters(n int64) int64 { return n - n/4 - min(n%4, 1) }

// full reports whether one of the bounds on what is fetched is reached.
func (p *pool) full() bool {
	return p.records.Load() >= int64(p.bounds.Records) || p.bytes.Load() >= p.bounds.Bytes
}

// roomy is not the opposite of full: between the two a pause stays as it is, so
// that partitions do not flutter.
func (p *pool) roomy() bool {
	return p.records.Load() <= p.resumeRecords() && p.bytes.Load() <= p.resumeBytes()
}

// parkedFull reports whether one of the bounds on what waits is reached.
func (p *pool) parkedFull() bool { return p.parkedUse() >= 1 }

// parkedUse returns the share of the room for what waits that is used. It may exceed 1.
func (p *pool) parkedUse() float64 {
	return max(share(p.parkedKeys.Load(), int64(p.bounds.ParkedKeys)),
		share(p.parkedRecords.Load(), int64(p.bounds.Records)/2), share(p.parkedBytes.Load(), p.bounds.Bytes/2))
}

// crowding is how full the commit's metadata may become. Past the broker's
// bound, progress beyond the watermark could not be kept, so the partition stops
// fetching at three quarters of it, or earlier if the next batch might not fit.
type crowding struct {
	full   bool
	easeAt int64 // look again when the partition holds so few records
	batch  int   // records in the last batch
	head   int   // bytes of the last commit's metadata that are not offsets
	use    float64
}

// crowdedAt is how many bytes of the metadata may be used up.
var crowdedAt = roomIn(maxMetadata) * 3 / 4

// measure notes how full the metadata may become: all that is open now may end in
// the worst order, and that of another batch too. runs are what is finished beyond
// the watermark.
func (c *crowding) measure(t *tracker, runs []int64, records int64) {
	done := progress{base: t.base, runs: runs}
	_, worst := done.split(0, max(t.window()-done.length(), 0))
	worst += c.head
	c.use = share(int64(worst), int64(roomIn(maxMetadata)))
	c.full = records > 0 && (worst > crowdedAt || worst+c.batch/8 > roomIn(maxMetadata))
	c.easeAt = records / 2
}
