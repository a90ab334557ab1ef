package redrive

import (
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"maps"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/eventbus-go/eventbus/transport"
)

var partition = transport.Partition{Topic: "t.g.dlq", Partition: 3}

// TestLedger makes random decisions in a ledger and in a plain list of states, over several
// pages and from a random base on.
func TestLedger(t *testing.T) {
	const letters = 3 * pageLetters / 2
	rng := rand.New(rand.NewPCG(1, 2))
	for round := range 40 {
		start := rng.Int64N(3 * pageLetters)
		l := newLedger(start, 0, 0, nil)
		states := make([]State, letters)
		for step := range 300 {
			// Decide about runs of letters, so that the base moves and pages come
			// and go.
			from, state := rng.Int64N(letters), State(rng.IntN(4))
			if step%3 == 0 {
				from, state = l.base-start, Replayed
			}
			for i := from; i < min(from+rng.Int64N(40), letters); i++ {
				if start+i >= l.base {
					states[i] = state
				}
				l.Mark(start+i, state)
			}
			if rng.IntN(50) == 0 {
				first := l.base + rng.Int64N(2*pageLetters)
				for o := l.base; o < min(first, start+letters); o++ {
					states[o-start] = Skipped
				}
				l.Pass(first)
			}
			if step%20 == 0 {
				check(t, round, l, start, states)
			}
		}
		check(t, round, l, start, states)
	}
}

// check compares a ledger, and its stored form, with a list.
func check(t *testing.T, round int, l *ledger, start int64, states []State) {
	t.Helper()
	read := newLedger(l.base, l.replayed, l.skipped, l.pages)
	if read.marked != l.marked || read.quarantined != l.quarantined || !maps.EqualFunc(read.pages, l.pages, func(a, b *page) bool { return *a == *b }) {
		t.Fatalf("round %d: %d marked and %d quarantined became %d and %d", round, l.marked, l.quarantined, read.marked, read.quarantined)
	}
	counts := make([]int64, 4)
	for i, want := range states {
		o := start + int64(i)
		got := l.State(o)
		if got != want && !(o < l.base && got.done() && want.done()) {
			t.Fatalf("round %d: offset %d is %v, want %v; the base is %d", round, o, got, want, l.base)
		}
		if !want.done() && o < l.base {
			t.Fatalf("round %d: the base %d is past offset %d, which is %v", round, l.base, o, want)
		}
		counts[want]++
	}
	end := start + int64(len(states))
	if l.base < end && (l.Count(Open, end) != counts[Open] || l.Count(Quarantined, end) != counts[Quarantined]) {
		t.Fatalf("round %d: %d open and %d quarantined, want %v", round, l.Count(Open, end), l.Count(Quarantined, end), counts)
	}
	for n := range l.pages {
		if n < l.base/pageLetters {
			t.Fatalf("round %d: page %d stays behind the base %d", round, n, l.base)
		}
	}
}

// TestLedgerScattered: decisions about every other of a million letters take two bits a
// letter, and complete pages are dropped.
func TestLedgerScattered(t *testing.T) {
	const letters = 1 << 20
	l := &ledger{}
	for o := int64(1); o < letters; o += 2 {
		l.Mark(o, Replayed)
	}
	if l.base != 0 || len(l.pages) != letters/pageLetters || l.Count(Open, letters) != letters/2 {
		t.Fatalf("base %d, %d pages, %d open", l.base, len(l.pages), l.Count(Open, letters))
	}
	for o := int64(0); o < letters; o += 2 {
		l.Mark(o, Skipped)
	}
	if l.base != letters || len(l.pages) != 0 || l.replayed != letters/2 || l.skipped != letters/2 {
		t.Errorf("after all is decided: base %d, %d pages, %d and %d", l.base, len(l.pages), l.replayed, l.skipped)
	}
}

