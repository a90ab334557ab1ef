package main

import (
	"testing"
	"time"
)

// deeds returns ledger entries that are a millisecond apart.
func deeds(entries ...entry) []entry {
	for i := range entries {
		entries[i].at = int64(i+1) * int64(time.Millisecond)
	}
	return entries
}

// TestJudge: each kind of fault is found, and a clean history has none.
func TestJudge(t *testing.T) {
	log := [][]logged{{{key: 1, seq: 0}, {key: 1, seq: 1}}}
	first := entry{key: 1, seq: 0, offset: 0, owner: 1}
	second := entry{key: 1, seq: 1, offset: 1, owner: 1}
	as := func(d deed, e entry) entry { e.deed = d; return e }
	by := func(owner uint16, e entry) entry { e.owner = owner; return e }
	published := []entry{as(offered, first), as(acked, first), as(offered, second), as(acked, second)}
	for _, c := range []struct {
		name                                    string
		log                                     [][]logged
		dead                                    map[place]int
		ends                                    map[uint16]int64
		then                                    []entry
		lost, duplicates, disorder, unexplained int
	}{
		{name: "clean", then: []entry{as(started, first), as(handled, first), as(started, second), as(handled, second)}},
		{name: "not handled", then: []entry{as(started, first), as(handled, first)}, lost: 1},
		{name: "dead-lettered", then: []entry{as(started, first), as(failed, first), as(started, second), as(handled, second)}, dead: map[place]int{{0, 0}: 1}},
		{
			name: "side by side", disorder: 1,
			then: []entry{as(started, first), as(started, second), as(handled, first), as(handled, second)},
		},
		{
			name: "handled twice", duplicates: 1, unexplained: 1,
			then: []entry{as(started, first), as(handled, first), as(started, first), as(handled, by(2, first)), as(started, second), as(handled, second)},
		},
		{
			name: "handled twice around a kill", duplicates: 1, ends: map[uint16]int64{1: int64(time.Second)},
			then: []entry{as(started, first), as(handled, first), as(started, by(2, first)), as(handled, by(2, first)), as(started, second), as(handled, second)},
		},
		{
			name: "acknowledged and not in the log", log: [][]logged{{{key: 1, seq: 0}}}, lost: 1,
			then: []entry{as(started, first), as(handled, first)},
		},
		{
			name: "out of order in the log", log: [][]logged{{{key: 1, seq: 1}, {key: 1, seq: 0}}}, lost: 4, disorder: 1,
		},
	} {
		e := &evidence{log: c.log, dead: c.dead, ends: c.ends, entries: deeds(append(append([]entry(nil), published...), c.then...)...)}
		if e.log == nil {
			e.log = log
		}
		f := judge(e)
		if f.lost != c.lost || f.duplicates != c.duplicates || f.disorder != c.disorder || f.unexplained != c.unexplained {
			t.Errorf("%s: %d lost, %d duplicates (%d unexplained), %d out of order; want %d, %d (%d), %d: %v",
				c.name, f.lost, f.duplicates, f.unexplained, f.disorder, c.lost, c.duplicates, c.unexplained, c.disorder, f.wrong)
		}
	}
}

// TestJudgeCommits: an event that an acknowledged commit covers may start again only
// at an owner that was frozen before; one that none covers may start again.
func TestJudgeCommits(t *testing.T) {
	at := func(d deed, owner uint16, offset int64, length uint32) entry {
		return entry{deed: d, owner: owner, key: length, seq: uint32(offset), offset: offset} //nolint:gosec // small
	}
	event := func(d deed, owner uint16, offset int64) entry { return at(d, owner, offset, 1) }
	history := []entry{
		event(started, 1, 0), event(handled, 1, 0), event(started, 1, 1), event(started, 2, 2), event(handled, 2, 2),
		at(committed, 0, 1, 0), at(beyond, 0, 2, 1),
	}
	for offset, want := range map[int64]int{0: 1, 1: 0, 2: 1} {
		for _, ends := range []map[uint16]int64{nil, {1: 1}} { // owner 1 was frozen from the beginning
			if ends != nil {
				want = 0
			}
			f := judge(&evidence{
				log: [][]logged{{{1, 0}, {1, 1}, {1, 2}}}, ends: ends,
				entries: deeds(append(append([]entry(nil), history...), event(started, 1, offset))...),
			})
			if f.uncovered != want {
				t.Errorf("offset %d (ends %v): %d started though committed, want %d: %v", offset, ends, f.uncovered, want, f.wrong)
			}
		}
	}
}

