package transporttest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

// groupTests check how members share partitions, and how they hand them over.
var groupTests = []test{
	{"HandOver", testGroupHandOver},
	{"ComesBack", testGroupComesBack},
	{"Standby", testGroupStandby},
	{"SilentStays", testGroupSilentStays},
	{"Static", testGroupStatic},
	{"Companion", testGroupCompanion},
	{"CompanionSubscribed", testGroupCompanionSubscribed},
}

// handOver is a group in which a second member is about to get partitions of the
// first, whose Revoked runs.
// epochs are those of the first member, of all four partitions. Together revoked and kept
// are all four too. revokedContext is set from the first call of Revoked on.
type handOver struct {
	group, topic   string
	first, second  *member
	revoked, kept  []transport.Partition
	epochs         map[transport.Partition]uint64
	finish         func() // lets Revoked return
	revokedContext context.Context
}

// startHandOver has four partitions of five records, all of them the first member's.
func (r *run) startHandOver() *handOver {
	r.Helper()
	const partitions = 4
	h := &handOver{group: r.name("group"), topic: r.topic(partitions), epochs: make(map[transport.Partition]uint64)}
	finished := make(chan struct{})
	// Once, because the test and its cleanup both call it.
	h.finish = sync.OnceFunc(func() { close(finished) })
	for n := range int32(partitions) {
		r.fill(h.topic, n, 5)
	}
	// Room for more calls than there can be, so that Revoked waits for finished alone.
	calls := make(chan []transport.Partition, 10)
	// The first member's Revoked reports what it was given, waits until the test lets it go
	// on, and then commits: the test looks at the group in the middle of a rebalance.
	h.first = r.member(subscription(h.group, h.topic, transport.Earliest()), func(m *member) {
		m.onRevoked = func(ctx context.Context, revoked []transport.Partition) {
			select {
			case <-finished:
				return // a later one: the test is over
			default:
			}
			// Written before calls is sent to, and read after it was received from: no lock is needed.
			h.revokedContext = ctx
			calls <- revoked
			<-finished
			// The commits happen inside Revoked, where the partitions are still this member's. They
			// say 3 though five records were delivered, so that what the next owner reads shows
			// whether it began at the commit, at the position, or at the start.
			for _, p := range revoked {
				err := m.consumer.Commit(ctx, transport.Commit{Partition: p, Epoch: h.epochs[p], Offset: 3, LeaderEpoch: -1, Metadata: "handed over"})
				if err != nil {
					r.Errorf("Commit in Revoked: %v", err)
				}
			}
		}
	})
	// Before the cleanup of the member itself, which is to close it: Close waits for Revoked.
	r.Cleanup(h.finish)
	h.first.awaitOwned(partitions)
	for n := range int32(partitions) {
		// The epochs are complete before the second member exists, so Revoked reads them without
		// a lock.
		h.epochs[at(h.topic, n)] = h.first.assignment(at(h.topic, n)).Epoch
		h.first.awaitRecords(at(h.topic, n), 5)
	}
	// Half of the partitions have to go over to this one.
	h.second = r.member(subscription(h.group, h.topic, transport.Earliest()))
	h.revoked = receive(r, "Revoked", calls)
	for p := range h.epochs {
		if !slices.Contains(h.revoked, p) {
			h.kept = append(h.kept, p)
		}
	}
	return h
}

