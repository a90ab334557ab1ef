package group

import (
	"strings"
	"testing"
	"time"

	franzerr "github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/internal/grouptypes"
	"github.com/eventbus-go/eventbus/kafka/internal/bed"
	"github.com/eventbus-go/eventbus/kafka/internal/bedclient"
	"github.com/eventbus-go/eventbus/transport"
)

// carrying returns a commit with metadata on the partition that carries types.
func carrying(metadata string) *transport.Commit {
	return &transport.Commit{Partition: transport.Partition{Topic: "events"}, Metadata: metadata}
}

// carrier returns the state of a member that carries types in the commits of events/0.
func carrier(live []grouptypes.ID, gone ...grouptypes.Gone) *groupTypes {
	h := newGroupTypes(nil)
	h.book.Update(live, gone, time.Unix(2_000_000, 0))
	h.stored = storedTypes{recalled: true, carrier: transport.Partition{Topic: "events"}}
	return h
}

// TestStoredBounds: types are stored between the metadata and a mark, in the room that
// these leave within the brokers' bound. Removing them leaves the metadata unchanged.
func TestStoredBounds(t *testing.T) {
	var live []grouptypes.ID
	for i := range 2 * typesSize {
		live = append(live, grouptypes.ID(i+1))
	}
	id := transport.TopicID{1, 2, 3}
	for _, size := range []int{0, 1, 10, 2000, markedSize - markSize - typesSize, markedSize - markSize - 100, markedSize - markSize - len(typesOpens) - 1, markedSize - markSize, markedSize} {
		metadata := strings.Repeat("m", size)
		c := carrying(metadata)
		carrier(live).carry(c)
		if len(c.Metadata) > max(size, markedSize-markSize) || len(c.Metadata)-size > typesSize {
			t.Errorf("%d characters are %d with the types", size, len(c.Metadata))
		}
		if size <= 2000 && len(c.Metadata)-size < typesSize*9/10 {
			t.Errorf("%d characters have only %d of types behind them", size, len(c.Metadata)-size)
		}
		if size+markSize <= markedSize {
			c.Metadata = mark(c.Metadata, id)
		}
		commits := map[transport.Partition]transport.Commit{c.Partition: *c}
		marks := UnmarkAll(commits)
		if got := commits[c.Partition].Metadata; got != metadata || size+markSize <= markedSize && marks[c.Partition] != id {
			t.Errorf("%d characters come back as %d, marked %v", size, len(got), marks)
		}
	}
	for _, foreign := range []string{"", " types=", "a types=b", " types=ZWJ1cw-", "x types=AAAA", strings.Repeat(" types=", 100)} {
		if rest, _, ok := splitTypes(foreign); ok || rest != foreign {
			t.Errorf("%q is split into %q", foreign, rest)
		}
	}
	if c := carrying("m"); true {
		if carrier(nil).carry(c); c.Metadata != "m" {
			t.Errorf("a group without types carries %q", c.Metadata)
		}
	}
}

// TestStoredRecalled: of several commits that carry types, the one written last says
// what was handled at the end. Types in an older one count as handled until it was written.
func TestStoredRecalled(t *testing.T) {
	at := func(second int64) time.Time { return time.Unix(second, 0) }
	commits := make(map[transport.Partition]transport.Commit)
	for i, c := range []struct {
		live    []grouptypes.ID
		gone    []grouptypes.Gone
		written time.Time
	}{
		{[]grouptypes.ID{1, 2}, nil, at(2_000_100)},
		{[]grouptypes.ID{1, 3}, []grouptypes.Gone{{ID: 4, At: at(1_999_000)}}, at(2_000_000)},
	} {
		h := carrier(c.live, c.gone...)
		text, _ := h.encodeStored(0, c.written)
		p := transport.Partition{Topic: "events", Partition: int32(i)}
		commits[p] = transport.Commit{Partition: p, Metadata: mark(joinTypes("m", text, markedSize-markSize), transport.TopicID{7})}
	}
	h := newGroupTypes(nil)
	h.recall(commits, at(2_000_200))
	h.book.Update([]grouptypes.ID{1}, nil, at(2_000_201))
	for id, left := range map[grouptypes.ID]time.Time{1: {}, 2: at(2_000_201), 3: at(2_000_000), 4: at(1_999_000)} {
		if s := h.book.State(id); !s.Left.Equal(left) || s.Live != (id == 1) {
			t.Errorf("type %d is %+v, want left %v", id, s, left)
		}
	}
}

// carried waits until the commit of a partition carries a type, or does not, and
// returns the commit.
func carried(b *bed.Bed, partition int32, typ string, want bool) transport.Commit {
	b.T.Helper()
	p := transport.Partition{Topic: "events", Partition: partition}
	for over := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		commits, err := bedclient.Of(b).Committed(b.T.Context(), "group", nil)
		if err != nil {
			b.T.Fatal(err)
		}
		metadata, _ := unmark(commits[p].Metadata)
		_, types, _ := splitTypes(metadata)
		has := false
		for _, id := range types.Live {
			has = has || id == grouptypes.Of("events", typ)
		}
		if has == want {
			return commits[p]
		}
		if time.Now().After(over) {
			b.T.Fatalf("%s carries %q after a minute", p, commits[p].Metadata)
		}
	}
}