// TestJudgePublishing: the outcomes that publishers got are compared with the log.
func TestJudgePublishing(t *testing.T) {
	at := func(d deed, seq uint32) entry { return entry{deed: d, key: 1, seq: seq, offset: int64(seq)} }
	for _, c := range []struct {
		name                                   string
		log                                    [][]logged
		told                                   []entry // of two events that were offered
		lost, copies, disorder, denied, silent int
	}{
		{name: "both there", log: [][]logged{{{1, 0}, {1, 1}}}, told: []entry{at(acked, 0), at(acked, 1)}},
		{name: "acknowledged, not there", log: [][]logged{{{1, 0}}}, told: []entry{at(acked, 0), at(acked, 1)}, lost: 1},
		{name: "acknowledged, elsewhere", log: [][]logged{{{1, 0}, {2, 0}, {1, 1}}}, told: []entry{at(acked, 0), at(acked, 1)}, lost: 1},
		{name: "acknowledged, twice there", log: [][]logged{{{1, 0}, {1, 1}, {1, 1}}}, told: []entry{at(acked, 0), at(acked, 1)}, copies: 1},
		{name: "acknowledged, also in another partition", log: [][]logged{{{1, 0}, {1, 1}}, {{1, 1}}}, told: []entry{at(acked, 0), at(acked, 1)}, copies: 1, disorder: 1},
		{name: "in two partitions", log: [][]logged{{{1, 0}}, {{1, 1}}}, told: []entry{at(acked, 0), at(unknown, 1)}, disorder: 1},
		{name: "again after the next", log: [][]logged{{{1, 0}, {1, 1}, {1, 0}}}, told: []entry{at(acked, 0), at(acked, 1)}, copies: 1, disorder: 1},
		{name: "refused, not there", log: [][]logged{{{1, 0}}}, told: []entry{at(acked, 0), at(refused, 1)}},
		{name: "refused, and there", log: [][]logged{{{1, 0}, {1, 1}}}, told: []entry{at(acked, 0), at(refused, 1)}, denied: 1},
		{name: "unknown, and there", log: [][]logged{{{1, 0}, {1, 1}}}, told: []entry{at(acked, 0), at(unknown, 1)}},
		{name: "unknown, and twice there", log: [][]logged{{{1, 0}, {1, 1}, {1, 1}}}, told: []entry{at(acked, 0), at(unknown, 1)}, copies: 1},
		{name: "unknown, not there", log: [][]logged{{{1, 0}}}, told: []entry{at(acked, 0), at(unknown, 1)}},
		{name: "no outcome", log: [][]logged{{{1, 0}, {1, 1}}}, told: []entry{at(acked, 0)}, silent: 1},
	} {
		history := append([]entry{at(offered, 0), at(offered, 1)}, c.told...)
		for p := range c.log { // all are handled
			for o, r := range c.log[p] {
				line := entry{deed: started, partition: int32(p), offset: int64(o), key: r.key, seq: r.seq} //nolint:gosec // small
				end := line
				end.deed = handled
				history = append(history, line, end)
			}
		}
		f := judge(&evidence{log: c.log, entries: deeds(history...)})
		if f.lost != c.lost || f.copies != c.copies || f.duplicates != c.copies || f.disorder != c.disorder || f.denied != c.denied || f.silent != c.silent {
			t.Errorf("%s: %d lost, %d copies (%d duplicates), %d out of order, %d denied, %d silent; want %d, %d, %d, %d, %d: %v", c.name,
				f.lost, f.copies, f.duplicates, f.disorder, f.denied, f.silent, c.lost, c.copies, c.disorder, c.denied, c.silent, f.wrong)
		}
	}
}

// TestLongestStall: only time in which there was work counts.
func TestLongestStall(t *testing.T) {
	got, end := longestStall([]move{{0, 1}, {1, 1}, {5, -1}, {7, -1}, {100, 1}, {103, -1}})
	if got != 5 || end != 5 {
		t.Errorf("%d until %d, want 5 until 5", got, end)
	}
}

// TestJudgeIntruders: a record of an intruder must have its expected outcome, and is
// not an event of the load.
func TestJudgeIntruders(t *testing.T) {
	entries := deeds(
		entry{deed: intruded, offset: 0, key: 2, seq: uint32(deadLettered)}, entry{deed: intruded, offset: 1, key: 2, seq: uint32(passedOver)},
	)
	for name, c := range map[string]struct {
		dead map[place]int
		then []entry
		want int // kinds that went wrong
		lost int
	}{
		"as it should be":            {dead: map[place]int{{0, 0}: 1}},
		"none has a letter":          {want: 1},
		"one too many":               {dead: map[place]int{{0, 0}: 2}, want: 1},
		"one that needs none":        {dead: map[place]int{{0, 0}: 1, {0, 1}: 1}, want: 1},
		"handled as if it were good": {dead: map[place]int{{0, 0}: 1}, then: []entry{{deed: started, offset: 1, key: 7, seq: 1}}, lost: 1},
	} {
		all := append(append([]entry(nil), entries...), c.then...)
		e := &evidence{entries: all, intruders: intruders(all), dead: c.dead, log: [][]logged{{{9, 0}, {9, 1}}}}
		if f := judge(e); f.lost != c.lost {
			t.Errorf("%s: %d lost, want %d: %v", name, f.lost, c.lost, f.wrong)
		}
		if got := len(astray(e)); got != c.want {
			t.Errorf("%s: %d kinds went wrong, want %d: %v", name, got, c.want, astray(e))
		}
	}
}
