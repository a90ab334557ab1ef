package kafka

import (
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

// lagAge is how old the known end of a partition's log may become while nothing
// is fetched of it, since it is paused, say.
const lagAge = 10 * time.Second

// watchLag asks for the ends of the logs of partitions that are not fetched, so
// that their lag shows.
func (f *fetcher) watchLag() {
	tick := time.NewTicker(lagAge)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			f.askEnds(f.unfetched(time.Now()))
		case <-f.ctx.Done():
			return
		}
	}
}

func (f *fetcher) unfetched(now time.Time) (ids []transport.Partition) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.order {
		if !p.revoked && now.Sub(p.lastFetch) >= lagAge && now.Sub(p.lastAsked) >= lagAge {
			ids = append(ids, p.Partition)
			p.lastAsked = now
		}
	}
	return ids
}

func (f *fetcher) askEnds(ids []transport.Partition) {
	if len(ids) == 0 {
		return
	}
	ends, err := f.client.offsets(f.ctx, transport.Latest(), ids)
	if err != nil {
		return // the next tick tries again, and fetching tells of the trouble
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for id, end := range ends {
		if p := f.partitions[id]; p != nil {
			p.lastStable = max(p.lastStable, end)
			p.highWatermark = max(p.highWatermark, end)
		}
	}
}
