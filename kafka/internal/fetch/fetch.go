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
	// fetchWait is how long a broker may hold a fetch while there is no data.
	fetchWait = 500 * time.Millisecond
	// fetchPartitionBytes bounds one partition's data in a fetch response.
	fetchPartitionBytes = 512 << 10
	// fetchRequestBytes bounds a fetch response. With its overhead the response fits into a
	// buffer of 2 MiB, whose memory is not free until all of its data is handled.
	fetchRequestBytes = 2<<20 - 32<<10
	// fetchesPerBroker is the number of fetches that one broker may hold at a time. A partition
	// that becomes fetchable while the broker holds a fetch of others goes with the next fetch,
	// so that an idle partition never delays a busy one.
	fetchesPerBroker = 4
	// SilentAfter is how long the fetcher waits for an answer before it begins to ask who leads
	// the partitions now: a frozen broker never answers, and the cluster takes seconds to
	// replace it.
	SilentAfter = 2 * time.Second
)

// Fetcher fetches the partitions of a consumer or a reader ahead of Poll, into pooled buffers.
// There is one request at a time per partition, and a request asks one broker for many
// partitions.
//
// One goroutine decides what to fetch (Run). Each request runs on its own goroutine, and so does
// everything that waits for the cluster's answers about leaders and positions. Poll decodes the
// responses.
type Fetcher struct {
	// These fields are set before Run and not changed afterwards.
	client    *cluster.Client
	log       *slog.Logger
	rack      string // whose replicas are preferred; empty to fetch from leaders
	isolation int8   // 1: committed records only; 0: all
	limit     int    // on the bytes of responses that are fetched but not polled
	// Topics has each topic's policy for offsets that are not in its log.
	Topics map[string]transport.TopicStart
	// Listener is called when a position that is not in the log moves. A group uses the same
	// Listener for its assignments, so that no two calls overlap.
	Listener *Listener
	// Recreated is called when a topic was deleted and created again since its partitions were
	// assigned. It must neither block nor call the Fetcher. It is nil in a reader, which ends
	// instead, as it does when a topic is missing.
	Recreated func(topic string)

	// Ctx ends fetching. Like the fields above, it is set before Run.
	Ctx  context.Context
	work *sync.WaitGroup
	// Both channels have a capacity of one: see Signal.
	wake  chan struct{} // something changed that Run should look at
	ready chan struct{} // something changed that Poll should look at

	// mu guards the fields below, except keys. It is never held while the Listener is called,
	// while a broker is waited for, or while records are decoded.
	mu         sync.Mutex
	partitions map[transport.Partition]*partition
	// order has the same partitions, sorted by topic and number. The next round begins at turn
	// and the next poll at pollTurn, so that no partition is always last.
	order    []*partition
	turn     int
	pollTurn int
	// sources has all brokers that were ever fetched from. After a failure a broker is left
	// alone for a while, whatever partitions it is needed for next.
	sources map[int32]*fetchSource // by node id
	leaders int                    // number of brokers that lead the partitions
	// held is the number of bytes of responses that are not polled, and reserved the number that
	// running requests may add. Their sum stays within limit, except that one request is always
	// allowed.
	held, reserved int
	resolving      bool  // a goroutine runs resolve
	fatal          error // why a reader ends

	keys batch.HeaderKeys // used by Poll only, without mu
}

// fetchSource is a broker that is fetched from.
type fetchSource struct {
	// Guarded by Fetcher.mu.
	requests  int       // in flight
	notBefore time.Time // after a failure, or when throttled
	failures  int       // in a row
}

// NewFetcher returns a fetcher without partitions. The caller sets Ctx, Listener, Topics and,
// for a group, Recreated before Run. limit bounds the bytes that are fetched but not polled;
// work counts the fetcher's goroutines.
func NewFetcher(c *cluster.Client, log *slog.Logger, rack string, limit int, uncommitted bool, work *sync.WaitGroup) *Fetcher {
	f := &Fetcher{
		client: c, log: log, rack: rack, limit: limit,
		work: work, wake: make(chan struct{}, 1), ready: make(chan struct{}, 1),
		partitions: make(map[transport.Partition]*partition), sources: make(map[int32]*fetchSource),
	}
	if !uncommitted {
		f.isolation = 1
	}
	return f
}

// Signal wakes the goroutine that waits on c, which has a capacity of one: signals that were not
// received yet count as one.
func Signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Run starts requests until Ctx ends. It is the only goroutine that starts them. Whatever
// changes what may be fetched signals wake, so the timer is needed only for the ends of waits.
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

