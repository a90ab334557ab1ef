package console

import (
	"fmt"
	"strings"
)

// spark is a picture of the last minutes of a figure, and what it shows in words for
// those who don't see it.
// The zero value is no picture: the page draws nothing for it.
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
