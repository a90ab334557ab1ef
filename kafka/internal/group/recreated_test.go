package group

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	franzerr "github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/kafka/internal/bed"
	"github.com/eventbus-go/eventbus/kafka/internal/bedclient"
	"github.com/eventbus-go/eventbus/kafka/internal/cluster"
	"github.com/eventbus-go/eventbus/kafka/internal/produce"
	"github.com/eventbus-go/eventbus/transport"
)

// bothProtocols runs a test with the classic group protocol and with that of
// KIP-848, each in a bubble.
func bothProtocols(t *testing.T, partitions int32, f func(t *testing.T, b *bed.Bed)) {
	t.Helper()
	for name, byEpochs := range map[string]bool{"Classic": false, "ConsumerProtocol": true} {
		t.Run(name, func(t *testing.T) {
			bed.Bubble(t, partitions, func(t *testing.T, b *bed.Bed) {
				membershipOf(b).ConsumerProtocol = byEpochs
				f(t, b)
			})
		})
	}
}

// latecomer starts a reader that begins at the end of the log. Its commits in Revoked may
// be refused, since the topic may be gone.
func latecomer(b *bed.Bed, l *ledger) *reader {
	b.T.Helper()
	r := startReader(b, l, func(cfg *transport.ConsumerConfig) {
		cfg.Topics = []transport.TopicStart{{Topic: "events", Start: transport.Latest()}}
	})
	r.drain = func(ctx context.Context) {
		_ = r.commit(ctx, func(transport.Partition) bool { return true })
		r.letGo()
	}
	return r
}

// letGo makes a reader forget what it owns, so that it does not commit it.
func (r *reader) letGo() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.owned)
}

// write publishes n records to partition 0, as writeTo does.
func write(b *bed.Bed, n int) {
	b.T.Helper()
	writeTo(b, 0, n)
}

// writeTo publishes n records to a partition through a client of its own, so that the
// members learn nothing about the topic from it.
func writeTo(b *bed.Bed, partition int32, n int) {
	b.T.Helper()
	client := cluster.NewClient(bedclient.Options(b.ListenAddrs(), b.Wires.DialContext))
	defer client.Close()
	p, err := produce.NewProducer(client, transport.ProducerConfig{})
	if err != nil {
		b.T.Fatal(err)
	}
	defer func() { _ = p.Close(context.Background()) }()
	for i := range n {
		b.Delivered(b.Publish(p, partition, fmt.Sprint(i)))
	}
}

func remove(b *bed.Bed) {
	b.T.Helper()
	if err := b.DeleteTopic("events"); err != nil {
		b.T.Fatal(err)
	}
}

// create creates the topic again and writes records to its partition 0.
func create(b *bed.Bed, partitions int32, records int) {
	b.T.Helper()
	if err := b.CreateTopic("events", partitions, nil); err != nil {
		b.T.Fatal(err)
	}
	write(b, records)
}

// endsWith checks that the records read from partition 0, without the first before ones,
// are those in its log.
func (l *ledger) endsWith(b *bed.Bed, before int) {
	b.T.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if want := b.Log(0); !slices.Equal(l.taken[0][before:], want) {
		b.T.Errorf("took %q, and the log is %q", l.taken[0][before:], want)
	}
}

// TestRecreatedAfterRevoked: the coordinator revokes the partitions of a deleted topic.
// When the topic is created again, much later, it is read from its first record, and the
// Listener is told.
func TestRecreatedAfterRevoked(t *testing.T) {
	bothProtocols(t, 2, func(_ *testing.T, b *bed.Bed) {
		l, r := readTwo(b, 2)
		remove(b)
		r.awaitHeard("revoked 0 1")
		time.Sleep(20 * time.Minute)
		create(b, 2, 3)
		l.await(b.T, 5)
		r.awaitHeard("revoked 0 1", "assigned 0 1",
			"skipped 0 from 0 to 0: the topic was created again", "skipped 1 from 0 to 0: the topic was created again")
		l.endsWith(b, 2)
	})
}

// TestRecreatedForAnother: a member that saw the old topic, but never had its partition,
// reads that of the new topic from its first record.
func TestRecreatedForAnother(t *testing.T) {
	bothProtocols(t, 1, func(_ *testing.T, b *bed.Bed) {
		l := newLedger()
		first := latecomer(b, l)
		first.awaitOwned(1)
		second := latecomer(b, l)
		time.Sleep(2 * topicAge)
		write(b, 2)
		l.await(b.T, 2)
		owner, other := ownerOf(first, second)
		remove(b)
		owner.await("revoked 0", func() bool { return owner.heard[len(owner.heard)-1] == "revoked 0" })
		owner.close()
		create(b, 1, 3)
		l.await(b.T, 5)
		other.awaitHeard("assigned 0", "skipped 0 from 0 to 0: the topic was created again")
		l.endsWith(b, 2)
	})
}

// readTwo returns a latecomer that owns all partitions and has read two records.
func readTwo(b *bed.Bed, partitions int) (*ledger, *reader) {
	l := newLedger()
	r := latecomer(b, l)
	r.awaitOwned(partitions)
	write(b, 2)
	l.await(b.T, 2)
	return l, r
}

// ownerOf returns which of two readers owns a partition, and the other one.
func ownerOf(first, second *reader) (owner, other *reader) {
	first.mu.Lock()
	defer first.mu.Unlock()
	if len(first.owned) == 0 {
		return second, first
	}
	return first, second
}

