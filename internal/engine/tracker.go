package engine

import (
	"cmp"
	"math/bits"
	"slices"
)

// tracker knows which offsets of a partition are finished. Its watermark is the lowest offset
// that is not: the next to commit.
//
// It stores open offsets as bits. An offset between base and end that is not open is finished
// or was never delivered (compaction gaps, control records, aborted and skipped records). So
// its memory depends on the open records, and neither a hole in the log nor one record that
// runs for hours costs any. base is at most end, and equals end if nothing is open. Its owner's
// lock guards it.
type tracker struct {
	base  int64      // the watermark
	end   int64      // next offset expected
	words []openWord // rising; words from head on may have open offsets
	head  int
	empty int // number of words behind head without open offsets
}

// openWord holds 64 offsets: bit n is set if offset first+n is open. A word emptied out of
// order stays until compact.
type openWord struct {
	first int64 // a multiple of 64
	open  uint64
}

// start sets the watermark of an empty tracker.
func (t *tracker) start(offset int64) {
	*t = tracker{base: offset, end: offset}
}

// open adds a delivered, unfinished offset. It must not be below end; offsets between end and
// it were not delivered.
func (t *tracker) open(offset int64) {
	if t.head == len(t.words) {
		t.words, t.head, t.empty = t.words[:0], 0, 0
		t.base = offset
	}
	first, last := offset&^63, len(t.words)-1
	switch {
	case last < 0 || t.words[last].first != first:
		t.words = append(t.words, openWord{first: first})
		last++
	// The last word had become empty and is used again.
	case t.words[last].open == 0:
		t.empty--
	}
	t.words[last].open |= 1 << (offset & 63)
	t.end = offset + 1
}

// extend moves the end to next: nothing more is delivered below it.
func (t *tracker) extend(next int64) {
	if next <= t.end {
		return
	}
	t.end = next
	if t.head == len(t.words) {
		t.base = next
	}
}

// find returns the index of the word of offset, −1 if it has no open offset.
func (t *tracker) find(offset int64) int {
	first := offset &^ 63
	live := t.words[t.head:]
	if len(live) == 0 || first < live[0].first {
		return -1
	}
	// If every word has open offsets, which is usual, this is its index.
	if at := (first - live[0].first) >> 6; at < int64(len(live)) && live[at].first == first {
		return t.head + int(at)
	}
	at, found := slices.BinarySearchFunc(live, first, func(w openWord, first int64) int { return cmp.Compare(w.first, first) })
	if !found {
		return -1
	}
	return t.head + at
}

// finish marks an offset as finished. Doing so twice is harmless.
func (t *tracker) finish(offset int64) {
	i := t.find(offset)
	// Not open: it was finished before, or never delivered.
	if i < 0 || t.words[i].open>>(offset&63)&1 == 0 {
		return
	}
	w := &t.words[i]
	w.open &^= 1 << (offset & 63)
	switch {
	// Only the lowest word can hold the watermark back.
	case i == t.head:
		t.advance()
	case w.open == 0:
		t.empty++
		// One record that is open for hours must not keep all words behind it. compact costs
		// less than what was finished since the last time.
		if t.empty > 64 && t.empty > (len(t.words)-t.head)/2 {
			t.compact()
		}
	}
}

// advance moves the watermark to the lowest open offset. It passes each word once, so its cost
// per record is constant on average.
func (t *tracker) advance() {
	for t.words[t.head].open == 0 {
		t.head++
		if t.head == len(t.words) {
			// Nothing is open, so the gaps at the end count as finished too.
			t.base = t.end
			return
		}
		// The word was counted when it became empty; the one that advance started from was not.
		if t.words[t.head].open == 0 {
			t.empty--
		}
	}
	w := t.words[t.head]
	t.base = w.first + int64(bits.TrailingZeros64(w.open))
	// Drop the front once it is the larger half, so that the copying pays.
	if t.head > 64 && t.head > len(t.words)/2 {
		t.compact()
	}
}

// compact drops the words without open offsets.
func (t *tracker) compact() {
	// In place: live never overtakes the read position.
	live := t.words[:0]
	for _, w := range t.words[t.head:] {
		if w.open != 0 {
			live = append(live, w)
		}
	}
	t.words, t.head, t.empty = live, 0, 0
}

// window returns the distance from the watermark to the end.
func (t *tracker) window() int64 { return t.end - t.base }

// runs yields the lengths of the alternating runs from the watermark on: unfinished, finished,
// unfinished… A trailing unfinished run is omitted. It goes by words and stretches of bits, not
// by offsets, so long runs cost nothing.
func (t *tracker) runs(yield func(length int64) bool) {
	from, next := t.base, t.base // the open run so far
	for _, w := range t.words[t.head:] {
		for open := w.open; open != 0; {
			shift := bits.TrailingZeros64(open)
			n := bits.TrailingZeros64(^(open >> shift))
			start := w.first + int64(shift)
			if start > next {
				if !yield(next-from) || !yield(start-next) {
					return
				}
				from = start
			}
			next = start + int64(n)
			if shift+n == 64 {
				break
			}
			open &= ^uint64(0) << (shift + n)
		}
	}
	if next < t.end && yield(next-from) {
		yield(t.end - next)
	}
}

// span is a range of offsets [from, to).
type span struct{ from, to int64 }
