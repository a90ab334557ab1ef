package balance

import (
	"fmt"
	"maps"
	rand "math/rand/v2"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/transport"
)

// checkPlan checks what every plan must do: assign each partition that somebody
// reads once, to a member that reads it. It returns the owners.
func checkPlan(t *testing.T, members []Member, partitions map[string]int32, plan map[string][]transport.Partition) map[transport.Partition]string {
	t.Helper()
	owner := make(map[transport.Partition]string)
	for i := range members {
		m := &members[i]
		for _, p := range plan[m.ID] {
			if owner[p] != "" {
				t.Fatalf("%v given to %s and %s", p, owner[p], m.ID)
			}
			if !slices.Contains(m.Topics, p.Topic) || p.Partition >= partitions[p.Topic] {
				t.Fatalf("%v given to %s, which reads %v", p, m.ID, m.Topics)
			}
			owner[p] = m.ID
		}
	}
	for topic, n := range partitions {
		if !slices.ContainsFunc(members, func(m Member) bool { return slices.Contains(m.Topics, topic) }) {
			continue
		}
		for p := range n {
			if owner[transport.Partition{Topic: topic, Partition: p}] == "" {
				t.Fatalf("%s/%d given to nobody", topic, p)
			}
		}
	}
	return owner
}

// checkBalance checks that no single move would bring the loads closer.
func checkBalance(t *testing.T, members []Member, plan map[string][]transport.Partition) {
	t.Helper()
	for i := range members {
		for _, p := range plan[members[i].ID] {
			for k := range members {
				if slices.Contains(members[k].Topics, p.Topic) && len(plan[members[i].ID]) > len(plan[members[k].ID])+1 {
					t.Fatalf("%s has %d and %s %d, and could have %v", members[i].ID, len(plan[members[i].ID]),
						members[k].ID, len(plan[members[k].ID]), p)
				}
			}
		}
	}
}

func moves(before, after map[transport.Partition]string) (n int) {
	for p, owner := range before {
		if after[p] != owner {
			n++
		}
	}
	return n
}

// TestStickyPlan applies random changes to groups: plans are always complete and
// balanced, and without a change nothing moves.
func TestStickyPlan(t *testing.T) {
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		partitions := map[string]int32{}
		var members []Member
		alike := seed%2 == 0
		for step := range 12 {
			switch rnd.IntN(4) {
			case 0:
				partitions[fmt.Sprint("t", rnd.IntN(4))] += int32(1 + rnd.IntN(8))
			case 1, 2:
				members = append(members, Member{ID: fmt.Sprint("m", step), generation: -1})
			case 3:
				if len(members) > 0 {
					i := rnd.IntN(len(members))
					members = slices.Delete(members, i, i+1)
				}
			}
			for i := range members {
				if alike || members[i].Topics == nil {
					members[i].Topics = slices.DeleteFunc([]string{"t0", "t1", "t2", "t3"}, func(string) bool { return !alike && rnd.IntN(2) == 0 })
				}
			}
			b := ByName("cooperative-sticky")
			// Repeat rounds until nothing is withheld.
			for round := 0; ; round++ {
				plan := b.Assign(members, partitions)
				full := b.plan(members, partitions)
				checkPlan(t, members, partitions, full)
				checkBalance(t, members, full)
				changed := false
				owners := ownersOf(members)
				for i := range members {
					m := &members[i]
					for _, p := range plan[m.ID] {
						if c, owned := owners[p]; owned && c.member != m.ID {
							t.Fatalf("seed %d: %v given to %s while %s owns it", seed, p, m.ID, c.member)
						}
					}
					slices.SortFunc(m.owned, transport.Partition.Compare)
					slices.SortFunc(plan[m.ID], transport.Partition.Compare)
					changed = changed || !slices.Equal(m.owned, plan[m.ID])
				}
				for i := range members {
					members[i].owned = slices.Clone(plan[members[i].ID])
					members[i].generation = int32(100*step + round)
				}
				if !changed {
					break
				}
				if round > 3 {
					t.Fatalf("seed %d: no rest after %d rounds", seed, round)
				}
			}
		}
	}
}

