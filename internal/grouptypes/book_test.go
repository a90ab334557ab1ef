package grouptypes

import (
	"fmt"
	"testing"
	"time"
)

// TestID: the function never changes, since members of all versions must agree on it.
func TestID(t *testing.T) {
	for _, c := range []struct {
		topic, typ string
		want       ID
	}{{"test.sales.public.customers.v1", "customerCreated", 1943661033}, {"test.sales.public.customers.v1", "customerMoved", 3988315413}} {
		if got := Of(c.topic, c.typ); got != c.want {
			t.Errorf("%q on %q is %d, want %d", c.typ, c.topic, got, c.want)
		}
	}
	if Of("a", "bc") == Of("ab", "c") {
		t.Error("topic and type run into each other")
	}
}

func TestBook(t *testing.T) {
	var b Book
	now := time.Unix(1_000_000, 0)
	want := func(id ID, live bool, left time.Time) {
		t.Helper()
		if s := b.State(id); !s.Known || s.Live != live || !s.Left.Equal(left) {
			t.Errorf("type %d is %+v, want %t, left %v", id, s, live, left)
		}
	}
	want(1, false, time.Time{})
	b.Update([]ID{1, 2}, nil, now)
	want(1, true, time.Time{})
	b.Update([]ID{2}, []Gone{{3, now.Add(-time.Minute)}, {4, now.Add(time.Hour)}, {2, now}}, now.Add(time.Second))
	want(1, false, now.Add(time.Second))  // noticed
	want(2, true, time.Time{})            // live counts
	want(3, false, now.Add(-time.Minute)) // remembered by another
	want(4, false, now.Add(time.Second))  // whose clock is ahead
	b.Update([]ID{2}, []Gone{{1, now}}, now.Add(2*time.Second))
	want(1, false, now.Add(time.Second)) // the later memory counts
	b.Update([]ID{1}, nil, now.Add(3*time.Second))
	want(1, true, time.Time{})
	b.Update(nil, nil, now.Add(3*time.Second+memory))
	want(3, false, time.Time{}) // forgotten
	if live := b.Live(); len(live) != 0 {
		t.Errorf("live %v", live)
	}
}

// TestBookBounds: however much others send, a book keeps no more than its bounds, the
// latest first.
func TestBookBounds(t *testing.T) {
	var b Book
	now := time.Unix(1_000_000, 0)
	var gone []Gone
	live := make([]ID, 3*MaxLive)
	for i := range live {
		live[i] = ID(i + 1)
	}
	b.Update(live, nil, now)
	if n := len(b.Live()); n != MaxLive {
		t.Errorf("%d live, want %d", n, MaxLive)
	}
	for i := range 3 * MaxGone {
		gone = append(gone, Gone{ID(1_000_000 + i), now.Add(-time.Duration(i) * time.Second)})
	}
	b.Update(nil, gone, now.Add(time.Second))
	all := b.Gone()
	if len(all) != MaxGone || all[0].At.Before(all[MaxGone-1].At) {
		t.Errorf("%d remembered, from %v to %v", len(all), all[0].At, all[len(all)-1].At)
	}
	if got := fmt.Sprint(Sorted([]ID{3, 1, 3, 2, 1})); got != "[1 2 3]" {
		t.Errorf("sorted %s", got)
	}
}

// TestBookRecall: what earlier members of a group stored counts like what the member has
// seen itself, whether or not it has seen the present members before.
func TestBookRecall(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	hourAgo := now.Add(-time.Hour)
	for name, lookFirst := range map[string]bool{"before the first look": false, "after it": true} {
		t.Run(name, func(t *testing.T) {
			var b Book
			if lookFirst {
				b.Update([]ID{1}, nil, now)
			}
			b.Recall([]ID{1, 2, 5}, []Gone{{3, hourAgo}, {4, now.Add(-2 * memory)}, {1, hourAgo}, {5, hourAgo}}, now.Add(time.Second))
			if s := b.State(2); s.Live {
				t.Errorf("type 2 is %+v without a look at the members", s)
			}
			if !lookFirst {
				b.Update([]ID{1}, nil, now.Add(time.Second))
			}
			for id, left := range map[ID]time.Time{2: now.Add(time.Second), 3: hourAgo, 4: {}, 5: hourAgo} {
				if s := b.State(id); s.Live || !s.Left.Equal(left) {
					t.Errorf("type %d is %+v, want left %v", id, s, left)
				}
			}
			if s := b.State(1); !s.Live {
				t.Errorf("type 1 is %+v, want live", s)
			}
			b.Update([]ID{1, 2}, nil, now.Add(2*time.Second))
			b.Update([]ID{1}, nil, now.Add(3*time.Second))
			if s := b.State(2); !s.Left.Equal(now.Add(3 * time.Second)) {
				t.Errorf("type 2 is %+v after it was handled once more", s)
			}
		})
	}
}

// TestBookAny: a member that handles all types of a topic handles each, and when it
// leaves, that counts for all of them.
func TestBookAny(t *testing.T) {
	var b Book
	now := time.Unix(1_000_000, 0)
	b.Update([]ID{Of("t", Any), Of("t", "a")}, nil, now)
	if !b.StateFor("t", "a").Live || !b.StateFor("t", "b").Live || b.StateFor("u", "b").Live {
		t.Error("the types of the topic are not handled, or those of another are")
	}
	b.Update([]ID{Of("t", "a")}, nil, now.Add(time.Second))
	if s := b.StateFor("t", "b"); s.Live || !s.Left.Equal(now.Add(time.Second)) {
		t.Errorf("a type is %+v after the last handler of any has left", s)
	}
	if s := b.StateFor("t", "a"); !s.Live {
		t.Errorf("a type with a handler of its own is %+v", s)
	}
}
