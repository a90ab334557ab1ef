package main

import (
	"fmt"
	"html"
	"io"
	"math"
	"slices"
	"strings"
)

// panel is one part of the chart: the bars of one metric on one workload.
// title and unit are for people, and escaped when they are drawn.
type panel struct {
	workload, title, unit string
	metric                metric
}

// panels lists the panels of the chart, from top to bottom.
var panels = []panel{
	{"async", "Publish without waiting", "events/s", rate},
	{"consume", "Consume and decode", "events/s", rate},
	{"sync-512", "Publish and wait, 512 goroutines", "events/s", rate},
	{"sync-1", "Publish and wait, 1 goroutine, p50", "µs (less is better)", p50},
	{"async", "Publish: client CPU per event", "µs (less is better)", cpu},
	{"consume", "Consume: client CPU per event", "µs (less is better)", cpu},
}

// Sizes in units of the chart.
const (
	chartWidth  = 860
	labelWidth  = 170
	barHeight   = 16
	barPitch    = 22
	panelHead   = 40
	panelGap    = 14
	valueMargin = 90
)

// chartStyle works on light and dark pages.
const chartStyle = `
text { font: 12px system-ui, sans-serif; fill: #24292f }
.title { font-size: 14px; font-weight: 600 }
.unit { fill: #57606a }
.peer { fill: #9aa7b4 }
.ours { fill: #0969da }
.tool { fill: none; stroke: #9aa7b4; stroke-dasharray: 3 2 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .unit { fill: #9198a1 }
  .peer { fill: #59636e }
  .ours { fill: #4493f8 }
  .tool { stroke: #59636e }
}
`

// writeChart writes the panels for which there are figures, as an SVG.
func writeChart(out io.Writer, l *measurementLog, rows []row) error {
	// The total height is known only once the last panel is drawn.
	var body strings.Builder
	y := panelGap
	for _, p := range panels {
		y = p.draw(&body, l, rows, y)
	}
	if slices.ContainsFunc(rows, func(r row) bool { return isTool(r.Peer) }) {
		fmt.Fprintf(&body, `<text class="unit" x="0" y="%d">Dashed: %s</text>`+"\n", y+12, html.EscapeString(toolLegend))
		y += barPitch
	}
	_, err := fmt.Fprintf(out, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" aria-label="eventbus beside other Kafka clients">
<style>%s</style>
%s</svg>
`, chartWidth, y, chartStyle, body.String())
	return err
}

// draw writes a panel at y and returns where the next one begins.
func (p panel) draw(out io.Writer, l *measurementLog, rows []row, y int) int {
	// Bars are scaled to the longest one of their panel.
	type bar struct {
		name  string
		value float64
	}
	// rows determines the peers and their order; the figures come from the log.
	var bars []bar
	most := 0.0
	// Peers without a figure are left out; a panel without figures is left out as a
	// whole.
	for _, r := range rows {
		v := l.estimate(p.workload, r.Peer, p.metric).Median
		if r.Workload == p.workload && v > 0 && !math.IsNaN(v) {
			bars, most = append(bars, bar{r.Peer, v}), max(most, v)
		}
	}
	// y stays the same, so the next panel takes the place.
	if len(bars) == 0 {
		return y
	}
	fmt.Fprintf(out, `<text class="title" x="0" y="%d">%s <tspan class="unit">%s</tspan></text>`+"\n", y+20, html.EscapeString(p.title), html.EscapeString(p.unit))
	y += panelHead
	for _, b := range bars {
		// The variants of this library have its colour.
		class := "peer"
		if strings.HasPrefix(b.name, "eventbus") {
			class = "ours"
		}
		if isTool(b.name) {
			class = "tool"
		}
		// The longest bar leaves room for its name on the left and its figure on the right.
		width := b.value / most * (chartWidth - labelWidth - valueMargin)
		fmt.Fprintf(out, `<text x="%d" y="%d" text-anchor="end">%s</text><rect class="%s" x="%d" y="%d" width="%.1f" height="%d" rx="2"/><text x="%.1f" y="%d">%s</text>`+"\n",
			labelWidth-8, y+barHeight-4, html.EscapeString(b.name), class, labelWidth, y, width, barHeight, labelWidth+width+6, y+barHeight-4, figure(b.value))
		y += barPitch
	}
	return y + panelGap
}