// TestStickyMovesLittle: if a member joins or leaves, as few partitions as possible
// move.
func TestStickyMovesLittle(t *testing.T) {
	partitions := map[string]int32{"a": 50, "b": 50}
	topics := []string{"a", "b"}
	members := []Member{}
	var before map[transport.Partition]string
	for n := range 10 {
		members = append(members, Member{ID: fmt.Sprint("m", n), Topics: topics, generation: -1})
		plan := planSticky(members, partitions)
		after := checkPlan(t, members, partitions, plan)
		if moved, most := moves(before, after), 100/(n+1); before != nil && moved > most {
			t.Errorf("member %d: %d moves, at most %d are needed", n, moved, most)
		}
		before = after
		for i := range members {
			members[i].owned, members[i].generation = plan[members[i].ID], int32(n)
		}
	}
	gone := members[3]
	members = slices.Delete(members, 3, 4)
	after := checkPlan(t, members, partitions, planSticky(members, partitions))
	if moved := moves(before, after); moved != len(gone.owned) {
		t.Errorf("%d moves when a member left that had %d", moved, len(gone.owned))
	}
}

// TestStickySpreadsTopics: each member gets its share of a busy topic and of an
// idle one, also after a member has joined.
func TestStickySpreadsTopics(t *testing.T) {
	partitions := map[string]int32{"busy": 6, "busy.retry": 6}
	member := func(id string, owned ...transport.Partition) Member {
		return Member{ID: id, Topics: []string{"busy", "busy.retry"}, owned: owned, generation: 1}
	}
	var all []transport.Partition
	for topic, n := range partitions {
		for p := range n {
			all = append(all, transport.Partition{Topic: topic, Partition: p})
		}
	}
	members := []Member{member("a", all...)}
	for _, id := range []string{"b", "c"} {
		members = append(members, member(id))
		plan := planSticky(members, partitions)
		checkPlan(t, members, partitions, plan)
		checkBalance(t, members, plan)
		for i := range members {
			count := map[string]int{}
			for _, p := range plan[members[i].ID] {
				count[p.Topic]++
			}
			if share := 6 / len(members); count["busy"] != share || count["busy.retry"] != share {
				t.Errorf("%d members: %s has %v, want %d of each", len(members), members[i].ID, count, share)
			}
			members[i].owned = plan[members[i].ID]
		}
		if again := planSticky(members, partitions); moves(checkPlan(t, members, partitions, plan), checkPlan(t, members, partitions, again)) != 0 {
			t.Error("what is spread is moved again")
		}
	}
}

// TestStickyChain: load moves along a chain of members, some of which have no more than others.
func TestStickyChain(t *testing.T) {
	own := func(topic string, ps ...int32) (all []transport.Partition) {
		for _, p := range ps {
			all = append(all, transport.Partition{Topic: topic, Partition: p})
		}
		return all
	}
	members := []Member{
		{ID: "a", Topics: []string{"x"}, owned: own("x", 0, 1, 2)},
		{ID: "b", Topics: []string{"x", "y"}, owned: own("y", 0, 1)},
		{ID: "c", Topics: []string{"y"}, owned: own("y", 2)},
	}
	plan := planSticky(members, map[string]int32{"x": 3, "y": 3})
	for _, m := range members {
		if len(plan[m.ID]) != 2 {
			t.Fatalf("plan %v", plan)
		}
	}
}

func TestContradictingOwners(t *testing.T) {
	p0, p1 := transport.Partition{Topic: "t"}, transport.Partition{Topic: "t", Partition: 1}
	members := []Member{
		{ID: "old", Topics: []string{"t"}, owned: []transport.Partition{p0, p1}, generation: 3},
		{ID: "new", Topics: []string{"t"}, owned: []transport.Partition{p0}, generation: 4},
	}
	b := ByName("cooperative-sticky")
	plan := b.Assign(members, map[string]int32{"t": 2})
	if !slices.Equal(plan["new"], []transport.Partition{p0}) || !slices.Equal(plan["old"], []transport.Partition{p1}) {
		t.Errorf("the later generation has it: %v", plan)
	}
	members[1].generation = 3
	plan = b.Assign(members, map[string]int32{"t": 2})
	if slices.Contains(plan["new"], p0) || slices.Contains(plan["old"], p0) {
		t.Errorf("two members own a partition of one generation: %v", plan)
	}
}