// testGroupHandOver: partitions move incrementally. Those that stay flow on; those
// that move are the second member's when Revoked has returned, from its commit on.
func testGroupHandOver(r *run) {
	h := r.startHandOver()
	// An assignor that takes everything back first (an eager one) revokes all four.
	if len(h.revoked) != 2 {
		r.Fatalf("%v of 4 partitions were revoked, want 2", h.revoked)
	}
	// All this happens while Revoked of the first member waits.
	for round := range 2 {
		for _, p := range h.kept {
			r.fill(h.topic, p.Partition, 5)
			h.first.awaitRecords(p, 5*(round+2))
		}
		// The first member has begun another Poll since Revoked was called: it
		// checks that it gets none of these, when the next round comes.
		for _, p := range h.revoked {
			r.fill(h.topic, p.Partition, 5)
		}
	}
	for _, p := range h.kept {
		// A new epoch would fence the commits of handlers that run, though nothing was taken.
		if got := h.first.assignment(p).Epoch; got != h.epochs[p] {
			r.Errorf("%v stayed, with epoch %d after %d", p, got, h.epochs[p])
		}
	}
	// Heartbeats that share the listener's goroutine would have stopped.
	if !h.first.consumer.Alive() {
		r.Error("the first member is not alive while Revoked runs")
	}
	// Two members would handle the same records at the same time.
	if owned := h.second.owned(); len(owned) != 0 {
		r.Errorf("%v was assigned to the second member while Revoked ran", owned)
	}
	// The rebalance timeout is far away, so the handlers must still have time.
	if err := h.revokedContext.Err(); err != nil {
		r.Errorf("the context of Revoked has ended: %v", err)
	}
	h.finish()

	h.second.awaitOwned(2)
	for _, p := range h.revoked {
		if a := h.second.assignment(p); a.Offset != 3 || a.Metadata != "handed over" {
			r.Errorf("assigned %+v, want what Revoked committed", a)
		}
		// Five records and twice five more, of which the first three were committed: twelve.
		if got := h.second.awaitRecords(p, 12); got[0].Offset != 3 {
			r.Errorf("%v: the second member's first record is at offset %d, want 3", p, got[0].Offset)
		}
		// The previous owner's commit comes late. If it were stored, the group would jump to an
		// offset that its present owner has not come to.
		ctx, cancel := r.patience()
		err := h.first.consumer.Commit(ctx, transport.Commit{Partition: p, Epoch: h.epochs[p], Offset: 5, LeaderEpoch: -1})
		cancel()
		if !errors.Is(err, transport.ErrFenced) {
			r.Errorf("the first member's commit of %v: %v, want ErrFenced", p, err)
		}
	}
	for _, p := range h.kept {
		// What stayed can still be committed, under the epoch from before the rebalance.
		h.first.commit(p, 15, "")
	}
}

// testGroupComesBack: a partition that comes back has a higher epoch, which the
// member checks, and starts at the commit of its last owner.
func testGroupComesBack(r *run) {
	h := r.startHandOver()
	h.finish()
	h.second.awaitOwned(2)
	for _, p := range h.revoked {
		// Neither the first member's last commit, 3, nor its position, 5: a member that remembers
		// its own begins elsewhere.
		h.second.commit(p, 4, "back")
	}
	h.second.leave()
	h.first.awaitOwned(4)
	for _, p := range h.revoked {
		if a := h.first.assignment(p); a.Offset != 4 || a.Metadata != "back" {
			r.Errorf("assigned %+v, want what the second member committed", a)
		}
	}
}

// testGroupStandby: a member that gets no partition is in the group all the same,
// and takes over.
func testGroupStandby(r *run) {
	topic, group := r.topic(1), r.name("group")
	first := r.member(subscription(group, topic, transport.Earliest()))
	first.awaitOwned(1)
	second := r.member(subscription(group, topic, transport.Earliest()))
	// Nothing is assigned, so the listener hears nothing: the status is all there is to see.
	r.eventually("the standby to join", func() bool { return second.consumer.Status().Joined && second.consumer.Alive() })
	// Which of the two has it is the assignor's choice.
	if owned := len(first.owned()) + len(second.owned()); owned != 1 {
		r.Errorf("one partition is assigned %d times", owned)
	}
	r.fill(topic, 0, 1)
	first.leave()
	second.awaitRecords(at(topic, 0), 1)
}

// accompanied returns a subscription to a topic and its companion.
// Both are subscriptions of the same member, in the same group.
func accompanied(group, topic, companion string) transport.ConsumerConfig {
	config := subscription(group, topic, transport.Earliest())
	config.Topics = append(config.Topics, transport.TopicStart{Topic: companion, CompanionOf: topic})
	return config
}

// ownedOf counts the partitions of a topic that a member owns.
func (m *member) ownedOf(topic string) (n int) {
	for _, p := range m.owned() {
		if p.Topic == topic {
			n++
		}
	}
	return n
}

// testGroupCompanion: the partitions of a companion follow those of its topic and have no weight;
// numbers beyond the topic's wrap around. Committed records are not repeated.
func testGroupCompanion(r *run) {
	// Two more companions than partitions: 4 and 5 go with 0 and 1.
	const partitions, companions = 4, 6
	topic, companion, group := r.topic(partitions), r.topic(companions), r.name("group")
	// The assignment may take several rebalances to settle. Until then owners differ, and no
	// signal says which one is the last.
	together := func(members ...*member) {
		r.Helper()
		r.eventually("companions to be where their partitions are", func() bool {
			for n := range int32(companions) {
				owners := 0
				for _, m := range members {
					owned := m.owned()
					with := slices.Contains(owned, at(companion, n))
					if with {
						owners++
					}
					// Owning one without the other is wrong in both directions: retries would be handled
					// beside their key's other records, or by a member that does not have the topic.
					if with != slices.Contains(owned, at(topic, n%partitions)) {
						return false
					}
				}
				if owners != 1 {
					return false
				}
			}
			return true
		})
	}
	first := r.member(accompanied(group, topic, companion))
	together(first)
	for n := range int32(companions) {
		r.fill(companion, n, 3)
		first.awaitRecords(at(companion, n), 3)
		first.commit(at(companion, n), 2, "")
	}
	second := r.member(accompanied(group, topic, companion))
	// Half of the topic alone: if companions weighed anything, the member with 4 and 5 would
	// be given fewer of the topic's partitions.
	r.eventually("half of the topic", func() bool { return second.ownedOf(topic) == partitions/2 })
	together(first, second)
	for _, p := range second.owned() {
		if p.Topic == companion {
			if got := second.awaitRecords(p, 1); got[0].Offset != 2 {
				r.Errorf("%v begins at offset %d, want the committed 2", p, got[0].Offset)
			}
		}
	}
	first.leave()
	together(second)
}

