package engine

import (
	"cmp"
	"math/bits"
	"slices"
)

// tracker knows which offsets of a partition are finished. Its watermark is the
// lowest offset that is not: the next to be committed.
//
// It keeps what is open, as bits: an offset between base and end that is not
// open is finished or was never delivered (compaction gaps, control records,
// aborted and skipped records). So its memory follows the records in hand, and
// neither a hole in the log nor one record that runs for hours costs any. Its
// owner locks it.
// base is at most end, and is end if nothing is open.
type tracker struct {
	base  int64      // the watermark
	end   int64      // next offset expected
	words []openWord // rising; those from head on may have open offsets
	head  int
	empty int // words behind head that have none any more
}

// openWord is the open offsets among 64.
// Bit n is offset first+n. A word that was emptied out of order stays until compact.
type openWord struct {
	first int64 // a multiple of 64
	open  uint64
}

// start sets the watermark of an empty tracker.
func (t *tracker) start(offset int64) {
	*t = tracker{base: offset, end: offset}
}

// open takes a delivered offset in, unfinished. It is not below end; offsets
// between end and it were not delivered.
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
	// The last word had run empty and is used again.
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
	// Where every word has open offsets, and that is usual, this is its place.
	if at := (first - live[0].first) >> 6; at < int64(len(live)) && live[at].first == first {
		return t.head + int(at)
	}
	at, found := slices.BinarySearchFunc(live, first, func(w openWord, first int64) int { return cmp.Compare(w.first, first) })
	if !found {
		return -1
	}
	return t.head + at
}

// finish marks an offset finished. Twice is harmless.
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
		// One record that is open for hours must not keep all words behind it: what
		// compact costs is less than what was finished since the last time.
		if t.empty > 64 && t.empty > (len(t.words)-t.head)/2 {
			t.compact()
		}
	}
}

// advance moves the watermark to the lowest open offset. Each word is passed
// once, so it costs a constant time per record on average.
func (t *tracker) advance() {
	for t.words[t.head].open == 0 {
		t.head++
		if t.head == len(t.words) {
			// Nothing is open, so the gaps at the end count as finished too.
			t.base = t.end
			return
		}
		// It was counted when it ran empty; the one that advance came from was not.
		if t.words[t.head].open == 0 {
			t.empty--
		}
	}
	w := t.words[t.head]
	t.base = w.first + int64(bits.TrailingZeros64(w.open))
	// The front is given back once it is the larger half, so the copying pays.
	if t.head > 64 && t.head > len(t.words)/2 {
		t.compact()
	}
}

// compact drops the words without open offsets.
func (t *tracker) compact() {
	// In place: live never overtakes what is read.
	live := t.words[:0]
	for _, w := range t.words[t.head:] {
		if w.open != 0 {
			live = append(live, w)
		}
	}
	t.words, t.head, t.empty = live, 0, 0
}

// window is the distance from the watermark to the end.
func (t *tracker) window() int64 { return t.end - t.base }

// runs calls yield with the lengths of the alternating runs from the watermark
// on: unfinished, finished, unfinished… A trailing unfinished run is left out.
// It follows words and stretches of bits, not offsets: long runs cost nothing.
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
