package redrive

import (
	"errors"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/eventbus-go/eventbus/transport"
)

var partition = transport.Partition{Topic: "t.g.dlq", Partition: 3}

// TestLedger makes random decisions beside a plain list of states.
func TestLedger(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for round := range 100 {
		l := &Ledger{topic: transport.TopicID{1}}
		states := make([]State, 60)
		for range 150 {
			offset, state := rng.Int64N(60), State(rng.IntN(4))
			if offset >= l.Base {
				states[offset] = state
			}
			l.Mark(offset, state)
			if rng.IntN(50) == 0 {
				first := l.Base + rng.Int64N(3)
				for o := l.Base; o < min(first, 60); o++ {
					states[o] = Skipped
				}
				l.Pass(first)
			}
			commit, err := l.Commit(partition)
			if err != nil {
				t.Fatal(err)
			}
			read, err := ReadLedger(commit, transport.TopicID{1})
			if err != nil {
				t.Fatal(err)
			}
			if len(l.marks) == 0 {
				read.marks, l.marks = nil, nil
			}
			if !reflect.DeepEqual(read, l) {
				t.Fatalf("round %d: %+v became %+v", round, l, read)
			}
			counts := make([]int64, 4)
			for o, want := range states {
				got := l.State(int64(o))
				if got != want && !(int64(o) < l.Base && got.done() && want.done()) {
					t.Fatalf("round %d: offset %d is %v, want %v in %+v", round, o, got, want, l)
				}
				if !want.done() && int64(o) < l.Base {
					t.Fatalf("round %d: the base %d is past offset %d, which is %v", round, l.Base, o, want)
				}
				counts[want]++
			}
			if l.Base < 60 && (l.Count(Open, 60) != counts[Open] || l.Count(Quarantined, 60) != counts[Quarantined]) {
				t.Fatalf("round %d: %d open and %d quarantined, want %v", round, l.Count(Open, 60), l.Count(Quarantined, 60), counts)
			}
		}
	}
}

func TestLedgerTooScattered(t *testing.T) {
	l := &Ledger{}
	for o := int64(1); o < 20_000; o += 2 {
		l.Mark(o, Replayed)
	}
	if _, err := l.Commit(partition); !errors.Is(err, ErrScattered) {
		t.Errorf("%v, want ErrScattered", err)
	}
	for o := int64(0); o < 20_000; o += 2 {
		l.Mark(o, Skipped)
	}
	if c, err := l.Commit(partition); err != nil || c.Offset != 20_000 {
		t.Errorf("after all is decided: %+v, %v", c, err)
	}
}

// TestLedgerRefused: a ledger is never made up from what somebody else committed.
func TestLedgerRefused(t *testing.T) {
	l := &Ledger{topic: transport.TopicID{1}}
	l.Mark(4, Quarantined)
	good, err := l.Commit(partition)
	if err != nil {
		t.Fatal(err)
	}
	other, err := ReadLedger(good, transport.TopicID{2})
	if err != nil || other.State(4) != Open {
		t.Errorf("of a topic that was recreated: %+v, %v; want nothing decided", other, err)
	}
	for name, metadata := range map[string]string{
		"none": "", "foreign": "x", "cut": good.Metadata[:len(good.Metadata)-3], "changed": strings.Replace(good.Metadata, ":", ":A", 1),
	} {
		if _, err := ReadLedger(transport.Commit{Partition: partition, Offset: 9, Metadata: metadata}, transport.TopicID{1}); err == nil {
			t.Errorf("%s metadata is taken", name)
		}
	}
}

func FuzzReadLedger(f *testing.F) {
	l := &Ledger{topic: transport.TopicID{1}}
	l.Mark(4, Quarantined)
	l.Mark(6, Replayed)
	c, err := l.Commit(partition)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(c.Metadata, int64(0))
	f.Fuzz(func(t *testing.T, metadata string, offset int64) {
		l, err := ReadLedger(transport.Commit{Partition: partition, Offset: offset, Metadata: metadata}, transport.TopicID{1})
		if err == nil {
			l.Mark(offset, Skipped)
			_, _ = l.Commit(partition)
		}
	})
}
