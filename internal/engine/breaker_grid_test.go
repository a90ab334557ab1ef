package engine

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus/resilience"
)

var gridCells = flag.String("cells", "", "run only the cells of TestBreakerGrid whose name has this in it")

var wholeGrid = flag.Bool("grid", false, "run every cell of TestBreakerGrid, some minutes, and print the table")

// cell is one load on a subscription with all defaults: a share of its events fails in
// one of several ways, and all fail while the dependency is down.
type cell struct {
	share   int // of events that fail, in percent
	keys    int
	fails   string // "twice", "30s" from its first attempt on, or "always"
	backlog bool   // all events are there at the start; otherwise they come over 20 s
	outage  time.Duration
	takes   time.Duration // one attempt
}

func (c cell) String() string {
	load := "stream"
	if c.backlog {
		load = "backlog"
	}
	return fmt.Sprintf("%3d%% %-6s %5d keys %-7s outage %3v, %v each", c.share, c.fails, c.keys, load, c.outage, c.takes)
}

// result is how a cell ended.
type result struct {
	drained time.Duration // until the last event was handled or dead-lettered
	ended   bool
	letters int
	open    time.Duration // the breaker's
}

var errCell = errors.New("fails")

// run runs the cell's events through an engine.
func (c cell) run(t *testing.T, config resilience.BreakerConfig) (r result) {
	inBubble(t, func(t *testing.T) {
		const limit = time.Hour
		events := max(1000, c.keys)
		if c.keys == 200 {
			events = 20_000 // a long backlog of each key
		}
		start := time.Now()
		var mu sync.Mutex
		type history struct {
			attempts int
			first    time.Time
		}
		tried := make(map[int64]history)
		sub := &Subscription{
			Name: "s", Concurrency: 64, Breaker: resilience.NewBreaker("b", config),
			Handle: func(_ context.Context, a *Attempt) error {
				time.Sleep(c.takes)
				now := time.Now()
				if now.Sub(start) < c.outage {
					return errCell
				}
				offset := a.Records[0].Offset
				if offset >= int64(events) || int(uint64(offset)*0x9E3779B97F4A7C15>>33%100) >= c.share {
					return nil
				}
				mu.Lock()
				defer mu.Unlock()
				h := tried[offset]
				if h.attempts == 0 {
					h.first = now
				}
				h.attempts++
				tried[offset] = h
				if c.fails == "twice" && h.attempts > 2 || c.fails == "30s" && now.Sub(h.first) >= 30*time.Second {
					return nil
				}
				return errCell
			},
		}
		var box letterBox
		s := newScript(t, options{subs: []*Subscription{sub}, deadLetter: box.write, bounds: Bounds{Records: 1 << 20, Bytes: 1 << 30, ParkedKeys: 1 << 20}})
		s.assign(0, "")
		keys := many(c.keys)
		piece := events
		if !c.backlog {
			piece = events / 100
		}
		for at := 0; at < events; at += piece {
			n := min(piece, events-at)
			names := make([]string, n)
			for i := range names {
				names[i] = keys[(at+i)%c.keys]
			}
			s.fetch(int64(at), names...)
			if !c.backlog {
				pass(200 * time.Millisecond)
			}
		}
		next := int64(events)
		for i := 1; time.Since(start) < limit && s.engine.partition(p0).left() > 0; i++ {
			pass(250 * time.Millisecond)
			// A topic is never entirely silent: ten failing events at its very end
			// look like an outage that has just begun.
			if i%120 == 0 && c.share < 100 {
				s.fetch(next, "healthy")
				next++
			}
		}
		r = result{drained: time.Since(start), ended: s.engine.partition(p0).left() == 0, letters: len(box.letters), open: sub.Breaker.OpenFor()}
		s.drain()
	})
	return r
}

func (p *partition) left() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.records
}

// TestBreakerGrid compares the default breaker with none: if a part of the events
// fails, draining them never takes much longer, and an outage of a minute causes no
// dead letter.
func TestBreakerGrid(t *testing.T) {
	shares, keys, takes := []int{5, 50, 95, 100}, []int{1, 10, 1000}, []time.Duration{4 * time.Millisecond}
	if *wholeGrid {
		shares, keys = []int{1, 2, 5, 10, 20, 35, 50, 75, 90, 95, 99, 100}, []int{1, 3, 9, 10, 30, 100, 1000, 10_000}
		takes = append(takes, 100*time.Millisecond)
	}
	var cells []cell
	for _, took := range takes {
		for _, n := range keys {
			for _, backlog := range []bool{true, false} {
				for _, fails := range []string{"twice", "30s", "always"} {
					for _, share := range shares {
						// Each key's events come one after another, at half a minute
						// or five minutes each: nothing but waiting.
						if n <= 10 && fails != "twice" && (share > 10 || !*wholeGrid) {
							continue
						}
						cells = append(cells, cell{share, n, fails, backlog, 0, took})
					}
				}
				cells = append(cells, cell{0, n, "", backlog, time.Minute, took}, cell{5, n, "twice", backlog, time.Minute, took})
			}
		}
	}
	// A backlog with a few events that fail twice, as a deployment or a crash leaves
	// it.
	for _, share := range []int{4, 5} {
		cells = append(cells, cell{share, 200, "twice", true, 0, 4 * time.Millisecond})
	}
	var table strings.Builder
	for _, c := range cells {
		if !strings.Contains(c.String(), *gridCells) {
			continue
		}
		without, with := c.run(t, resilience.BreakerConfig{Disabled: true}), c.run(t, resilience.BreakerConfig{})
		fmt.Fprintf(&table, "%v: %v without (%d letters), %v with (%d letters, open %v)\n",
			c, without.drained, without.letters, with.drained, with.letters, with.open.Round(time.Millisecond))
		factor := int64(2)
		if c.share > 98 {
			factor = 3 // nearly an outage: the breaker opens, and should notice its end soon
		}
		switch {
		case c.fails == "always" && c.share > 98 && c.keys >= 10:
			// This hardly differs from an outage: failing events may be held as long
			// as nothing else comes, but no more of them may be dead-lettered than
			// without a breaker.
			if with.letters > without.letters || c.share == 100 && with.letters > 0 {
				t.Errorf("%v: %d dead letters, %d without a breaker", c, with.letters, without.letters)
			}
		case !with.ended && without.ended:
			t.Errorf("%v: not drained in %v; %v without a breaker", c, with.drained, without.drained)
		case with.drained > time.Duration(factor*int64(without.drained))+12*time.Second:
			t.Errorf("%v: drained in %v, %v without a breaker (open %v)", c, with.drained, without.drained, with.open)
		case with.letters > without.letters || c.outage > 0 && with.letters > 0:
			t.Errorf("%v: %d dead letters, %d without a breaker", c, with.letters, without.letters)
		}
	}
	if testing.Verbose() || t.Failed() {
		t.Log("\n" + table.String())
	}
}
