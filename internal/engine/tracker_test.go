package engine

import (
	"math/rand/v2"
	"testing"
)

// model is the tracker as one would write it without care for speed.
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
		case len(waiting) < 10 || rng.IntN(3) == 0 && len(waiting) < 5000:
			next := m.end + 1 + rng.Int64N(200)
			tr.extend(next)
			for o := m.end; o < next; o++ {
				if rng.IntN(10) > 0 {
					tr.open(o)
					m.open[o] = true
					waiting = append(waiting, o)
				}
			}
			m.end = next
			tr.advance()
		default:
			// Mostly the old ones, so that the watermark moves.
			i := rng.IntN(len(waiting))
			if rng.IntN(4) > 0 {
				i = rng.IntN(min(len(waiting), 20))
			}
			o := waiting[i]
			waiting = append(waiting[:i], waiting[i+1:]...)
			tr.finish(o)
			delete(m.open, o)
		}
		if got, want := tr.base, m.watermark(); got != want {
			t.Fatalf("operation %d: watermark %d, want %d", op, got, want)
		}
		if op%1000 == 0 {
			o := m.base + rng.Int64N(m.end-m.base+2) - 1
			want := o < m.base || o < m.end && !m.open[o]
			if tr.finished(o) != want {
				t.Fatalf("operation %d: finished(%d) = %v, want %v", op, o, !want, want)
			}
		}
		if op%20_000 == 0 {
			checkRuns(t, &tr, m)
		}
	}
}

func checkRuns(t *testing.T, tr *tracker, m *model) {
	t.Helper()
	o, done := tr.base, false
	for n := range tr.runs {
		for range n {
			if m.open[o] == done {
				t.Fatalf("runs say finished=%v of %d", done, o)
			}
			o++
		}
		done = !done
	}
	for ; o < m.end; o++ {
		if !m.open[o] {
			t.Fatalf("runs leave out finished offset %d of [%d,%d)", o, m.base, m.end)
		}
	}
}
