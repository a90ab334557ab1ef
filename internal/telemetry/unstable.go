package telemetry

import (
	"sync"
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

// unstable remembers since when the last stable offset of each partition has
// stood still below its high watermark. A hanging transaction holds back every
// record behind it, and this is where it shows. It knows only what collections
// see, so an age is accurate to the collection interval.
type unstable struct {
	// mu guards since.
	mu sync.Mutex
	// since has an entry for each partition whose offset stands still.
	since map[transport.Partition]standstill
}

// standstill is a last stable offset and when a collection first saw it.
type standstill struct {
	offset int64
	since  time.Time
}

// age returns how long a partition's last stable offset has stood still.
func (u *unstable) age(p *transport.PartitionStatus, now time.Time) time.Duration {
	u.mu.Lock()
	defer u.mu.Unlock()
	if p.HighWatermark <= p.LastStable {
		delete(u.since, p.Partition)
		return 0
	}
	if s, ok := u.since[p.Partition]; ok && s.offset == p.LastStable {
		return now.Sub(s.since)
	}
	if u.since == nil {
		u.since = make(map[transport.Partition]standstill)
	}
	u.since[p.Partition] = standstill{p.LastStable, now}
	return 0
}

// keep removes the partitions that are no longer assigned: without it the map
// would grow with every rebalance.
func (u *unstable) keep(assigned map[transport.Partition]*transport.PartitionStatus) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for p := range u.since {
		if assigned[p] == nil {
			delete(u.since, p)
		}
	}
}
