package fetch

import (
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

// LagAge is the age at which the known end of a log is refreshed if its partition is not being
// fetched, for example because it is paused.
const LagAge = 10 * time.Second

// WatchLag refreshes the ends of the logs of partitions that are not being fetched, so that
// their lag is known. It returns when Ctx ends.
func (f *Fetcher) WatchLag() {
	for {
		select {
		case <-time.After(LagAge):
			// Each fetch response brings its partition's end.
			f.askEnds(f.unfetched(time.Now()))
		case <-f.Ctx.Done():
			return
		}
	}
}

// unfetched returns the partitions whose log end is older than LagAge.
func (f *Fetcher) unfetched(now time.Time) (ids []transport.Partition) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.order {
		// Set lastAsked here, before an answer, so that a partition whose leader doesn't answer
		// is asked about no more often than the others.
		if !p.revoked && now.Sub(p.lastFetch) >= LagAge && now.Sub(p.lastAsked) >= LagAge {
			ids = append(ids, p.Partition)
			p.lastAsked = now
		}
	}
	return ids
}

// askEnds asks for the last stable offsets of partitions. It never moves an end back: a fetch's
// newer answer may have come first.
func (f *Fetcher) askEnds(ids []transport.Partition) {
	if len(ids) == 0 {
		return
	}
	// The next tick retries what failed, and fetching reports the cause.
	ends, _ := f.client.TryOffsets(f.Ctx, transport.Latest(), ids)
	f.mu.Lock()
	defer f.mu.Unlock()
	for id, end := range ends {
		if p := f.partitions[id]; p != nil {
			p.lastStable = max(p.lastStable, end)
			p.highWatermark = max(p.highWatermark, end)
		}
	}
}