// TestRecreatedOnce: the group starts over only once. A member that knew the old topic
// continues in the new one where another member stopped.
func TestRecreatedOnce(t *testing.T) {
	bothProtocols(t, 1, func(_ *testing.T, b *bed.Bed) {
		l := newLedger()
		first, second := latecomer(b, l), latecomer(b, l)
		time.Sleep(2 * topicAge)
		write(b, 2)
		l.await(b.T, 2)
		remove(b)
		create(b, 1, 3)
		l.await(b.T, 5)
		time.Sleep(time.Minute) // what was read is committed
		owner, other := ownerOf(first, second)
		owner.close()
		other.awaitOwned(1)
		read := l.total()
		write(b, 2)
		l.await(b.T, read+2)
		time.Sleep(time.Minute)
		if n := l.total() - read; n != 2 {
			b.T.Errorf("the second member took %d records, want the 2 new ones; it heard %q", n, other.heard)
		}
		commits, err := bedclient.Of(b).Committed(b.T.Context(), "group", []string{"events"})
		UnmarkAll(commits)
		if c := commits[transport.Partition{Topic: "events"}]; err != nil || c.Offset != 5 || c.Metadata != "" {
			b.T.Errorf("committed %+v, %v", c, err)
		}
	})
}

// total returns how many records of partition 0 were read.
func (l *ledger) total() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.taken[0])
}

// TestRecreatedStaleCommit: an offset of the old topic that was committed, by name, after
// the new one existed is not where the new one starts. A member that is revoked does not
// commit such an offset.
func TestRecreatedStaleCommit(t *testing.T) {
	bothProtocols(t, 1, func(_ *testing.T, b *bed.Bed) {
		l, r := readTwo(b, 1)
		draining, created := make(chan struct{}), make(chan struct{})
		goOn := sync.OnceFunc(func() { close(created) })
		defer goOn()
		r.drain = func(ctx context.Context) {
			r.drain = nil
			close(draining)
			<-created
			err := r.commit(ctx, func(transport.Partition) bool { return true })
			if failed, ok := errors.AsType[*transport.CommitError](err); !ok || !errors.Is(failed.Partitions[transport.Partition{Topic: "events"}], transport.ErrFenced) {
				b.T.Errorf("a commit of the old topic: %v", err)
			}
			stale := []transport.Commit{{Partition: transport.Partition{Topic: "events"}, Offset: 2, LeaderEpoch: -1}}
			if failed := r.member.store(ctx, stale, nil); len(failed) > 0 {
				b.T.Errorf("the test's own commit: %v", failed)
			}
			r.letGo()
		}
		remove(b)
		<-draining
		create(b, 1, 3)
		goOn()
		l.await(b.T, 5)
		r.awaitHeard("revoked 0", "assigned 0", "skipped 0 from 2 to 0: the topic was created again")
		l.endsWith(b, 2)
	})
}

// TestRecreatedCommitsDropped: a coordinator that learns late about the deletion drops
// commits on the new topic. The group then starts at its first record again, not at its
// end.
func TestRecreatedCommitsDropped(t *testing.T) {
	bed.Bubble(t, 1, func(_ *testing.T, b *bed.Bed) {
		l, r := readTwo(b, 1)
		remove(b)
		r.awaitHeard("revoked 0")
		create(b, 1, 3)
		l.await(b.T, 5)
		b.ControlKey(int16(kmsg.OffsetFetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
			b.KeepControl()
			resp := req.ResponseKind().(*kmsg.OffsetFetchResponse)
			for _, asked := range req.(*kmsg.OffsetFetchRequest).Groups {
				g := kmsg.NewOffsetFetchResponseGroup()
				g.Group = asked.Group
				for _, topic := range asked.Topics {
					none := kmsg.NewOffsetFetchResponseGroupTopic()
					none.Topic = topic.Topic
					for _, p := range topic.Partitions {
						part := kmsg.NewOffsetFetchResponseGroupTopicPartition()
						part.Partition, part.Offset = p, -1
						none.Partitions = append(none.Partitions, part)
					}
					g.Topics = append(g.Topics, none)
				}
				resp.Groups = append(resp.Groups, g)
			}
			return resp, nil, true
		})
		b.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Heartbeat}, Group: "group", Err: franzerr.UnknownMemberID})
		r.awaitHeard("lost 0", "assigned 0", "skipped 0 from 0 to 0: the topic was created again")
		l.await(b.T, 8)
	})
}

// TestCloseWhileNobodySaysWhichTopic: a member that asks which topic has the name now, while no
// broker answers that, closes in time.
func TestCloseWhileNobodySaysWhichTopic(t *testing.T) {
	bed.Bubble(t, 1, func(t *testing.T, b *bed.Bed) {
		r := startReader(b, newLedger())
		r.awaitOwned(1)
		b.ControlKey(int16(kmsg.Metadata), func(req kmsg.Request) (kmsg.Response, error, bool) {
			b.KeepControl()
			return nil, nil, len(req.(*kmsg.MetadataRequest).Topics) > 0 // without an answer
		})
		r.member.recreated("events")
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		begun := time.Now()
		if err := r.Close(ctx); err != nil || time.Since(begun) > 4*time.Second {
			t.Errorf("closed after %s: %v", time.Since(begun), err)
		}
	})
}