func TestEagerPlans(t *testing.T) {
	members := []Member{{ID: "a", Topics: []string{"x", "y"}}, {ID: "b", Topics: []string{"x", "y"}}, {ID: "c", Topics: []string{"y"}}}
	partitions := map[string]int32{"x": 3, "y": 4, "nobody's": 2}
	for name, want := range map[string]string{
		"range":      "map[a:[x/0 x/1 y/0 y/1] b:[x/2 y/2] c:[y/3]]",
		"roundrobin": "map[a:[x/0 x/2 y/2] b:[x/1 y/0 y/3] c:[y/1]]",
	} {
		plan := ByName(name).Assign(members, partitions)
		checkPlan(t, members, partitions, plan)
		for _, ps := range plan {
			slices.SortFunc(ps, transport.Partition.Compare)
		}
		if got := fmt.Sprint(plan); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

func TestMemberMetadata(t *testing.T) {
	owned := []transport.Partition{{Topic: "a", Partition: 1}, {Topic: "b", Partition: 0}, {Topic: "b", Partition: 2}}
	b := ByName("cooperative-sticky")
	m := kmsg.NewJoinGroupResponseMember()
	m.MemberID, m.ProtocolMetadata = "id", b.Metadata([]string{"a", "b"}, owned, 7, "rack", &Types{})
	got, err := ReadMember(&m)
	if err != nil || got.generation != 7 || !slices.Equal(got.owned, owned) || !slices.Equal(got.Topics, []string{"a", "b"}) {
		t.Errorf("%+v, %v", got, err)
	}
	m.ProtocolMetadata = ByName("range").Metadata([]string{"a"}, owned, 7, "", &Types{})
	if got, err = ReadMember(&m); err != nil || got.owned != nil || got.generation != -1 {
		t.Errorf("an eager member: %+v, %v", got, err)
	}
	back, err := DecodeAssignment(EncodeAssignment(slices.Clone(owned), &Types{}))
	if err != nil || !slices.Equal(back, owned) {
		t.Errorf("%v, %v", back, err)
	}
	if _, err := DecodeAssignment([]byte{0, 1, 0}); err == nil {
		t.Error("a cut assignment was read")
	}
}

func BenchmarkStickyPlan(b *testing.B) {
	partitions := map[string]int32{"a": 600, "b": 600}
	var members []Member
	for n := range 50 {
		members = append(members, Member{ID: fmt.Sprint("m", n), Topics: slices.Collect(maps.Keys(partitions)), generation: -1})
	}
	for b.Loop() {
		planSticky(members, partitions)
	}
}

// TestStickyLargeGroup plans a thousand topics of twelve partitions for a hundred
// members, half of which own everything: the loads become equal, and no partition
// moves between members that keep theirs.
func TestStickyLargeGroup(t *testing.T) {
	members, partitions := largeGroup()
	plan := planSticky(members, partitions)
	total := 0
	for id, has := range plan {
		total += len(has)
		if len(has) != 120 {
			t.Errorf("member %s has %d partitions, want 120", id, len(has))
		}
	}
	if total != 12_000 {
		t.Errorf("%d partitions are given, want 12,000", total)
	}
	for i := range members {
		owned := make(map[transport.Partition]bool)
		for _, p := range members[i].owned {
			owned[p] = true
		}
		kept := 0
		for _, p := range plan[members[i].ID] {
			if owned[p] {
				kept++
			}
		}
		if len(owned) > 0 && kept < 100 {
			t.Errorf("member %s keeps %d of its 240 partitions", members[i].ID, kept)
		}
	}
}

func BenchmarkStickyLargeGroup(b *testing.B) {
	members, partitions := largeGroup()
	for b.Loop() {
		planSticky(members, partitions)
	}
}

func largeGroup() ([]Member, map[string]int32) {
	partitions := make(map[string]int32)
	var topics []string
	for n := range 1000 {
		topics = append(topics, fmt.Sprintf("topic-%03d", n))
		partitions[topics[n]] = 12
	}
	members := make([]Member, 100)
	for i := range members {
		members[i] = Member{ID: fmt.Sprintf("member-%02d", i), Topics: topics, generation: 3}
	}
	for n, topic := range topics {
		for p := range int32(12) {
			m := &members[(n*12+int(p))%50]
			m.owned = append(m.owned, transport.Partition{Topic: topic, Partition: p})
		}
	}
	return members, partitions
}
