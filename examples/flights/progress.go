package main

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
)

// progress shows how far a run is: a bar on a terminal, a line now and then
// anywhere else.
type progress struct {
	total int
	bar   *progressbar.ProgressBar // nil: lines
	out   io.Writer
	shown time.Time
	last  [2]int
}

// Between two looks, and between two lines.
const (
	lookEvery = 100 * time.Millisecond
	lineEvery = 2 * time.Second
)

func newProgress(s settings, total int) *progress {
	p := &progress{total: total, out: s.stderr, last: [2]int{-1, -1}}
	if s.terminal {
		p.bar = progressbar.NewOptions(total, progressbar.OptionSetWriter(s.stderr), progressbar.OptionSetWidth(30),
			progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionSetItsString("flights"),
			progressbar.OptionOnCompletion(func() { _, _ = fmt.Fprintln(s.stderr) }))
	}
	return p
}

// show looks again and again until its end is called, which shows the last state.
func (p *progress) show(look func() (published, handled int)) (end func()) {
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
				p.draw(look, true)
				return
			}
		}
	})
	return func() {
		close(done)
		shower.Wait()
	}
}

func (p *progress) draw(look func() (published, handled int), last bool) {
	published, handled := look()
	now := [2]int{published, handled}
	if p.bar != nil {
		p.bar.Describe(fmt.Sprintf("published %d, handled", published))
		_ = p.bar.Set(handled)
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
