package fetch

import (
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

// LagAge is the time after which the known end of a log is refreshed while its
// partition is not fetched, because it is paused for example.
const LagAge = 10 * time.Second

// WatchLag refreshes the ends of the logs of partitions that are not fetched, so
// that their lag is known. It returns when Ctx ends.
func (f *Fetcher) WatchLag() {
	for {
		select {
		case <-time.After(LagAge):
			// A partition that is fetched learns its end with each response.
			f.askEnds(f.unfetched(time.Now()))
		case <-f.Ctx.Done():
			return
		}
	}
}

// unfetched returns the partitions whose log's end was not seen for LagAge.
func (f *Fetcher) unfetched(now time.Time) (ids []transport.Partition) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.order {
		// lastAsked is set here, so that a partition whose leader does not answer is asked for no
		// more often than the others.
		if !p.revoked && now.Sub(p.lastFetch) >= LagAge && now.Sub(p.lastAsked) >= LagAge {
			ids = append(ids, p.Partition)
			p.lastAsked = now
		}
	}
	return ids
}

// askEnds asks for the last stable offsets of partitions. An end never goes back here: an
// answer may have been overtaken by that of a fetch.
func (f *Fetcher) askEnds(ids []transport.Partition) {
	if len(ids) == 0 {
		return
	}
	// The next tick tries again what failed, and fetching reports why it did.
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
