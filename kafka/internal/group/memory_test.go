package group

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	franzerr "github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/kafka/internal/bed"
	"github.com/eventbus-go/eventbus/kafka/internal/bedclient"
	"github.com/eventbus-go/eventbus/kafka/internal/cluster"
	"github.com/eventbus-go/eventbus/kafka/internal/fetch"
	"github.com/eventbus-go/eventbus/transport"
)

// TestRecreatedUnmarked: an owner of the old topic that did not know of the new one
// has committed an offset, in place of the one at which the group began the new
// topic. The next owner knows only the new topic, and does not start at that offset,
// since the commit has no mark. At an offset that Reset has committed it does start.
func TestRecreatedUnmarked(t *testing.T) {
	bothProtocols(t, 2, func(_ *testing.T, b *bed.Bed) {
		l, r := readTwo(b, 2)
		remove(b)
		r.awaitHeard("revoked 0 1")
		create(b, 2, 3)
		l.await(b.T, 5)
		r.close()
		commit := transport.Commit{Partition: transport.Partition{Topic: "events"}, Offset: 2, LeaderEpoch: -1, Metadata: "m"}
		if err := bedclient.Of(b).AskGroup(b.T.Context(), "group", StoreRequest("group", []transport.Commit{commit}), StoredBy([]transport.Commit{commit})); err != nil {
			b.T.Fatal(err)
		}
		fresh := func() *reader {
			c := cluster.NewClient(bedclient.Options(b.ListenAddrs(), b.Wires.DialContext))
			b.T.Cleanup(c.Close)
			return readerOn(b, c, l)
		}
		r = fresh()
		l.await(b.T, 8)
		r.awaitHeard("assigned 0 1", "skipped 0 from 2 to 0: the topic was created again")
		r.close()
		if err := Reset(b.T.Context(), bedclient.Of(b), "group", []transport.Commit{commit}); err != nil {
			b.T.Fatal(err)
		}
		fresh()
		l.await(b.T, 9)
		time.Sleep(time.Minute)
		if n := l.total(); n != 9 {
			b.T.Errorf("took %d records in all, want 9: one after the reset", n)
		}
	})
}

// TestRecreatedByMistake: a member goes on fetching a topic if a broker that is behind
// says that the name means another one.
func TestRecreatedByMistake(t *testing.T) {
	bothProtocols(t, 1, func(_ *testing.T, b *bed.Bed) {
		l := newLedger()
		r := startReader(b, l)
		r.awaitOwned(1)
		write(b, 2)
		l.await(b.T, 2)
		var answered atomic.Bool
		b.ControlKey(int16(kmsg.Metadata), func(req kmsg.Request) (kmsg.Response, error, bool) {
			answered.Store(true)
			return metadataOf(b, req, transport.TopicID{1}), nil, true
		})
		// After a fetch is refused, the member asks who leads the partition.
		b.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Err: franzerr.NotLeaderForPartition})
		write(b, 2)
		l.await(b.T, 4)
		r.awaitHeard("assigned 0")
		l.equals(b, 1)
		if !answered.Load() {
			b.T.Error("nobody looked the topic up")
		}
	})
}

// metadataOf returns the answer of a broker to which "events" has another ID.
func metadataOf(b *bed.Bed, req kmsg.Request, id transport.TopicID) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.MetadataResponse)
	host, port, err := net.SplitHostPort(b.ListenAddrs()[0])
	if err != nil {
		b.T.Fatal(err)
	}
	broker := kmsg.NewMetadataResponseBroker()
	broker.Host = host
	if _, err := fmt.Sscan(port, &broker.Port); err != nil {
		b.T.Fatal(err)
	}
	resp.Brokers = append(resp.Brokers, broker)
	topic := kmsg.NewMetadataResponseTopic()
	topic.Topic, topic.TopicID = new("events"), id
	part := kmsg.NewMetadataResponseTopicPartition()
	part.Replicas, part.ISR = []int32{0}, []int32{0}
	topic.Partitions = append(topic.Partitions, part)
	resp.Topics = append(resp.Topics, topic)
	return resp
}

