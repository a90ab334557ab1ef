package console

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/transport"
)

// The history is kept in steps, so that memory depends on the number of groups and members
// and not on how often somebody looks. All groups share the same steps, Unix time divided
// by stepLength, so the figures of several members are added step by step, no matter when
// each was asked.
const (
	stepLength = 5 * time.Second
	steps      = 120 // ten minutes
	carried    = 3   // steps for which a point stands, since idle members are asked seldom
	maxGroups  = 1000
)

// history keeps the figures of the last minutes, by group.
// It is safe for concurrent use: every member's goroutine adds to it, and every page reads
// it. Groups beyond the first maxGroups have no history.
type history struct {
	mu     sync.Mutex
	groups map[string]*record
}

// record is the history of a group, by member. The keys are the members' indexes in watch,
// which don't change.
type record struct{ members map[int]*series }

// series is what one member reported about one group.
type series struct {
	points [steps]point
	// total counts the events finished since the member was first asked. finished is the
	// latest count of each partition.
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

// add adds a member's answer, received at now. A group that the member no longer has gets no
// further points.
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

// add adds one answer. A later answer in the same step replaces its point.
func (s *series) add(g *eventbus.GroupInspection, now time.Time) {
	p := point{step: now.UnixNano() / int64(stepLength), at: now, parked: g.ParkedKeys}
	finished := make(map[transport.Partition]int64, len(g.Partitions))
	for i := range g.Partitions {
		at := &g.Partitions[i]
		// An unknown lag is −1.
		p.lag += max(at.Lag, 0)
		p.behind = max(p.behind, time.Duration(at.BehindMs)*time.Millisecond)
		id := transport.Partition{Topic: at.Topic, Partition: at.Partition}
		// Events are finished below the watermark, and out of order beyond it: the sum grows by
		// one with each event, whatever the order.
		finished[id] = at.Watermark + at.Beyond
		// A new partition only sets the base: what was finished before was another member's.
		if before, had := s.finished[id]; had {
			// The count falls if a partition starts over at its commit, but a rate is not negative.
			s.total += max(finished[id]-before, 0)
		}
	}
	s.finished, p.total = finished, s.total
	// A ring: this replaces the point that is steps older.
	s.points[p.step%steps] = p
}

// figures is the history of a group over all members, oldest first.
type figures struct {
	Lag, Parked, Behind, Rate []float64 // Behind in seconds, Rate in events a second
}

// of returns the history of a group up to now.
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
		// A step without a point is left out rather than drawn as zero: the console was not running
		// then.
		known := false
		for _, s := range r.members {
			p := s.until(step)
			if p == nil {
				continue
			}
			known = true
			lag, parked, behind = lag+float64(p.lag), parked+float64(p.parked), max(behind, p.behind.Seconds())
			// The rate covers the time between two answers, which is longer than a step for members
			// that are asked seldom.
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
	// Only a few steps back: the last figures of a member that is gone must not go on counting.
	for back := range int64(carried) {
		if p := &s.points[(step-back)%steps]; p.step == step-back && p.step > 0 {
			return p
		}
	}
	return nil
}

// spark is a sparkline of the last minutes of a figure, with a label for screen readers.
// The page draws nothing for the zero value.
type spark struct {
	Points string // of a polyline, in a box of sparkWidth by sparkHeight
	Label  string
}

// The size of the box, which the page scales.
const (
	sparkWidth  = 120
	sparkHeight = 24
)

// newSpark draws one value per known step, the newest last. It draws nothing for fewer than
// two. name and text make the label.
func newSpark(name string, values []float64, text func(float64) string) spark {
	if len(values) < 2 {
		return spark{}
	}
	least, most := values[0], values[0]
	for _, v := range values {
		least, most = min(least, v), max(most, v)
	}
	// The scale starts at zero, so that a small change of a large figure looks small.
	var b strings.Builder
	for i, v := range values {
		// The newest value is always at the right end: a console that has just started draws a
		// short line rather than a stretched one.
		x := sparkWidth - float64(len(values)-1-i)*sparkWidth/(steps-1)
		// Two units are left free above and below, so that the stroke is not cut off. y grows
		// downwards.
		y := sparkHeight - 2.0
		// All zeros draw a line at the bottom.
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
