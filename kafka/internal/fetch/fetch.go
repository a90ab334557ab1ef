package fetch

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/eventbus-go/eventbus/kafka/internal/batch"
	"github.com/eventbus-go/eventbus/kafka/internal/cluster"
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
	// FetchPatience is after how long without an answer it is found out, again and
	// again, whether the partitions have moved elsewhere: a broker that is frozen
	// says nothing, and it takes the cluster seconds to depose it.
	FetchPatience = 2 * time.Second
)

// Fetcher fetches the partitions of a consumer or a reader ahead of Poll: one
// request at a time per partition, and one for many partitions per leader, into
// pooled buffers.
//
// One goroutine decides what to fetch (run); each request is on a goroutine of
// its own, and so is whatever waits for a cluster's answer about leaders and
// positions. The responses are decoded by Poll.
type Fetcher struct {
	client    *cluster.Client
	log       *slog.Logger
	rack      string
	isolation int8
	limit     int // bytes fetched and not polled
	Topics    map[string]transport.TopicStart
	Listener  *Listener
	// Recreated hears of a topic that is another than was assigned; nil in a
	// reader, which does not wait for what is missing: it ends.
	Recreated func(topic string)

	Ctx  context.Context // ends fetching
	work *sync.WaitGroup
	wake chan struct{} // something changed that run should look at
	some chan struct{} // something changed that Poll should look at

	Mu         sync.Mutex
	Partitions map[transport.Partition]*FetchPartition
	Order      []*FetchPartition // by topic and partition
	turn       int               // where in order the next round begins, so that none is always last
	pollTurn   int
	sources    map[int32]*fetchSource
	leaders    int // how many brokers lead the partitions
	Held       int // bytes of responses that are not polled
	Reserved   int // bytes that requests in flight may bring
	resolving  bool
	hopeless   error // why a reader ends

	keys batch.HeaderKeys // Poll's
}

// fetchSource is a broker that is fetched from.
type fetchSource struct {
	requests  int
	notBefore time.Time // after a failure, or when throttled
	failures  int
}

// NewFetcher returns a fetcher that fetches nothing yet. Its ctx, listener, topics
// and recreated are still to be set.
func NewFetcher(c *cluster.Client, log *slog.Logger, rack string, limit int, uncommitted bool, work *sync.WaitGroup) *Fetcher {
	f := &Fetcher{
		client: c, log: log, rack: rack, limit: limit,
		work: work, wake: make(chan struct{}, 1), some: make(chan struct{}, 1),
		Partitions: make(map[transport.Partition]*FetchPartition), sources: make(map[int32]*fetchSource),
	}
	if !uncommitted {
		f.isolation = 1
	}
	return f
}

// Signal wakes whoever waits on a channel of one place.
func Signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Run starts requests whenever there is a reason to, until ctx ends.
func (f *Fetcher) Run() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for f.Ctx.Err() == nil {
		timer.Reset(f.round(time.Now()))
		select {
		case <-f.wake:
		case <-timer.C:
		case <-f.Ctx.Done():
		}
	}
}

