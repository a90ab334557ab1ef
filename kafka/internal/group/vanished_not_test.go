package group

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/kafka/internal/bed"
	"github.com/eventbus-go/eventbus/kafka/internal/bedclient"
	"github.com/eventbus-go/eventbus/transport"
)

// The clock of these tests is the bubble's.

// expel makes members leave the group, as an operator can.
func expel(b *bed.Bed, ids ...string) {
	b.T.Helper()
	leave := kmsg.NewPtrLeaveGroupRequest()
	leave.Group = "group"
	for _, id := range ids {
		gone := kmsg.NewLeaveGroupRequestMember()
		gone.MemberID = id
		leave.Members = append(leave.Members, gone)
	}
	if _, err := bedclient.Of(b).AnyBroker(b.T.Context(), leave); err != nil {
		b.T.Fatal(err)
	}
}

// memberID returns the reader's ID in its group.
func (r *reader) memberID() string {
	r.Consumer.member.mu.Lock()
	defer r.Consumer.member.mu.Unlock()
	return r.Consumer.member.id
}

// TestNewPartitionIsNotVanished: partitions that were added to a topic, and on which nobody has
// committed yet, are read from their beginning, even by a member that was expelled and comes
// back. Their commits have not vanished.
func TestNewPartitionIsNotVanished(t *testing.T) {
	bed.Bubble(t, 2, func(_ *testing.T, b *bed.Bed) {
		l := newLedger()
		first, second := atTheEnd(b, l), atTheEnd(b, l)
		first.idle, second.idle = true, true
		first.awaitOwned(1)
		second.awaitOwned(1)
		writeTo(b, 0, 1)
		writeTo(b, 1, 1)
		l.await(b.T, 2)
		time.Sleep(3 * time.Second)
		grow(b, "events", 4)
		first.awaitOwned(2)
		second.awaitOwned(2)
		time.Sleep(3 * time.Second)
		back := make(chan struct{})
		var lost atomic.Int32
		first.onLost = func() { lost.Add(1); <-back }
		second.onLost = func() { lost.Add(1); second.letGo(); <-back }
		expel(b, first.memberID(), second.memberID())
		for lost.Load() < 2 {
			time.Sleep(100 * time.Millisecond)
		}
		second.drain = func(context.Context) { second.letGo() }
		writeTo(b, 2, 2)
		writeTo(b, 3, 2)
		gone := make(chan struct{})
		go func() { second.close(); close(gone) }()
		time.Sleep(time.Second)
		close(back)
		<-gone
		first.awaitOwned(4)
		time.Sleep(10 * time.Second)
		l.equals(b, 4)
	})
}

// TestVanishedBesideAStandby: commits are restored even if a member that had no partition comes
// back first. It has none of the commits that the others are about to store again.
func TestVanishedBesideAStandby(t *testing.T) {
	bed.Bubble(t, 2, func(_ *testing.T, b *bed.Bed) {
		l := newLedger()
		readers := []*reader{atTheEnd(b, l), atTheEnd(b, l), atTheEnd(b, l)}
		time.Sleep(10 * time.Second)
		writeTo(b, 0, 3)
		writeTo(b, 1, 3)
		l.await(b.T, 6)
		time.Sleep(3 * time.Second)
		var lost atomic.Int32
		back := make(chan struct{})
		for _, r := range readers {
			r.onLost = func() { lost.Add(1); <-back }
		}
		deleteGroup(b)
		for lost.Load() < 2 {
			time.Sleep(10 * time.Millisecond)
		}
		writeTo(b, 0, 2)
		writeTo(b, 1, 2)
		time.Sleep(2 * time.Second)
		close(back)
		time.Sleep(30 * time.Second)
		l.equals(b, 2)
	})
}

// TestKeptCommitsGrowNoOlder: a member that was expelled, and has had no partition since,
// does not keep its commits while others commit later offsets.
func TestKeptCommitsGrowNoOlder(t *testing.T) {
	bed.Bubble(t, 2, func(_ *testing.T, b *bed.Bed) {
		l := newLedger()
		readers := []*reader{atTheEnd(b, l), atTheEnd(b, l), atTheEnd(b, l)}
		time.Sleep(10 * time.Second)
		writeTo(b, 0, 3)
		writeTo(b, 1, 3)
		l.await(b.T, 6)
		time.Sleep(3 * time.Second)
		var victim *reader
		for _, r := range readers {
			r.mu.Lock()
			if r.owned[transport.Partition{Topic: "events", Partition: 1}] != nil {
				victim = r
			}
			r.mu.Unlock()
		}
		back := make(chan struct{})
		victim.onLost = func() { <-back } // until the standby has its partition
		expel(b, victim.memberID())
		time.Sleep(10 * time.Second)
		close(back)
		time.Sleep(30 * time.Second)
		writeTo(b, 0, 50)
		writeTo(b, 1, 50)
		l.await(b.T, 106)
		time.Sleep(3 * time.Second)
		deleteGroup(b)
		time.Sleep(30 * time.Second)
		l.equals(b, 2)
	})
}
