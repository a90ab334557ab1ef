package group

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eventbus-go/eventbus/kafka/internal/bed"
	"github.com/eventbus-go/eventbus/transport"
)

// handling makes a member handle types. It is a static member unless instance is empty.
func handling(instance string, types ...string) func(*transport.ConsumerConfig) {
	return func(cfg *transport.ConsumerConfig) {
		cfg.InstanceID, cfg.Types = instance, map[string][]string{"events": types}
	}
}

// awaitLive waits until the reader knows that a member handles a type or, if live is false,
// that none does.
func (r *reader) awaitLive(typ string, live bool) {
	r.bed.T.Helper()
	for over := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		s := r.TypeState("events", typ)
		if s.Known && s.Live == live {
			return
		}
		if time.Now().After(over) {
			r.bed.T.Fatalf("type %s is %+v after a minute, want live %t", typ, s, live)
		}
	}
}

// TestStaticMemberHandlesOther: a static member that comes back starts no rebalance, so
// it joins once more for the leader to learn which types it handles now, and which no
// longer.
func TestStaticMemberHandlesOther(t *testing.T) {
	bed.Bubble(t, 4, func(t *testing.T, b *bed.Bed) {
		l := newLedger()
		leader := startReader(b, l, handling("one", "V2"))
		leader.awaitOwned(4)
		follower := startReader(b, l, handling("two", "V2", "Old"))
		follower.awaitOwned(2)
		leader.awaitLive("Old", true)
		follower.close()
		renewed := startReader(b, l, handling("two", "V2", "Moved"))
		renewed.awaitOwned(2)
		leader.awaitLive("Moved", true)
		leader.awaitLive("Old", false)
		rebalances := leader.Status().Rebalances
		time.Sleep(time.Minute)
		if now := leader.Status().Rebalances; now != rebalances {
			t.Errorf("%d rebalances, and %d a minute later", rebalances, now)
		}
		leader.close()
		again := startReader(b, l, handling("one", "V2", "Fresh"))
		renewed.awaitLive("Fresh", true)
		again.awaitLive("Moved", true)
	})
}

// TestForeignLeader: if the leader uses another library, members learn each other's
// types by describing the group.
func TestForeignLeader(t *testing.T) {
	bed.Bubble(t, 6, func(t *testing.T, b *bed.Bed) {
		l, change := newLedger(), make(chan struct{}, 100)
		foreign := startForeign(b, l, kgo.CooperativeStickyBalancer(), change)
		defer foreign.close()
		<-change
		older := startReader(b, l, handling("", "V2"))
		older.awaitOwned(3)
		older.awaitLive("Moved", false)
		newer := startReader(b, l, handling("", "V2", "Moved"))
		newer.awaitOwned(2)
		older.awaitLive("Moved", true)
		newer.close()
		older.awaitLive("Moved", false)
		if s := older.TypeState("events", "Moved"); s.Left.IsZero() {
			t.Errorf("a type that was handled until a moment ago is %+v", s)
		}
	})
}
