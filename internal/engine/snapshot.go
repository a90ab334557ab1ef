package engine

import (
	"cmp"
	"maps"
	"slices"
	"sort"
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

// Snapshot is what an engine knows about its progress. It is not of one instant: partitions
// continue while others are examined, so sums of its parts may differ from its totals.
type Snapshot struct {
	Member        transport.ConsumerStatus
	Alive         bool
	Partitions    []PartitionSnapshot
	Subscriptions []SubscriptionSnapshot
	Records       int64 // in lanes
	Bytes         int64
	ParkedKeys    int64
	ParkedBytes   int64
	ParkedUse     float64        // used share of the room for waiting keys; at 1, partitions with such keys stop fetching
	HeldUse       float64        // the same for its part for other members' events
	Held          []HeldSnapshot // by topic and type
	Abandoned     int64
}

// HeldSnapshot is a type whose events are held for other members of the group. Its keys are
// parked too, and also count in PartitionSnapshot.ParkedKeys.
type HeldSnapshot struct {
	Topic, Type string
	Keys        int64
	Events      int64         // of those keys, of any type
	Longest     time.Duration // longest wait
	Live        bool          // a member handles it now
	Until       time.Time     // when the policy applies if nobody comes; zero if Live
}

// PartitionSnapshot is one partition's progress. Its ages and times show whether it makes any:
// health goes by OldestAge, and lag is the distance from Watermark to LastStable.
type PartitionSnapshot struct {
	Partition    transport.Partition
	Epoch        uint64
	Watermark    int64 // lowest unfinished offset
	Next         int64 // next offset to take in
	Committed    int64
	LastStable   int64 // −1 before the first batch
	Records      int64 // in lanes
	Lanes        int   // one per key
	Running      int64
	Parked       []ParkedSnapshot // longest wait first, at most 100
	ParkedKeys   int64
	HeldEvents   int64 // of keys that wait for another member of the group
	Gathered     int   // keys that wait for a full batch
	Paused       bool
	Beyond       int64   // finished beyond the watermark
	MetadataUse  float64 // of the commit's metadata, as last measured; near 0.75 the partition is Crowded
	Crowded      bool    // it stops fetching until the lowest unfinished record has ended
	Uncarried    int     // failed events whose budget or decision did not fit into the last commit
	OldestAge    time.Duration
	OldestType   string    // the type for which the lowest unfinished offset is held for another member
	OldestLive   bool      // which exists
	OldestHeld   bool      // the lowest unfinished offset waits for a subscription held by an operator
	OldestPaced  bool      // it waits for its turn under its subscription's Limit
	Oldest       time.Time // record time of the lowest unfinished offset; zero if there is none
	LastIntake   time.Time // zero if nothing was fetched yet
	LastProgress time.Time
}

// ParkedSnapshot is one waiting key.
type ParkedSnapshot struct {
	Key      []byte
	Offset   int64
	State    string
	Waiting  time.Duration
	Due      time.Duration // until the next attempt, or the next write of the dead letter; 0 if it waits for something else
	Attempts int
	Queued   int64  // bytes waiting in the lane
	Error    string // of the last attempt, or of the dead letter's last write
}

// SubscriptionSnapshot is one subscription's state. Running includes the stuck handlers, since
// they still run.
type SubscriptionSnapshot struct {
	Name        string
	Concurrency int
	Allowed     int // at most Concurrency; the breaker may lower it
	Running     int
	Stuck       int           // handlers that ignore their context
	Longest     time.Duration // of the running attempts
	Starved     time.Duration // how long events have been ready without finding a worker; zero if none are
	Breaker     string
	Held        bool
	Limited     bool  // events wait for its rate limit
	Discarded   int64 // records, since the start
}

// maxParkedShown bounds the parked keys in a partition's snapshot.
const maxParkedShown = 100

// Snapshot examines everything, one lock at a time.
func (e *Engine) Snapshot() Snapshot {
	s := Snapshot{
		Records: e.pool.records.Load(), Bytes: e.pool.bytes.Load(),
		ParkedKeys: e.pool.parkedKeys.Load(), ParkedBytes: e.pool.parkedBytes.Load(),
		ParkedUse: e.pool.parkedUse(), HeldUse: e.pool.heldUse(),
		Abandoned: e.abandoned.Load(),
	}
	select {
	case <-e.started:
	default:
		return s
	}
	// Without a lock: the consumer acquires its own.
	s.Member, s.Alive = e.consumer.Status(), e.consumer.Alive()
	// Shared by all partitions, so that each type is decided about once.
	held := make(map[*foreignType]*HeldSnapshot)
	for _, p := range e.owned() {
		s.Partitions = append(s.Partitions, p.snapshot(held))
	}
	s.Held = heldByType(held)
	// Not slices.SortFunc: a program links 20 kB of it for each large type.
	sort.Slice(s.Partitions, func(i, k int) bool { return s.Partitions[i].Partition.Compare(s.Partitions[k].Partition) < 0 })
	// The log may have grown beyond what was taken in, and beyond what can't be read.
	for i := range s.Partitions {
		p := &s.Partitions[i]
		for k := range s.Member.Partitions {
			// The consumer may know partitions that are not here yet or any more.
			if m := &s.Member.Partitions[k]; m.Partition == p.Partition {
				p.LastStable = max(p.LastStable, m.LastStable)
			}
		}
	}
	for sub := range e.subs {
		s.Subscriptions = append(s.Subscriptions, sub.Snapshot())
	}
	sort.Slice(s.Subscriptions, func(i, k int) bool { return s.Subscriptions[i].Name < s.Subscriptions[k].Name })
	return s
}

// heldByType merges what partitions hold by type. Several pointers stand for the same type if
// it was met, dropped and met again; see maxMet.
func heldByType(held map[*foreignType]*HeldSnapshot) []HeldSnapshot {
	byName := make(map[string]*HeldSnapshot)
	for t, h := range held {
		name := t.topic + " " + t.typ
		if all := byName[name]; all != nil {
			all.Keys, all.Events, all.Longest = all.Keys+h.Keys, all.Events+h.Events, max(all.Longest, h.Longest)
		} else {
			byName[name] = h
		}
	}
	var all []HeldSnapshot
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		all = append(all, *byName[name])
	}
	return all
}

