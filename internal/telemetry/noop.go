package telemetry

import (
	"sync"
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

// unstable notes since when last stable offsets stand still below their high
// watermark, as seen from collection to collection: a transaction that hangs
// holds back everything behind it, and shows here.
type unstable struct {
	mu    sync.Mutex
	since map[transport.Partition]standstill
}

type standstill struct {
	offset int64
	since  time.Time
}

// age is how long a partition's last stable offset has stood still.
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

// keep forgets the partitions that are not assigned any more.
func (u *unstable) keep(assigned map[transport.Partition]*transport.PartitionStatus) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for p := range u.since {
		if assigned[p] == nil {
			delete(u.since, p)
		}
	}
}