// oldCommit returns a commit of a ledger as earlier versions wrote it.
func oldCommit(offset int64, id transport.TopicID, numbers ...uint64) transport.Commit {
	raw := append([]byte{}, id[:]...)
	for _, n := range numbers {
		raw = binary.AppendUvarint(raw, n)
	}
	raw = binary.BigEndian.AppendUint32(raw, crc32.ChecksumIEEE(raw))
	return transport.Commit{Partition: partition, Offset: offset, Metadata: ledgerPrefix + base64.RawStdEncoding.EncodeToString(raw)}
}

// run is a run of a commit: its length and state.
func run(length uint64, s State) uint64 { return length<<2 | uint64(s) }

// TestCommits: ledgers of earlier versions are read, and the newer of two copies counts.
func TestCommits(t *testing.T) {
	id := transport.TopicID{1}
	older := oldCommit(10, id, 6, 7, 8, run(2, Open), run(1, Replayed))
	newer := oldCommit(10, id, 7, 9, 8, run(2, Open), run(3, Quarantined), run(2000, Skipped))
	for name, pair := range map[string][2]transport.Commit{"commit": {newer, older}, "copy": {older, newer}} {
		l, err := readCommits(pair[0], pair[1], id)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		want := []State{Decided, Open, Open, Quarantined, Quarantined, Quarantined, Skipped}
		var got []State
		for o := int64(9); o < 16; o++ {
			got = append(got, l.State(o))
		}
		if !reflect.DeepEqual(got, want) || l.State(2014) != Skipped || l.State(2015) != Open || l.replayed != 9 || l.skipped != 8 || l.base != 10 || l.quarantined != 3 || l.marked != 2003 {
			t.Errorf("%s: %v, %+v; want %v", name, got, l, want)
		}
	}
	fresh, err := readCommits(newer, newer, transport.TopicID{2})
	if err != nil || fresh.State(12) != Open || fresh.base != 0 {
		t.Errorf("of a topic that was recreated: %+v, %v; want nothing decided", fresh, err)
	}
	if _, err := readCommits(newer, marker(partition, id), id); err == nil || !strings.Contains(err.Error(), "lost") {
		t.Errorf("with a marker: %v, want that the decisions are lost", err)
	}
	if l, err := readCommits(transport.Commit{Partition: partition}, marker(partition, transport.TopicID{2}), id); err != nil || l.base != 0 {
		t.Errorf("with the marker of an earlier topic: %+v, %v", l, err)
	}
}

// TestCommitsRefused: what another program committed is never read as a ledger.
func TestCommitsRefused(t *testing.T) {
	id := transport.TopicID{1}
	good := oldCommit(4, id, 1, 0, 0, run(1, Quarantined))
	for name, metadata := range map[string]string{
		"none": "", "foreign": "x", "cut": good.Metadata[:len(good.Metadata)-3], "changed": strings.Replace(good.Metadata, ":", ":A", 1),
		"empty run": oldCommit(9, id, 1, 0, 0, run(0, Skipped)).Metadata,
		"huge":      oldCommit(9, id, 1, 0, 0, run(maxRuns+1, Skipped)).Metadata,
		"beyond":    oldCommit(9, id, 1, 0, 0, run(1<<61, Open)).Metadata,
	} {
		if _, _, err := readCommit(transport.Commit{Partition: partition, Offset: 9, Metadata: metadata}, id); err == nil {
			t.Errorf("%s metadata is taken", name)
		}
	}
}

func FuzzReadCommit(f *testing.F) {
	f.Add(oldCommit(4, transport.TopicID{1}, 1, 2, 3, run(1, Open), run(2, Replayed)).Metadata, int64(0))
	f.Fuzz(func(t *testing.T, metadata string, offset int64) {
		l, _, err := readCommit(transport.Commit{Partition: partition, Offset: offset, Metadata: metadata}, transport.TopicID{1})
		if err == nil {
			l.Mark(offset, Skipped)
		}
	})
}
