package engine

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// firstVersion reads and writes the first version of the metadata, which has no
// sections: it takes every entry for a budget, and drops those of finished records.
type firstVersion struct{ *progress }

func readByFirstVersion(t *testing.T, p *progress, metadata string) firstVersion {
	t.Helper()
	raw := unsealed(t, metadata)
	r := &byteReader{b: raw}
	r.take(24)
	got := &progress{cluster: p.cluster, topic: p.topic, base: r.length(), epoch: int32(r.varint())}
	got.spent = readBudgets(r, got.base)
	got.runs = readRuns(r)
	if r.short || overflows(got.base, got.runs) {
		t.Fatal("the first version finds the metadata damaged")
	}
	return firstVersion{got}
}

// write returns what a member of the first version commits once offsets below base
// are finished.
func (v firstVersion) write(base int64) string {
	p := v.progress
	p.spent = slices.DeleteFunc(slices.Clone(p.spent), func(b budget) bool { return b.offset < base })
	raw := binary.BigEndian.AppendUint64(nil, hashOf(p.cluster))
	raw = append(raw, p.topic[:]...)
	raw = binary.AppendUvarint(raw, uint64(base))
	raw = binary.AppendVarint(raw, int64(p.epoch))
	spent := p.spent[:min(len(p.spent), 64)]
	raw = binary.AppendUvarint(raw, uint64(len(spent)))
	p.base = base
	for _, b := range spent {
		raw = p.appendEntry(raw, b.offset, b.attempts, b.first.Unix())
	}
	return seal(append(raw, 0))
}

// Sections survive handovers: the next member reads what one has written, unknown
// sections included, even with a member of the first version between them, which
// reads all that it knows.
func TestSectionsComeThrough(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	for i := range 3000 {
		p := randomProgress(rng)
		if p.base > firstChunk {
			p.base = rng.Int64N(1 << 40)
		}
		p.spent = p.spent[:min(len(p.spent), 12)]
		for j := range p.spent {
			p.spent[j].offset = p.base + int64(j)*3
			p.spent[j].used = time.Duration(rng.IntN(1e6)-1) * time.Second
			p.spent[j].decided = []string{"", "exhausted", "permanent", "undecodable"}[rng.IntN(4)]
		}
		if rng.IntN(2) == 0 {
			body := make([]byte, rng.IntN(40))
			for j := range body {
				body[j] = byte(rng.IntN(256))
			}
			p.unknown = append(p.unknown, section{uint64(2 + rng.IntN(1000)), body})
		}
		metadata, _ := p.encode(maxMetadata)
		if metadata == "" {
			continue
		}
		check := func(what string, got *progress, err error) {
			t.Helper()
			if err != nil || got == nil {
				t.Fatalf("progress %d, %s: %v", i, what, err)
			}
			if !slices.EqualFunc(got.spent, p.spent, func(a, b budget) bool {
				a.first, b.first = time.Time{}, time.Time{}
				if b.used < 0 && b.decided == "" {
					b.used = -time.Second
				}
				return a == b
			}) {
				t.Fatalf("progress %d, %s: budgets\n%+v became\n%+v", i, what, p.spent, got.spent)
			}
			if !slices.EqualFunc(got.unknown, p.unknown, func(a, b section) bool { return a.tag == b.tag && bytes.Equal(a.body, b.body) }) {
				t.Fatalf("progress %d, %s: sections %v became %v", i, what, p.unknown, got.unknown)
			}
		}
		got, err := decodeProgress(assignmentOf(p, metadata))
		check("read", got, err)
		old := readByFirstVersion(t, p, metadata)
		if fmt.Sprint(merged(old.spans())) != fmt.Sprint(merged(got.spans())) {
			t.Fatalf("progress %d: the first version reads spans %v, not %v", i, old.spans(), got.spans())
		}
		for j, b := range p.spent {
			if o := old.spent[j]; o.offset != b.offset || o.attempts != b.attempts || !o.first.Equal(b.first) {
				t.Fatalf("progress %d: the first version reads budget %+v, not %+v", i, o, b)
			}
		}
		base := p.base + int64(rng.IntN(10))
		p.spent = slices.DeleteFunc(p.spent, func(b budget) bool { return b.offset < base })
		p.base = base
		got, err = decodeProgress(assignmentOf(p, old.write(base)))
		if len(p.spent)+len(p.unknown) > 0 {
			check("after the first version", got, err)
		}
	}
}

// A reason that is too long is cut, and lack of space costs sections, never
// records' budgets.
func TestSectionsAreBounded(t *testing.T) {
	p := &progress{cluster: "c", epoch: -1}
	for i := range 60 {
		p.spent = append(p.spent, budget{int64(i), 1, time.Unix(1, 0), time.Minute, "a reason that nobody has thought of"})
	}
	p.unknown = []section{{9, make([]byte, 5000)}}
	metadata, complete := p.encode(maxMetadata)
	if !complete || len(metadata) > maxMetadata {
		t.Fatalf("%d characters, complete: %v", len(metadata), complete)
	}
	got, err := decodeProgress(assignmentOf(p, metadata))
	if err != nil || len(got.spent) != maxSpent {
		t.Fatalf("%v, %d budgets", err, len(got.spent))
	}
	if b := got.spent[0]; b.used != time.Minute || len(b.decided) != maxReason {
		t.Errorf("budget %+v", b)
	}
	if len(got.unknown) != 0 {
		t.Error("a section that was cut off is passed on as a whole one")
	}
}
