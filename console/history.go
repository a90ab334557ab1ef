package console

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/transport"
)

// The history is kept in steps: memory depends on the number of groups and members,
// not on how often somebody looks.
// The steps of all groups are the same ones: Unix time divided by stepLength. So figures of
// several members are added step by step without looking at when each was asked.
const (
	stepLength = 5 * time.Second
	steps      = 120 // ten minutes
	carried    = 3   // steps that a figure stands for, since idle members are asked seldom
	maxGroups  = 1000
)

// history has the figures of the last minutes, by group.
// It is safe for concurrent use: every member's goroutine adds, every page reads. Beyond
// maxGroups, groups that come later have no history.
type history struct {
	mu     sync.Mutex
	groups map[string]*record
}

// record is the history of a group, by member.
// The keys are the places of the members in watch, which stay the same.
type record struct{ members map[int]*series }

// series is what one member said of one group.
type series struct {
	points [steps]point
	// total counts what was finished since the member was first asked, and finished
	// has where each partition was.
	total    int64
	finished map[transport.Partition]int64
}

// point is a series at one step.
type point struct {
	step        int64 // since 1970; 0 for no point
	at          time.Time
	lag, parked int64
	behind      time.Duration
	total       int64
}

// add notes what a member says.
// now is when the answer came. A group that a member no longer has gets no more points.
func (h *history) add(member int, seen *eventbus.Inspection, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range seen.Groups {
		g := &seen.Groups[i]
		r := h.groups[g.Name]
		if r == nil {
			if len(h.groups) >= maxGroups {
				continue
			}
			r = &record{members: make(map[int]*series)}
			h.groups[g.Name] = r
		}
		s := r.members[member]
		if s == nil {
			s = &series{}
			r.members[member] = s
		}
		s.add(g, now)
	}
}

// add notes one answer on the group. A later one of the same step replaces the point.
func (s *series) add(g *eventbus.GroupInspection, now time.Time) {
	p := point{step: now.UnixNano() / int64(stepLength), at: now, parked: g.ParkedKeys}
	finished := make(map[transport.Partition]int64, len(g.Partitions))
	for i := range g.Partitions {
		at := &g.Partitions[i]
		// A lag that is not known is −1.
		p.lag += max(at.Lag, 0)
		p.behind = max(p.behind, time.Duration(at.BehindMs)*time.Millisecond)
		id := transport.Partition{Topic: at.Topic, Partition: at.Partition}
		// What is finished below the watermark and out of order beyond it: their sum grows by one
		// with each event, whatever the order.
		finished[id] = at.Watermark + at.Beyond
		// A partition that has just come begins at its commit: what was finished
		// before is another member's.
		if before, had := s.finished[id]; had {
			// It falls where a partition starts over at its commit; a rate is not negative.
			s.total += max(finished[id]-before, 0)
		}
	}
	s.finished, p.total = finished, s.total
	// A ring: this takes the place of the point that is steps older.
	s.points[p.step%steps] = p
}

// figures are the history of a group over all members, oldest first.
type figures struct {
	Lag, Parked, Behind, Rate []float64 // Behind in seconds, Rate in events a second
}

// of returns the history of a group until now.
func (h *history) of(group string, now time.Time) (f figures) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.groups[group]
	if r == nil {
		return f
	}
	last := now.UnixNano() / int64(stepLength)
	for step := last - steps + 1; step <= last; step++ {
		var lag, parked, behind, rate float64
		// A step that no member has a point for is left out, rather than drawn as zero: a console
		// that did not run knows nothing of it.
		known := false
		for _, s := range r.members {
			p := s.until(step)
			if p == nil {
				continue
			}
			known = true
			lag, parked, behind = lag+float64(p.lag), parked+float64(p.parked), max(behind, p.behind.Seconds())
			// The rate is over the time between two answers, which is longer than a step for
			// members that are asked seldom.
			if before := s.until(p.step - 1); before != nil && p.at.After(before.at) {
				rate += float64(p.total-before.total) / p.at.Sub(before.at).Seconds()
			}
		}
		if known {
			f.Lag, f.Parked, f.Behind, f.Rate = append(f.Lag, lag), append(f.Parked, parked), append(f.Behind, behind), append(f.Rate, rate)
		}
	}
	return f
}

// until returns the point that stands for a step: its own, or one shortly before.
func (s *series) until(step int64) *point {
	// Only a few steps back: a member that is gone must not count with its last figures.
	for back := range int64(carried) {
		if p := &s.points[(step-back)%steps]; p.step == step-back && p.step > 0 {
			return p
		}
	}
	return nil
}

// spark is a picture of the last minutes of a figure, and what it shows in words for
// those who don't see it.
// The zero value is not a picture: the page draws nothing for it.
type spark struct {
	Points string // of a polyline in a box of sparkWidth by sparkHeight
	Label  string
}

// The sizes are in units of the picture's own box, which the page scales.
const (
	sparkWidth  = 120
	sparkHeight = 24
)

// newSpark draws values, oldest first. Nothing is drawn of fewer than two.
// name and text are for the label. There is a value for each step that is known, the newest
// last.
func newSpark(name string, values []float64, text func(float64) string) spark {
	if len(values) < 2 {
		return spark{}
	}
	least, most := values[0], values[0]
	for _, v := range values {
		least, most = min(least, v), max(most, v)
	}
	// From zero up, so that a small change of a large figure looks small.
	var b strings.Builder
	for i, v := range values {
		// The newest value is at the right end, whatever the number of values: a console that has
		// just begun draws a short line rather than a stretched one.
		x := sparkWidth - float64(len(values)-1-i)*sparkWidth/(steps-1)
		// Two units are left above and below, so that the stroke is not cut off. y grows downwards.
		y := sparkHeight - 2.0
		// All zero is a line at the bottom.
		if most > 0 {
			y -= v / most * (sparkHeight - 4)
		}
		fmt.Fprintf(&b, "%.1f,%.1f ", x, y)
	}
	return spark{
		Points: strings.TrimSpace(b.String()),
		Label:  fmt.Sprintf("%s of the last %s: between %s and %s", name, span(steps*stepLength), text(least), text(most)),
	}
}
