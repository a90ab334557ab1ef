package main

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
)

// progress shows how far a run has come: as a bar on a terminal, else as a line
// now and then.
type progress struct {
	total int
	// bar is nil where lines are printed.
	bar *progressbar.ProgressBar
	out io.Writer
	// shown and last are when the last line was printed, and its numbers: a
	// line that would repeat them is left out.
	shown time.Time
	last  [2]int
}

// How often the numbers are read, and how often a line is printed.
const (
	lookEvery = 100 * time.Millisecond
	lineEvery = 2 * time.Second
)

func newProgress(s settings, total int) *progress {
	// No count is −1, so the first line is printed also when both are 0.
	p := &progress{total: total, out: s.stderr, last: [2]int{-1, -1}}
	if s.terminal {
		p.bar = progressbar.NewOptions(total, progressbar.OptionSetWriter(s.stderr), progressbar.OptionSetWidth(30),
			progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionSetItsString("flights"),
			progressbar.OptionOnCompletion(func() { _, _ = fmt.Fprintln(s.stderr) }))
	}
	return p
}

// show reads the numbers again and again. The function that it returns stops
// that and shows the final numbers.
func (p *progress) show(look func() (published, handled int)) (end func()) {
	// One goroutine draws, so shown and last need no lock.
	done := make(chan struct{})
	var shower sync.WaitGroup
	shower.Go(func() {
		ticker := time.NewTicker(lookEvery)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				p.draw(look, false)
			case <-done:
				// Here and not in end: the last draw follows all others.
				p.draw(look, true)
				return
			}
		}
	})
	return func() {
		close(done)
		// What the caller prints next does not mix with the bar.
		shower.Wait()
	}
}

// draw shows the present numbers; last says that none follow.
func (p *progress) draw(look func() (published, handled int), last bool) {
	published, handled := look()
	now := [2]int{published, handled}
	if p.bar != nil {
		p.bar.Describe(fmt.Sprintf("published %d, handled", published))
		// The bar's errors are those of a terminal, and the run goes on without it.
		_ = p.bar.Set(handled)
		// An incomplete bar leaves the cursor in its line.
		if last && handled < p.total {
			_, _ = fmt.Fprintln(p.out)
		}
		return
	}
	if (last || time.Since(p.shown) >= lineEvery) && now != p.last {
		p.shown, p.last = time.Now(), now
		_, _ = fmt.Fprintf(p.out, "published %d, handled %d of %d flights\n", published, handled, p.total)
	}
}
