package engine

import "math/bits"

// tracker knows which offsets of a partition are finished. Its watermark is the
// lowest offset that is not: the next to be committed.
//
// It is a window of bits over [base, end), base rounded down to a multiple of 64
// inside; a set bit is an offset that is finished or that was never delivered
// (compaction gaps, control records, aborted and skipped records). Its owner
// locks it.
type tracker struct {
	base  int64 // the watermark
	end   int64 // next offset expected
	first int64 // offset of bit 0 of words[head], a multiple of 64
	words []uint64
	head  int // words before it are free
}

// start sets the watermark of an empty tracker.
func (t *tracker) start(offset int64) {
	*t = tracker{base: offset, end: offset, first: offset &^ 63, words: t.words[:0]}
}

// extend grows the window to next, everything new in it finished; open then
// opens the offsets that were delivered.
func (t *tracker) extend(next int64) {
	if next <= t.end {
		return
	}
	if t.head == len(t.words) {
		t.words, t.head = t.words[:0], 0
		t.first = t.end &^ 63
	}
	for need := int((next-t.first+63)/64) + t.head; len(t.words) < need; {
		t.words = append(t.words, 0)
	}
	t.setRange(t.end, next)
	t.end = next
}

func (t *tracker) setRange(from, to int64) {
	for o := from; o < to; {
		w, b := t.at(o)
		n := min(64-int64(b), to-o)
		t.words[w] |= (^uint64(0) >> (64 - n)) << b
		o += n
	}
}

func (t *tracker) at(offset int64) (word int, bit uint) {
	d := offset - t.first
	return t.head + int(d>>6), uint(d & 63)
}

// open marks a delivered offset unfinished. It lies within the window.
func (t *tracker) open(offset int64) {
	w, b := t.at(offset)
	t.words[w] &^= 1 << b
}

// finish marks an offset finished. Twice is harmless.
func (t *tracker) finish(offset int64) {
	if offset < t.base || offset >= t.end {
		return
	}
	w, b := t.at(offset)
	t.words[w] |= 1 << b
	if offset == t.base {
		t.advance()
	}
}

// advance moves the watermark over what is finished. Each word is passed once,
// so a watermark moves in amortized constant time per record.
func (t *tracker) advance() {
	for t.base < t.end {
		w, b := t.at(t.base)
		run := int64(bits.TrailingZeros64(^(t.words[w] >> b)))
		if limit := 64 - int64(b); run >= limit {
			t.base += limit
			t.head++
			t.first += 64
			continue
		}
		t.base += run
		break
	}
	t.base = min(t.base, t.end)
	if t.base == t.end {
		// Nothing is open: keep the memory, forget the bits.
		t.words, t.head, t.first = t.words[:0], 0, t.end&^63
		return
	}
	// The free words in front are given back once they are the larger half.
	if t.head > 64 && t.head > len(t.words)/2 {
		n := copy(t.words, t.words[t.head:])
		t.words, t.head = t.words[:n], 0
	}
}

// finished tells whether an offset needs no handling.
func (t *tracker) finished(offset int64) bool {
	if offset < t.base {
		return true
	}
	if offset >= t.end {
		return false
	}
	w, b := t.at(offset)
	return t.words[w]&(1<<b) != 0
}

// window is the distance from the watermark to the end: what a crash would
// repeat without the bitmap.
func (t *tracker) window() int64 { return t.end - t.base }

// runs calls yield with the lengths of the alternating runs from the watermark
// on: unfinished, finished, unfinished… A trailing unfinished run is left out.
func (t *tracker) runs(yield func(length int64) bool) {
	done := false
	from := t.base
	for o := t.base; o < t.end; {
		w, b := t.at(o)
		word := t.words[w] >> b
		if done {
			word = ^word
		}
		// word's zeros continue the run, its first one ends it.
		limit := min(64-int64(b), t.end-o)
		n := min(int64(bits.TrailingZeros64(word)), limit)
		o += n
		if n < limit {
			if !yield(o - from) {
				return
			}
			from, done = o, !done
		}
	}
	if done {
		yield(t.end - from)
	}
}