// round starts the requests that can start now. It returns when to look again if nothing happens
// before.
func (f *Fetcher) round(now time.Time) (again time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	// Send nothing in this loop: it groups partitions by broker, so that one request asks for
	// everything that can be fetched from that broker now.
	again = time.Hour
	later := func(t time.Time) { again = min(again, max(t.Sub(now), time.Millisecond)) }
	fetches, unchecked := make(map[int32][]*partition), make(map[int32][]*partition)
	unknown := false
	for i := range f.order {
		p := f.order[(f.turn+i)%len(f.order)]
		// Leave a silent replica at once. Go on waiting for a silent leader, but ask meanwhile
		// who leads the partition.
		if p.silent(now) {
			p.request.cancel()
			p.request = nil
			p.leaveReplica(now)
		}
		if r := p.request; r != nil && !p.recheck {
			if due := p.recheckDue(); now.Before(due) {
				later(due)
			} else {
				p.recheck, p.rechecked, unknown = true, now, true
				later(p.recheckDue())
			}
		}
		if !p.fetchable() {
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
		if p.place != inLog {
			unchecked[p.leader] = append(unchecked[p.leader], p)
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
	// Begin the next round with another partition, so that none is always cut off by the bound
	// of a broker's requests or of the memory.
	f.turn++
	if unknown && !f.resolving {
		f.resolving = true
		f.work.Go(f.resolve)
	}
	for leader, ps := range unchecked {
		f.checkPositions(leader, ps)
	}
	for broker, ps := range fetches {
		// The partitions stay fetchable, and Poll wakes Run once it has made room.
		if !f.hasRoom() {
			break
		}
		f.send(broker, ps, now)
		for _, p := range ps {
			later(p.recheckDue())
		}
	}
	return again
}

// source returns the state of a broker, creating it if needed. f.mu is held.
func (f *Fetcher) source(broker int32) *fetchSource {
	s := f.sources[broker]
	if s == nil {
		s = &fetchSource{}
		f.sources[broker] = s
	}
	return s
}

// share returns how many bytes one request may return: few enough that every broker can hold one
// request while it has no data, and another request can still return some.
func (f *Fetcher) share() int {
	return max(min(f.limit/(2*max(f.leaders, 1)+2), fetchRequestBytes), 1)
}

// partitionBytes returns how many bytes one fetch may return for a partition, unless a larger
// batch is known to be next.
func (f *Fetcher) partitionBytes() int32 { return int32(min(fetchPartitionBytes, f.share())) }

// hasRoom reports whether the limit leaves room for another request. If it doesn't, hasRoom
// first drops the data of paused partitions, which is fetched again after they resume: they must
// not keep the others from being fetched.
func (f *Fetcher) hasRoom() bool {
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

// Add starts fetching partitions. Poll does not return their records before Announce.
func (f *Fetcher) Add(assigned []transport.Assignment) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range assigned {
		a := &assigned[i]
		p := newFetchPartition(a, f.partitionBytes())
		f.partitions[a.Partition] = p
		f.order = append(f.order, p)
	}
	// find depends on this order.
	slices.SortFunc(f.order, func(a, b *partition) int { return a.Compare(b.Partition) })
	Signal(f.wake)
}

// bound sets the offsets at which partitions end. Only readers use it: a consumer's partitions
// have no end.
func (f *Fetcher) bound(ends map[transport.Partition]int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id, end := range ends {
		if p := f.partitions[id]; p != nil {
			p.end = end
		}
	}
}

// Announce lets Poll return records of partitions.
func (f *Fetcher) Announce(assigned []transport.Assignment) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range assigned {
		if p := f.partitions[assigned[i].Partition]; p != nil && p.epoch == assigned[i].Epoch {
			p.announced = true
		}
	}
	Signal(f.ready)
}

// withdraw stops fetching p and returning its records. f.mu is held.
func (f *Fetcher) withdraw(p *partition) {
	// Empty the queue now, so that the other partitions can use its memory.
	p.revoked = true
	f.moveTo(p, p.next)
}

// Stop stops fetching partitions. From now on Poll does not return their records. They still
// count as assigned, for commits, until Remove. Stop is called while the Listener's Revoked
// runs, before the last commit.
func (f *Fetcher) Stop(partitions []transport.Partition) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, id := range partitions {
		if p := f.partitions[id]; p != nil {
			f.withdraw(p)
		}
	}
	Signal(f.wake)
}

// Remove removes partitions. Data of theirs that a running request still returns is dropped.
func (f *Fetcher) Remove(partitions []transport.Partition) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, id := range partitions {
		if p := f.partitions[id]; p != nil {
			f.withdraw(p)
			delete(f.partitions, id)
		}
	}
	f.order = slices.DeleteFunc(f.order, func(p *partition) bool { return f.partitions[p.Partition] != p })
}

// Owned returns the assigned partitions, sorted, including those that are being revoked.
func (f *Fetcher) Owned() []transport.Partition {
	f.mu.Lock()
	defer f.mu.Unlock()
	owned := make([]transport.Partition, len(f.order))
	for i, p := range f.order {
		owned[i] = p.Partition
	}
	return owned
}

// Owns reports whether a partition is assigned under that epoch.
func (f *Fetcher) Owns(id transport.Partition, epoch uint64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.partitions[id]
	return p != nil && p.epoch == epoch
}

// Pause pauses or resumes partitions. It ignores those that are not assigned.
func (f *Fetcher) Pause(partitions []transport.Partition, paused bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, id := range partitions {
		if p := f.partitions[id]; p != nil {
			p.paused = paused
		}
	}
	Signal(f.wake)
	Signal(f.ready)
}

// Buffered returns the number of bytes of responses that are fetched but not polled, and the
// number that running requests may add. Both count against the limit of NewFetcher.
func (f *Fetcher) Buffered() (held, reserved int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.held, f.reserved
}

// Status returns the state of all partitions, sorted.
func (f *Fetcher) Status() []transport.PartitionStatus {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := make([]transport.PartitionStatus, len(f.order))
	for i, p := range f.order {
		all[i] = transport.PartitionStatus{
			Partition: p.Partition, Next: p.next, LastStable: p.lastStable, HighWatermark: p.highWatermark,
			LastFetch: p.lastFetch, Paused: p.paused, Err: p.err,
		}
		if p.damage != nil {
			all[i].Unreadable = p.damage.unreadable()
		}
	}
	return all
}