// TestStoredOutlivesCommits: neither the owner's commits nor a reset of the group's
// offsets remove the types that a commit carries, and both keep their own metadata.
func TestStoredOutlivesCommits(t *testing.T) {
	bothProtocols(t, 2, func(t *testing.T, b *bed.Bed) {
		r := startReader(b, newLedger(), handling("", "V2", "Moved"))
		r.awaitOwned(2)
		carried(b, 0, "Moved", true)
		if err := r.commit(t.Context(), func(transport.Partition) bool { return true }); err != nil {
			t.Fatal(err)
		}
		carried(b, 0, "Moved", true)
		r.close()
		commit := transport.Commit{Partition: transport.Partition{Topic: "events"}, Offset: 0, LeaderEpoch: -1, Metadata: "m"}
		if err := Reset(t.Context(), bedclient.Of(b), "group", []transport.Commit{commit}); err != nil {
			t.Fatal(err)
		}
		if c := carried(b, 0, "Moved", true); !strings.HasPrefix(c.Metadata, "m"+typesOpens) {
			t.Errorf("after the reset the metadata is %q", c.Metadata)
		}
		older := startReader(b, newLedger(), handling("", "V2"))
		older.awaitOwned(2)
		older.awaitLive("Moved", false)
		if s := older.TypeState("events", "Moved"); s.Left.IsZero() {
			t.Errorf("the type that the group handled before is %+v", s)
		}
		carried(b, 0, "Moved", false)
	})
}

// TestStoredRefused: if brokers refuse metadata of that size, commits are sent without
// the types, and the caller's metadata stays.
func TestStoredRefused(t *testing.T) {
	bed.Bubble(t, 1, func(t *testing.T, b *bed.Bed) {
		refused := 0
		b.ControlKey(int16(kmsg.OffsetCommit), func(req kmsg.Request) (kmsg.Response, error, bool) {
			b.KeepControl()
			commit := req.(*kmsg.OffsetCommitRequest)
			for _, part := range commit.Topics[0].Partitions {
				if _, _, ok := splitTypes(*part.Metadata); ok {
					refused++
					return refusal(commit, franzerr.OffsetMetadataTooLarge.Code), nil, true
				}
			}
			return nil, nil, false
		})
		r := startReader(b, newLedger(), handling("", "V2"))
		r.awaitOwned(1)
		time.Sleep(time.Minute)
		for p, s := range r.owned {
			if err := r.Commit(t.Context(), transport.Commit{Partition: p, Epoch: s.epoch, LeaderEpoch: -1, Metadata: "m"}); err != nil {
				t.Error(err)
			}
		}
		if c := carried(b, 0, "V2", false); c.Metadata != "m" || refused != 1 {
			t.Errorf("stored %q, %d commits refused", c.Metadata, refused)
		}
	})
}

// refusal returns an answer that refuses all partitions of a commit.
func refusal(req *kmsg.OffsetCommitRequest, code int16) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.OffsetCommitResponse)
	for _, topic := range req.Topics {
		t := kmsg.NewOffsetCommitResponseTopic()
		t.Topic = topic.Topic
		for _, part := range topic.Partitions {
			p := kmsg.NewOffsetCommitResponseTopicPartition()
			p.Partition, p.ErrorCode = part.Partition, code
			t.Partitions = append(t.Partitions, p)
		}
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}

// TestStoredUnread: while the types that the group handled lately can't be read, no
// type counts as one that nobody handles.
func TestStoredUnread(t *testing.T) {
	bed.Bubble(t, 1, func(t *testing.T, b *bed.Bed) {
		first := startReader(b, newLedger(), handling("", "V2", "Moved"))
		first.awaitOwned(1)
		carried(b, 0, "Moved", true)
		first.close()
		var joined bool
		down := b.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetFetch}, Group: "group", Err: franzerr.CoordinatorLoadInProgress, Count: -1})
		r := startReader(b, newLedger(), handling("", "V2"))
		for over := time.Now().Add(time.Minute); time.Now().Before(over); time.Sleep(time.Second) {
			s := r.TypeState("events", "Moved")
			joined = joined || r.Status().Joined
			if s != (transport.TypeState{}) {
				t.Fatalf("%+v before it could be read", s)
			}
		}
		if !joined {
			t.Error("the member has not joined")
		}
		down.Remove()
		r.awaitLive("Moved", false)
		if s := r.TypeState("events", "Moved"); s.Left.IsZero() {
			t.Errorf("then %+v", s)
		}
	})
}