// TestLateCommitInTime: the last commit of a partition spends at most a quarter of its
// time, and at most 250 ms, on asking which topic has the name now.
func TestLateCommitInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		silent := func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		c := cluster.NewClient(bedclient.Options([]string{"127.0.0.1:1"}, silent))
		defer c.Close()
		p := transport.Partition{Topic: "events"}
		fetching := fetch.NewFetcher(c, slog.New(slog.DiscardHandler), "", 1, false, new(sync.WaitGroup))
		fetching.Add([]transport.Assignment{{Partition: p}})
		fetching.Stop([]transport.Partition{p})
		m := &membership{client: c, types: newGroupTypes(nil), fetch: fetching}
		for has, takes := range map[time.Duration]time.Duration{time.Minute: 250 * time.Millisecond, 400 * time.Millisecond: 100 * time.Millisecond} {
			ctx, cancel := context.WithTimeout(t.Context(), has)
			began := time.Now()
			admitted := m.admit(ctx, []transport.Commit{{Partition: p}}, nil)
			if took := time.Since(began); took != takes || len(admitted) != 1 {
				t.Errorf("of %s, it took %s to admit %v", has, took, admitted)
			}
			cancel()
		}
	})
}

// TestMemoryEnds: a member without partitions of a topic forgets the previous topic
// of that name after a while, or at once if the new one is in another cluster.
func TestMemoryEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before, now, elsewhere := &cluster.TopicMeta{ID: transport.TopicID{1}}, &cluster.TopicMeta{ID: transport.TopicID{2}}, &cluster.TopicMeta{ID: transport.TopicID{3}, Cluster: "other"}
		m := &membership{fetch: &fetch.Fetcher{}, seen: make(map[string]remembered)}
		m.notice(before)
		m.notice(now)
		time.Sleep(remembersFor - time.Second)
		m.notice(now)
		if !m.tookOver(now) {
			t.Error("forgot the previous topic too early")
		}
		m.notice(before) // a broker that is late
		m.notice(now)
		time.Sleep(remembersFor)
		if !m.tookOver(now) {
			t.Error("forgot the previous topic before it saw the new one again")
		}
		m.notice(now)
		if m.tookOver(now) {
			t.Error("still remembers the previous topic")
		}
		m.notice(before)
		if m.tookOver(elsewhere) {
			t.Error("a topic of another cluster counts as the successor of this one's")
		}
		m.notice(elsewhere)
		if got := m.seen[""]; got != (remembered{id: elsewhere.ID, cluster: "other"}) {
			t.Errorf("remembers %+v", got)
		}
	})
}

// TestRestKeepsNews: a member that has to join first does not forget that a topic was
// created again.
func TestRestKeepsNews(t *testing.T) {
	m := &membership{ctx: t.Context(), state: stateRejoin, replaced: map[string]bool{"events": true}}
	m.rest()
	if !m.replaced["events"] {
		t.Error("the news is gone")
	}
}

// TestMarks: unmark returns what mark was given, and leaves any other metadata alone.
func TestMarks(t *testing.T) {
	id := transport.TopicID{15: 1}
	marked := mark("bits", id)
	for _, test := range []struct {
		marked, metadata string
		id               transport.TopicID
	}{
		{marked, "bits", id},
		{mark("", id), "", id},
		{"", "", transport.TopicID{}},
		{marked[:len(marked)-1], marked[:len(marked)-1], transport.TopicID{}},
		{mark(strings.Repeat("x", markedSize), id), "", id},
	} {
		if metadata, got := unmark(test.marked); metadata != test.metadata || got != test.id {
			t.Errorf("%q is %q of %x", test.marked, metadata, got)
		}
	}
	for _, foreign := range []string{
		strings.Repeat("\n", 22), strings.Repeat("A", 21) + "\n", strings.Repeat("A", 21) + "B", strings.Repeat("=", 22),
	} {
		if metadata, got := unmark(markOpens + foreign); metadata != markOpens+foreign || got != (transport.TopicID{}) {
			t.Errorf("%q is taken for the mark of %x", foreign, got)
		}
	}
}
