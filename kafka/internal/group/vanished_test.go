package group

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/kafka/internal/bed"
	"github.com/eventbus-go/eventbus/kafka/internal/bedclient"
	"github.com/eventbus-go/eventbus/kafka/internal/cluster"
	"github.com/eventbus-go/eventbus/kafka/internal/kerr"
	"github.com/eventbus-go/eventbus/transport"
)

// deleteGroup expels the group's members and deletes the group, as an operator can
// before they come back.
func deleteGroup(b *bed.Bed) {
	b.T.Helper()
	ask := func(req kmsg.Request) kmsg.Response {
		b.T.Helper()
		answer, err := bedclient.Of(b).AnyBroker(b.T.Context(), req)
		if err != nil {
			b.T.Fatal(err)
		}
		return answer
	}
	describe := kmsg.NewPtrDescribeGroupsRequest()
	describe.Groups = []string{"group"}
	var members []string
	for _, m := range ask(cluster.Rare(describe, (*kmsg.DescribeGroupsRequest).AppendTo, (*kmsg.DescribeGroupsResponse).ReadFrom)).(*kmsg.DescribeGroupsResponse).Groups[0].Members {
		members = append(members, m.MemberID)
	}
	expel(b, members...)
	remove := kmsg.NewPtrDeleteGroupsRequest()
	remove.Groups = []string{"group"}
	answer := ask(cluster.Rare(remove, (*kmsg.DeleteGroupsRequest).AppendTo, (*kmsg.DeleteGroupsResponse).ReadFrom)).(*kmsg.DeleteGroupsResponse)
	if err := kerr.CodeError(answer.Groups[0].ErrorCode); err != nil {
		b.T.Fatal(err)
	}
}

// atTheEnd starts a reader that begins at the end of the log.
func atTheEnd(b *bed.Bed, l *ledger) *reader {
	b.T.Helper()
	return startReader(b, l, func(cfg *transport.ConsumerConfig) {
		cfg.Topics = []transport.TopicStart{{Topic: "events", Start: transport.Latest()}}
	})
}

// TestVanishedCommits: the group is deleted while its members live. They read what was
// written before they came back, whichever of them gets the partition, although the
// group starts at the end of the log.
func TestVanishedCommits(t *testing.T) {
	bed.Bubble(t, 2, func(_ *testing.T, b *bed.Bed) {
		l := newLedger()
		first, second := atTheEnd(b, l), atTheEnd(b, l)
		first.awaitOwned(1)
		second.awaitOwned(1)
		write(b, 3)
		l.await(b.T, 3)
		time.Sleep(2 * time.Second) // until it is committed
		deleted := make(chan struct{})
		var lost sync.WaitGroup
		lost.Add(2)
		var once sync.Once
		for _, r := range []*reader{first, second} {
			r.onLost = func() {
				lost.Done()
				lost.Wait() // neither is back before the other has lost its partition
				<-deleted
				once.Do(func() { write(b, 2) })
			}
		}
		deleteGroup(b)
		close(deleted)
		l.await(b.T, 5)
		time.Sleep(10 * time.Second)
		if l.equals(b, 1); b.T.Failed() {
			b.T.Log(first.heard, second.heard)
		}
	})
}

// TestVanishedCommitsSet: if an operator deletes the group and sets other offsets, the
// members start at those.
func TestVanishedCommitsSet(t *testing.T) {
	bed.Bubble(t, 1, func(_ *testing.T, b *bed.Bed) {
		l := newLedger()
		r := atTheEnd(b, l)
		r.awaitOwned(1)
		write(b, 3)
		l.await(b.T, 3)
		time.Sleep(2 * time.Second)
		deleted := make(chan struct{})
		r.onLost = func() {
			<-deleted
			if err := Reset(b.T.Context(), bedclient.Of(b), "group", []transport.Commit{{Partition: transport.Partition{Topic: "events"}, Offset: 1, LeaderEpoch: -1}}); err != nil {
				b.T.Error(err)
			}
		}
		deleteGroup(b)
		close(deleted)
		l.await(b.T, 5)
		l.mu.Lock()
		defer l.mu.Unlock()
		if want := append(b.Log(0), b.Log(0)[1:]...); !slices.Equal(l.taken[0], want) {
			b.T.Errorf("took %q, want %q", l.taken[0], want)
		}
	})
}

// TestVanishedForStranger: a partition on which no member has kept a commit starts by
// its policy, once the others have had time to restore theirs.
func TestVanishedForStranger(t *testing.T) {
	bed.Bubble(t, 2, func(_ *testing.T, b *bed.Bed) {
		l := newLedger()
		first, second := atTheEnd(b, l), atTheEnd(b, l)
		first.awaitOwned(1)
		second.awaitOwned(1)
		write(b, 3)
		l.await(b.T, 3)
		time.Sleep(2 * time.Second)
		// The member that has partition 0 stops without committing, and the other comes back.
		owner, other := ownerOf(first, second)
		owner.drain = func(context.Context) { owner.letGo() }
		deleteGroup(b)
		owner.close()
		other.awaitOwned(2)
		n := len(b.Log(0))
		write(b, 2)
		l.await(b.T, n+2)
		l.mu.Lock()
		defer l.mu.Unlock()
		if got := l.taken[0][len(l.taken[0])-2:]; !slices.Equal(got, b.Log(0)[n:]) {
			b.T.Errorf("the last records taken are %q", got)
		}
	})
}
