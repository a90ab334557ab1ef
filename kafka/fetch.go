package kafka

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

const (
	// fetchWait is how long a broker may hold a fetch until there is something.
	fetchWait = 500 * time.Millisecond
	// fetchPartitionBytes is what one fetch may bring of one partition.
	fetchPartitionBytes = 512 << 10
	// fetchRequestBytes bounds what one fetch may bring in all, so that a little
	// more fits a buffer of 2 MiB: its memory is free again only when all that
	// came in it is handled.
	fetchRequestBytes = 2<<20 - 32<<10
	// fetchesPerBroker is how many fetches one broker may hold at a time. A
	// partition that becomes fetchable while one waits at the broker for others
	// goes with the next, so that an idle partition never delays a busy one.
	fetchesPerBroker = 4
	// fetchPatience is after how long without an answer it is found out, again and
	// again, whether the partitions have moved elsewhere: a broker that is frozen
	// says nothing, and it takes the cluster seconds to depose it.
	fetchPatience = 2 * time.Second
)

// fetcher fetches the partitions of a consumer or a reader ahead of Poll: one
// request at a time per partition, and one for many partitions per leader, into
// pooled buffers.
//
// One goroutine decides what to fetch (run); each request is on a goroutine of
// its own, and so is whatever waits for a cluster's answer about leaders and
// positions. The responses are decoded by Poll.
type fetcher struct {
	client    *client
	log       *slog.Logger
	rack      string
	isolation int8
	limit     int // bytes fetched and not polled
	topics    map[string]transport.TopicStart
	listener  *listener
	// recreated hears of a topic that is another than was assigned; nil in a
	// reader, which does not wait for what is missing: it ends.
	recreated func(topic string)

	ctx  context.Context // ends fetching
	work *sync.WaitGroup
	wake chan struct{} // something changed that run should look at
	some chan struct{} // something changed that Poll should look at

	mu         sync.Mutex
	partitions map[transport.Partition]*fetchPartition
	order      []*fetchPartition // by topic and partition
	turn       int               // where in order the next round begins, so that none is always last
	pollTurn   int
	sources    map[int32]*fetchSource
	leaders    int // how many brokers lead the partitions
	held       int // bytes of responses that are not polled
	reserved   int // bytes that requests in flight may bring
	resolving  bool
	hopeless   error // why a reader ends

	keys headerKeys // Poll's
}

// fetchSource is a broker that is fetched from.
type fetchSource struct {
	requests  int
	notBefore time.Time // after a failure, or when throttled
	failures  int
}

// newFetcher returns a fetcher that fetches nothing yet. Its ctx, listener, topics
// and recreated are still to be set.
func newFetcher(c *client, log *slog.Logger, limit int, uncommitted bool, work *sync.WaitGroup) *fetcher {
	f := &fetcher{
		client: c, log: log, rack: c.cfg.Rack, limit: limit,
		work: work, wake: make(chan struct{}, 1), some: make(chan struct{}, 1),
		partitions: make(map[transport.Partition]*fetchPartition), sources: make(map[int32]*fetchSource),
	}
	if !uncommitted {
		f.isolation = 1
	}
	return f
}

// signal wakes whoever waits on a channel of one place.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// run starts requests whenever there is a reason to, until ctx ends.
func (f *fetcher) run() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for f.ctx.Err() == nil {
		timer.Reset(f.round(time.Now()))
		select {
		case <-f.wake:
		case <-timer.C:
		case <-f.ctx.Done():
		}
	}
}

// round starts what can be started now, and returns when to look again if
// nothing happens.
func (f *fetcher) round(now time.Time) (again time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	again = time.Hour
	later := func(t time.Time) { again = min(again, max(t.Sub(now), time.Millisecond)) }
	fetches, doubts := make(map[int32][]*fetchPartition), make(map[int32][]*fetchPartition)
	unknown := false
	for i := range f.order {
		p := f.order[(f.turn+i)%len(f.order)]
		if r := p.request; r != nil && !p.recheck {
			if due := p.recheckDue(); now.Before(due) {
				later(due)
			} else {
				p.recheck, p.rechecked, unknown = true, now, true
				later(p.recheckDue())
			}
		}
		if !p.wants() {
			continue
		}
		if now.Before(p.notBefore) {
			later(p.notBefore)
			continue
		}
		if p.leader < 0 {
			unknown = true
			continue
		}
		if p.doubt != sure {
			doubts[p.leader] = append(doubts[p.leader], p)
			continue
		}
		broker := p.source(now)
		switch source := f.source(broker); {
		case now.Before(source.notBefore):
			later(source.notBefore)
		case source.requests < fetchesPerBroker:
			fetches[broker] = append(fetches[broker], p)
		}
	}
	f.turn++
	if unknown && !f.resolving {
		f.resolving = true
		f.work.Go(f.resolve)
	}
	for leader, ps := range doubts {
		f.mend(leader, ps)
	}
	for broker, ps := range fetches {
		if !f.room() {
			break
		}
		f.send(broker, ps, now)
		for _, p := range ps {
			later(p.recheckDue())
		}
	}
	return again
}