// testGroupCompanionSubscribed: while a member subscribes to a companion as to any
// topic, it is that member's.
func testGroupCompanionSubscribed(r *run) {
	const partitions = 2
	topic, companion, group := r.topic(partitions), r.topic(partitions), r.name("group")
	first := r.member(accompanied(group, topic, companion))
	r.eventually("the companion", func() bool { return first.ownedOf(companion) == partitions })
	// A member of an older version subscribes to the topic by itself, and must get all of it:
	// it would not know why partitions are withheld.
	second := r.member(subscription(group, companion, transport.Earliest()))
	r.eventually("the companion to go over", func() bool {
		return first.ownedOf(companion) == 0 && second.ownedOf(companion) == partitions
	})
	second.leave()
	r.eventually("the companion to come back", func() bool { return first.ownedOf(companion) == partitions })
}

// testGroupSilentStays: a member that does not poll stays in the group past its
// session timeout. Nothing but time can show that.
func testGroupSilentStays(r *run) {
	topic := r.topic(1)
	config := subscription(r.name("group"), topic, transport.Earliest())
	config.SessionTimeout = 6 * time.Second // the least that brokers allow by default
	config.HeartbeatInterval = time.Second
	m := r.member(config, idle)
	m.awaitOwned(1)
	epoch := m.assignment(at(topic, 0)).Epoch
	// A quarter more, so that a coordinator that looks late has looked.
	session := time.NewTimer(config.SessionTimeout * 5 / 4)
	defer session.Stop()
	receive(r, "the session timeout", session.C)
	// The epoch shows a member that was thrown out and has joined again meanwhile.
	if !m.consumer.Alive() || len(m.owned()) != 1 || m.assignment(at(topic, 0)).Epoch != epoch {
		r.Errorf("the member is alive: %v, and owns %v", m.consumer.Alive(), m.owned())
	}
	r.fill(topic, 0, 1)
	r.within("Poll after a silence", func(ctx context.Context) error {
		_, err := m.pollOnce(ctx)
		return err
	})
}

// testGroupStatic: a static member that comes back gets its partitions again, and no other member
// notices (KIP-345).
func testGroupStatic(r *run) {
	topic, group := r.topic(4), r.name("group")
	config := func(instance string) transport.ConsumerConfig {
		c := subscription(group, topic, transport.Earliest())
		c.InstanceID = instance
		return c
	}
	first := r.member(config("first"))
	first.awaitOwned(4)
	second := r.member(config("second"))
	second.awaitOwned(2)
	// Both have settled: from here on the assignment is what must not change.
	first.awaitOwned(2)
	mine, others := first.owned(), second.owned()
	epochs := make(map[transport.Partition]uint64)
	for _, p := range others {
		epochs[p] = second.assignment(p).Epoch
	}
	// Offset 0 was its position already; the metadata shows that the commit was found again.
	first.commit(mine[0], 0, "mine")
	first.leave()
	// A static member does not leave the group, but its partitions are revoked all the same:
	// the handlers of a process that stops have to end.
	if len(first.owned()) != 0 {
		r.Errorf("Close of a static member left %v without Revoked", first.owned())
	}

	// Well within the session timeout, which is the default.
	again := r.member(config("first"))
	again.awaitOwned(2)
	// The same ones, and not just as many.
	if got := again.owned(); !slices.Equal(got, mine) {
		r.Errorf("the static member had %v, and has %v", mine, got)
	}
	if a := again.assignment(mine[0]); a.Metadata != "mine" {
		r.Errorf("assigned %+v, want what was committed", a)
	}
	// A rebalance that gave everything back would leave this the same, with other epochs.
	if got := second.owned(); !slices.Equal(got, others) {
		r.Errorf("the other member had %v, and has %v", others, got)
	}
	for _, p := range others {
		if got := second.assignment(p).Epoch; got != epochs[p] {
			r.Errorf("the other member's %v had epoch %d, and has %d", p, epochs[p], got)
		}
	}
}
