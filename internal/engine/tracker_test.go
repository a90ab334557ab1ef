package engine

import (
	"math/rand/v2"
	"testing"
)

// model is a simple and slow tracker to compare with.
type model struct {
	base, end int64
	open      map[int64]bool
}

func (m *model) watermark() int64 {
	for m.base < m.end && !m.open[m.base] {
		m.base++
	}
	return m.base
}

// TestTrackerAgainstModel compares the tracker with the model over random operations.
func TestTrackerAgainstModel(t *testing.T) {
	const operations = 2_000_000
	rng := rand.New(rand.NewPCG(1, 2))
	var tr tracker
	m := &model{open: make(map[int64]bool)}
	start := rng.Int64N(1000)
	tr.start(start)
	m.base, m.end = start, start
	var waiting []int64
	for op := range operations {
		switch {
		case len(waiting) < 10 || rng.IntN(3) == 0 && len(waiting) < 600:
			next := m.end + 1 + rng.Int64N(200)
			density := 1 + rng.IntN(10) // from full batches to sparse ones
			for o := m.end; o < next; o++ {
				if rng.IntN(density) == 0 {
					tr.open(o)
					m.open[o] = true
					waiting = append(waiting, o)
				}
			}
			tr.extend(next)
			m.end = next
		default:
			// Mostly old offsets, so that the watermark moves.
			i := rng.IntN(len(waiting))
			if rng.IntN(4) > 0 {
				i = rng.IntN(min(len(waiting), 20))
			}
			o := waiting[i]
			waiting = append(waiting[:i], waiting[i+1:]...)
			tr.finish(o)
			delete(m.open, o)
			if rng.IntN(100) == 0 {
				tr.finish(o)
			}
		}
		if got, want := tr.base, m.watermark(); got != want {
			t.Fatalf("operation %d: watermark %d, want %d", op, got, want)
		}
		if op%100 == 0 {
			o := m.base + rng.Int64N(m.end-m.base+2) - 1
			want := o < m.base || o < m.end && !m.open[o]
			if tr.finished(o) != want {
				t.Fatalf("operation %d: finished(%d) = %v, want %v", op, o, !want, want)
			}
		}
		if op%5_000 == 0 {
			checkRuns(t, &tr, m)
		}
	}
}

// checkRuns compares the tracker's runs with the model.
func checkRuns(t *testing.T, tr *tracker, m *model) {
	t.Helper()
	o, done := tr.base, false
	for n := range tr.runs {
		if n <= 0 {
			t.Fatalf("a run of %d", n)
		}
		for range n {
			if m.open[o] == done {
				t.Fatalf("by the runs, finished(%d) = %v", o, done)
			}
			o++
		}
		done = !done
	}
	if done {
		t.Fatal("the last run is unfinished")
	}
	for ; o < m.end; o++ {
		if !m.open[o] {
			t.Fatalf("runs leave out finished offset %d of [%d,%d)", o, m.base, m.end)
		}
	}
}

// TestTrackerMemoryFollowsWhatIsOpen: the tracker's memory does not grow with the number
// of offsets, neither for a gap in the log nor behind a record that never ends.
func TestTrackerMemoryFollowsWhatIsOpen(t *testing.T) {
	var tr tracker
	tr.start(0)
	tr.extend(1 << 50)
	if tr.base != 1<<50 || cap(tr.words) != 0 {
		t.Fatalf("base %d, %d words after a gap", tr.base, cap(tr.words))
	}
	pinned := tr.end
	tr.open(pinned)
	for range 200_000 {
		o := tr.end + 40
		tr.open(o)
		tr.finish(o)
	}
	if tr.base != pinned || cap(tr.words) > 1024 {
		t.Fatalf("base %d, %d words, for one open offset", tr.base, cap(tr.words))
	}
	tr.finish(pinned)
	if tr.base != tr.end {
		t.Fatalf("base %d, end %d with nothing open", tr.base, tr.end)
	}
}

// finished reports whether an offset needs no handling.
func (t *tracker) finished(offset int64) bool {
	if offset >= t.end {
		return false
	}
	i := t.find(offset)
	return i < 0 || t.words[i].open>>(offset&63)&1 == 0
}