func (f *fetcher) source(broker int32) *fetchSource {
	s := f.sources[broker]
	if s == nil {
		s = &fetchSource{}
		f.sources[broker] = s
	}
	return s
}

// share is what one request may bring: little enough that every broker can hold
// one for as long as nothing comes, and another bring something.
func (f *fetcher) share() int {
	return max(min(f.limit/(2*max(f.leaders, 1)+2), fetchRequestBytes), 1)
}

// room tells whether the bound leaves room for another request. If not, what
// was fetched of paused partitions goes, to be fetched again when they are
// resumed: they must not keep the others from being fetched.
func (f *fetcher) room() bool {
	fits := func() bool {
		used := f.held + f.reserved
		return used == 0 || used+f.share() <= f.limit
	}
	if fits() {
		return true
	}
	for _, p := range f.order {
		if p.paused && len(p.queue) > 0 {
			f.moveTo(p, p.next)
		}
	}
	return fits()
}

// add begins to fetch partitions. Poll returns nothing of them before announce.
func (f *fetcher) add(assigned []transport.Assignment) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range assigned {
		a := &assigned[i]
		p := newFetchPartition(a, int32(min(fetchPartitionBytes, f.share())))
		f.partitions[a.Partition] = p
		f.order = append(f.order, p)
	}
	slices.SortFunc(f.order, func(a, b *fetchPartition) int { return a.Compare(b.Partition) })
	signal(f.wake)
}

// bound ends the fetching of partitions at an offset.
func (f *fetcher) bound(ends map[transport.Partition]int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id, end := range ends {
		if p := f.partitions[id]; p != nil {
			p.end = end
		}
	}
}

// announce lets Poll return what is fetched of partitions.
func (f *fetcher) announce(assigned []transport.Assignment) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range assigned {
		if p := f.partitions[assigned[i].Partition]; p != nil && p.epoch == assigned[i].Epoch {
			p.announced = true
		}
	}
	signal(f.some)
}

// stop ends the fetching of partitions, of which Poll returns nothing from now
// on. They still count as assigned, for commits.
func (f *fetcher) stop(partitions []transport.Partition) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, id := range partitions {
		if p := f.partitions[id]; p != nil {
			p.revoked = true
			f.moveTo(p, p.next)
		}
	}
	signal(f.wake)
}

// remove forgets partitions.
func (f *fetcher) remove(partitions []transport.Partition) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, id := range partitions {
		if p := f.partitions[id]; p != nil {
			p.revoked = true
			f.moveTo(p, p.next)
			delete(f.partitions, id)
		}
	}
	f.order = slices.DeleteFunc(f.order, func(p *fetchPartition) bool { return f.partitions[p.Partition] != p })
}

// owned are the partitions that are assigned, in order.
func (f *fetcher) owned() []transport.Partition {
	f.mu.Lock()
	defer f.mu.Unlock()
	owned := make([]transport.Partition, len(f.order))
	for i, p := range f.order {
		owned[i] = p.Partition
	}
	return owned
}

// owns tells whether a partition is assigned under that epoch.
func (f *fetcher) owns(id transport.Partition, epoch uint64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.partitions[id]
	return p != nil && p.epoch == epoch
}

// pause stops or resumes partitions. Those that are not assigned are ignored.
func (f *fetcher) pause(partitions []transport.Partition, paused bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, id := range partitions {
		if p := f.partitions[id]; p != nil {
			p.paused = paused
		}
	}
	signal(f.wake)
	signal(f.some)
}

// status is a snapshot of all partitions, in order.
func (f *fetcher) status() []transport.PartitionStatus {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := make([]transport.PartitionStatus, len(f.order))
	for i, p := range f.order {
		all[i] = transport.PartitionStatus{
			Partition: p.Partition, Next: p.next, LastStable: p.lastStable, HighWatermark: p.highWatermark,
			LastFetch: p.lastFetch, Paused: p.paused, Err: p.err,
		}
	}
	return all
}