// snapshot adds what the partition holds for other members to held. It walks all lanes with mu
// held, and handlers of the partition wait for that when they end, so nothing here may block.
func (p *partition) snapshot(held map[*foreignType]*HeldSnapshot) PartitionSnapshot {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := PartitionSnapshot{
		Partition: p.id, Epoch: p.epoch, Watermark: p.tracker.base, Next: p.tracker.end, Committed: p.committed,
		LastStable: p.lastStable, Records: p.records, Lanes: p.lanes.count, Running: int64(p.running), ParkedKeys: p.parkedKeys, HeldEvents: p.heldRecords, Paused: p.paused,
		Beyond: p.tracker.window() - p.records, LastIntake: p.lastIntake, LastProgress: p.lastProgress,
		MetadataUse: p.crowding.use, Crowded: p.crowding.full, Uncarried: p.uncarried,
	}
	// Without records here, nothing can be late.
	if p.records > 0 {
		s.OldestAge = time.Since(p.lastProgress)
	}
	for _, g := range p.gathering {
		s.Gathered += len(g.lanes)
	}
	// The watermark waits for the lowest offset here.
	first, of := int64(-1), (*Subscription)(nil)
	for l := range p.lanes.all() {
		if l.state >= laneParked {
			s.Parked = append(s.Parked, l.snapshot())
		}
		if l.awaits() {
			l.addTo(held)
		}
		// A lane that ran empty stays in the table while its partition drains.
		if it := l.head; it != nil && (first < 0 || it.record.Offset < first) {
			first, s.Oldest, of = it.record.Offset, it.record.Time, nil
			s.OldestType, s.OldestLive = "", false
			if l.awaits() {
				s.OldestType, s.OldestLive = it.retry.foreign.typ, held[it.retry.foreign].Live
			}
			if l.state == laneReady {
				// It waits for a worker, so a hold of its subscription would be the reason.
				of = it.sub
			}
		}
	}
	// Both acquire the subscription's lock: call them once, not for every lane.
	s.OldestHeld, s.OldestPaced = of != nil && of.Held(), of != nil && of.paced()
	// Sort before cutting: the ones that wait longest matter.
	sort.Slice(s.Parked, func(i, k int) bool { return s.Parked[i].Waiting > s.Parked[k].Waiting })
	s.Parked = s.Parked[:min(len(s.Parked), maxParkedShown)]
	return s
}

// addTo adds a lane that is held for another member to its type.
func (l *lane) addTo(held map[*foreignType]*HeldSnapshot) {
	f := l.head.retry
	h := held[f.foreign]
	if h == nil {
		d := l.partition.shared.foreign.decide(f.foreign, time.Now())
		h = &HeldSnapshot{Topic: f.foreign.topic, Type: f.foreign.typ, Live: d.live, Until: d.until}
		held[f.foreign] = h
	}
	// Records behind the head count too: they wait for it, whatever their type.
	h.Keys++
	h.Events += l.records
	h.Longest = max(h.Longest, time.Since(f.first))
}

// snapshot copies what it shows, since the lane continues. The caller holds the partition's mu.
func (l *lane) snapshot() ParkedSnapshot {
	it := l.head
	s := ParkedSnapshot{
		Key: it.record.Key, Offset: it.record.Offset, State: l.state.String(),
		Waiting: time.Since(l.since), Queued: l.bytes,
	}
	if l.wait != nil && !l.wait.at.IsZero() {
		s.Due = max(time.Until(l.wait.at), 0)
	}
	if f := it.retry; f != nil {
		s.Attempts = f.attempts
		// Since the first failure, across all retries; l.since is about this owner's wait only.
		if !f.first.IsZero() {
			s.Waiting = time.Since(f.first)
		}
		// Prefer why the dead letter can't be written, which an operator can fix now.
		switch err := cmp.Or(f.refused, f.err); {
		case f.end == await:
			s.Error = "waits for a member of the group that handles " + f.foreign.typ
		case err != nil:
			s.Error = err.Error()
		}
	}
	return s
}

// Snapshot returns the subscription's state. It must be called after Attach.
func (s *Subscription) Snapshot() SubscriptionSnapshot {
	snap := SubscriptionSnapshot{Name: s.Name, Concurrency: s.Concurrency, Allowed: s.allowed(), Breaker: s.Breaker.State().String(), Discarded: s.discarded.Load()}
	now := time.Now()
	s.attempts(func(_ *worker, a *underway) {
		snap.Running++
		snap.Longest = max(snap.Longest, now.Sub(a.started))
		if a.ignored(now) {
			snap.Stuck++
		}
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	snap.Held, snap.Limited = s.held, s.limited != nil && !s.lanes.empty()
	if !s.starvedSince.IsZero() {
		snap.Starved = now.Sub(s.starvedSince)
	}
	return snap
}

// Held reports whether an operator holds the subscription. Snapshots call it with a partition's
// mu held, which the order of locks allows.
func (s *Subscription) Held() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held
}

// paced reports whether lanes that are ready wait only because of a Limit: none of them is
// starved. The Limit itself can't tell, since between two of its waits there is a moment without
// one.
func (s *Subscription) paced() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.Limit != nil && s.starvedSince.IsZero()
}