// round starts what can be started now, and returns when to look again if
// nothing happens.
func (f *Fetcher) round(now time.Time) (again time.Duration) {
	f.Mu.Lock()
	defer f.Mu.Unlock()
	again = time.Hour
	later := func(t time.Time) { again = min(again, max(t.Sub(now), time.Millisecond)) }
	fetches, doubts := make(map[int32][]*FetchPartition), make(map[int32][]*FetchPartition)
	unknown := false
	for i := range f.Order {
		p := f.Order[(f.turn+i)%len(f.Order)]
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

func (f *Fetcher) source(broker int32) *fetchSource {
	s := f.sources[broker]
	if s == nil {
		s = &fetchSource{}
		f.sources[broker] = s
	}
	return s
}

// share is what one request may bring: little enough that every broker can hold
// one for as long as nothing comes, and another bring something.
func (f *Fetcher) share() int {
	return max(min(f.limit/(2*max(f.leaders, 1)+2), fetchRequestBytes), 1)
}

// room tells whether the bound leaves room for another request. If not, what
// was fetched of paused partitions goes, to be fetched again when they are
// resumed: they must not keep the others from being fetched.
func (f *Fetcher) room() bool {
	fits := func() bool {
		used := f.Held + f.Reserved
		return used == 0 || used+f.share() <= f.limit
	}
	if fits() {
		return true
	}
	for _, p := range f.Order {
		if p.paused && len(p.queue) > 0 {
			f.moveTo(p, p.next)
		}
	}
	return fits()
}

// Add begins to fetch partitions. Poll returns nothing of them before announce.
func (f *Fetcher) Add(assigned []transport.Assignment) {
	f.Mu.Lock()
	defer f.Mu.Unlock()
	for i := range assigned {
		a := &assigned[i]
		p := newFetchPartition(a, int32(min(fetchPartitionBytes, f.share())))
		f.Partitions[a.Partition] = p
		f.Order = append(f.Order, p)
	}
	slices.SortFunc(f.Order, func(a, b *FetchPartition) int { return a.Compare(b.Partition) })
	Signal(f.wake)
}

// bound ends the fetching of partitions at an offset.
func (f *Fetcher) bound(ends map[transport.Partition]int64) {
	f.Mu.Lock()
	defer f.Mu.Unlock()
	for id, end := range ends {
		if p := f.Partitions[id]; p != nil {
			p.end = end
		}
	}
}

// Announce lets Poll return what is fetched of partitions.
func (f *Fetcher) Announce(assigned []transport.Assignment) {
	f.Mu.Lock()
	defer f.Mu.Unlock()
	for i := range assigned {
		if p := f.Partitions[assigned[i].Partition]; p != nil && p.epoch == assigned[i].Epoch {
			p.announced = true
		}
	}
	Signal(f.some)
}

// Stop ends the fetching of partitions, of which Poll returns nothing from now
// on. They still count as assigned, for commits.
func (f *Fetcher) Stop(partitions []transport.Partition) {
	f.Mu.Lock()
	defer f.Mu.Unlock()
	for _, id := range partitions {
		if p := f.Partitions[id]; p != nil {
			p.Revoked = true
			f.moveTo(p, p.next)
		}
	}
	Signal(f.wake)
}

// Remove forgets partitions.
func (f *Fetcher) Remove(partitions []transport.Partition) {
	f.Mu.Lock()
	defer f.Mu.Unlock()
	for _, id := range partitions {
		if p := f.Partitions[id]; p != nil {
			p.Revoked = true
			f.moveTo(p, p.next)
			delete(f.Partitions, id)
		}
	}
	f.Order = slices.DeleteFunc(f.Order, func(p *FetchPartition) bool { return f.Partitions[p.Partition] != p })
}

// Owned are the partitions that are assigned, in order.
func (f *Fetcher) Owned() []transport.Partition {
	f.Mu.Lock()
	defer f.Mu.Unlock()
	owned := make([]transport.Partition, len(f.Order))
	for i, p := range f.Order {
		owned[i] = p.Partition
	}
	return owned
}

// Owns tells whether a partition is assigned under that epoch.
func (f *Fetcher) Owns(id transport.Partition, epoch uint64) bool {
	f.Mu.Lock()
	defer f.Mu.Unlock()
	p := f.Partitions[id]
	return p != nil && p.epoch == epoch
}

// Pause stops or resumes partitions. Those that are not assigned are ignored.
func (f *Fetcher) Pause(partitions []transport.Partition, paused bool) {
	f.Mu.Lock()
	defer f.Mu.Unlock()
	for _, id := range partitions {
		if p := f.Partitions[id]; p != nil {
			p.paused = paused
		}
	}
	Signal(f.wake)
	Signal(f.some)
}

// Status is a snapshot of all partitions, in order.
func (f *Fetcher) Status() []transport.PartitionStatus {
	f.Mu.Lock()
	defer f.Mu.Unlock()
	all := make([]transport.PartitionStatus, len(f.Order))
	for i, p := range f.Order {
		all[i] = transport.PartitionStatus{
			Partition: p.Partition, Next: p.next, LastStable: p.lastStable, HighWatermark: p.highWatermark,
			LastFetch: p.lastFetch, Paused: p.paused, Err: p.err,
		}
	}
	return all
}
