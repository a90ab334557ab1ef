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
	// SilentAfter is the wait for an answer after which the fetcher begins to ask
	// who leads the partitions now: a frozen broker never answers, and the cluster
	// takes seconds to replace it.
	SilentAfter = 2 * time.Second
)

// Fetcher fetches the partitions of a consumer or a reader ahead of Poll: one
// request at a time per partition, and one for many partitions per leader, into
// pooled buffers.
//
// One goroutine decides what to fetch (run); each request is on a goroutine of
// its own, and so is whatever waits for a cluster's answer about leaders and
// positions. The responses are decoded by Poll.
type Fetcher struct {
	// These fields are set before Run and not changed afterwards.
	client    *cluster.Client
	log       *slog.Logger
	rack      string // in which to prefer replicas; empty for leaders
	isolation int8   // 1: committed records alone, 0: all
	limit     int    // bytes of responses that are fetched and not polled
	// Topics has the policy of each topic for offsets that its log does not have.
	Topics map[string]transport.TopicStart
	// Listener is called when a position moves that is not in the log. A group uses the
	// same one for its assignments, so that no two calls overlap.
	Listener *Listener
	// Recreated is called when a topic was deleted and created again since its
	// partitions were assigned. It must not block, nor call the Fetcher. It is nil
	// in a reader, which ends then, as it does when a topic is missing.
	Recreated func(topic string)

	// Ctx ends fetching. Like the fields above it is set before Run.
	Ctx  context.Context
	work *sync.WaitGroup
	// Both channels have a capacity of one: see Signal.
	wake  chan struct{} // something changed that run should look at
	ready chan struct{} // something changed that Poll should look at

	// mu guards what follows. It is never held while the Listener is called, a broker is
	// waited for, or records are decoded.
	mu         sync.Mutex
	partitions map[transport.Partition]*partition
	// order has the same partitions by topic and number. turn is where in it the next
	// round begins, and pollTurn where the next poll does, so that none is always last.
	order    []*partition
	turn     int
	pollTurn int
	// sources has the brokers that were ever fetched from, so that one that fails is left
	// alone for a while, whichever of its partitions come next.
	sources map[int32]*fetchSource // by node id
	leaders int                    // how many brokers lead the partitions
	// held counts the bytes of responses that are not polled, reserved those that the
	// requests under way may bring. Together they stay below limit, but for one request.
	held, reserved int
	resolving      bool  // a goroutine asks for leaders
	fatal          error // why a reader ends

	keys batch.HeaderKeys // Poll's alone, without mu
}

// fetchSource is a broker that is fetched from.
type fetchSource struct {
	// Guarded by Fetcher.mu.
	requests  int       // under way
	notBefore time.Time // after a failure, or when throttled
	failures  int       // in a row
}

// NewFetcher returns a fetcher without partitions. The caller sets Ctx, Listener,
// Topics and, for a group, Recreated before Run. limit bounds the bytes that are
// fetched and not polled; work counts its goroutines.
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

// Signal wakes the goroutine that waits on c, which has a capacity of one: a signal
// that nobody has received yet counts for both.
func Signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Run starts requests until Ctx ends.
// It is the only goroutine that starts requests. All that changes what may be fetched
// signals wake, so that the timer is for what time alone brings about: the end of a wait.
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
	f.mu.Lock()
	defer f.mu.Unlock()
	// Nothing is sent in this loop: partitions are gathered by broker first, so that one
	// request asks for all that a broker leads and that can be fetched now.
	again = time.Hour
	later := func(t time.Time) { again = min(again, max(t.Sub(now), time.Millisecond)) }
	fetches, unchecked := make(map[int32][]*partition), make(map[int32][]*partition)
	unknown := false
	for i := range f.order {
		p := f.order[(f.turn+i)%len(f.order)]
		// A replica near by that is silent is given up at once. A leader that is silent may be
		// waited for, but who leads the partition is asked for meanwhile.
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
	// The next round begins with another partition, so that none is always behind the bound
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
		// The partitions stay fetchable, and Poll wakes Run when it has made room.
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

// source returns what is known of a broker, the zero value at first. f.mu is held.
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

// partitionBytes is what one fetch may bring of one partition, unless a larger batch is
// known to come.
func (f *Fetcher) partitionBytes() int32 { return int32(min(fetchPartitionBytes, f.share())) }

// hasRoom reports whether the bound leaves room for another request. If not, what
// was fetched of paused partitions goes, to be fetched again when they are
// resumed: they must not keep the others from being fetched.
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

// Add starts to fetch partitions. Poll returns nothing of them before Announce.
func (f *Fetcher) Add(assigned []transport.Assignment) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range assigned {
		a := &assigned[i]
		p := newFetchPartition(a, f.partitionBytes())
		f.partitions[a.Partition] = p
		f.order = append(f.order, p)
	}
	// find searches by this order.
	slices.SortFunc(f.order, func(a, b *partition) int { return a.Compare(b.Partition) })
	Signal(f.wake)
}

// bound ends the fetching of partitions at an offset.
// A reader's alone: a consumer's partitions have no end.
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

// withdraw has nothing more fetched or returned of p. f.mu is held.
func (f *Fetcher) withdraw(p *partition) {
	// The queue is emptied now, so that its memory serves the other partitions.
	p.revoked = true
	f.moveTo(p, p.next)
}

// Stop stops fetching partitions, of which Poll returns nothing from now on. They
// still count as assigned, for commits, until Remove.
// It is called while the Listener's Revoked runs, before the last commit.
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

// Remove removes partitions.
// What a request under way still brings of them is dropped when it comes.
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

// Owned returns the assigned partitions, sorted.
// It includes those that are being revoked.
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

// Buffered returns the bytes of responses that are fetched and not polled, and those
// that requests under way may bring: what counts against the limit of NewFetcher.
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
