package console

import (
	"slices"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus"
)

// TestHistory: the figures of two members are added up, rates count only what was finished
// while a member was watched, and a partition that moves is not counted twice.
func TestHistory(t *testing.T) {
	h := history{groups: make(map[string]*record)}
	begin := time.Unix(1_000_000, 0)
	seen := func(lag, finished int64, partitions ...int32) *eventbus.Inspection {
		g := eventbus.GroupInspection{Name: "g", ParkedKeys: 2}
		for _, p := range partitions {
			g.Partitions = append(g.Partitions, eventbus.PartitionInspection{Topic: "t", Partition: p, Lag: lag, Watermark: finished, BehindMs: 1000 * lag})
		}
		return &eventbus.Inspection{Groups: []eventbus.GroupInspection{g}}
	}
	h.add(0, seen(10, 100, 0), begin)
	h.add(1, seen(5, 1000, 1), begin)
	h.add(0, seen(8, 150, 0), begin.Add(stepLength))
	h.add(1, seen(5, 1000, 1, 2), begin.Add(stepLength)) // partition 2 is new, with events that others finished
	f := h.of("g", begin.Add(stepLength))
	if !slices.Equal(f.Lag, []float64{15, 18}) || !slices.Equal(f.Rate, []float64{0, 10}) || !slices.Equal(f.Parked, []float64{4, 4}) || !slices.Equal(f.Behind, []float64{10, 8}) {
		t.Errorf("%+v", f)
	}
	if f := h.of("g", begin.Add(steps*stepLength+10*stepLength)); len(f.Lag) != 0 {
		t.Errorf("long after: %+v", f)
	}
	if f := h.of("another", begin); f.Lag != nil {
		t.Errorf("of nothing: %+v", f)
	}
}

func TestSpark(t *testing.T) {
	s := newSpark("lag", []float64{0, 10, 5}, func(v float64) string { return count(int64(v)) })
	if s.Points != "118.0,22.0 119.0,2.0 120.0,12.0" || s.Label != "lag of the last 10 min: between 0 and 10" {
		t.Errorf("%+v", s)
	}
	if s := newSpark("lag", []float64{1}, nil); s != (spark{}) {
		t.Errorf("of one value: %+v", s)
	}
}
