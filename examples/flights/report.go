package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/eventbus-go/eventbus"
)

// report is the result of a run. Its JSON is what --json prints, and the fault
// campaign reads.
type report struct {
	Published    int `json:"published"`
	Handled      int `json:"handled"`
	Cancelled    int `json:"cancelled"`
	DeadLettered int `json:"dead_lettered"`
	Repeated     int `json:"repeated"`
	// Seconds is how long publishing and handling took together.
	Seconds  float64                   `json:"seconds"`
	Carriers map[string]*carrierTotals `json:"carriers"`

	// The rest is for the comparison and the table.
	poisoned   int
	disordered int
	// says has the totals of the source, events those that the board counted
	// from events.
	says   *tally
	events *tally
	health eventbus.Health
	topic  string
}

// report returns the result; letters is the number of dead letters.
func (d *demo) report(letters int) *report {
	// Handlers may still run where await has given up.
	d.board.mu.Lock()
	defer d.board.mu.Unlock()
	return &report{
		Published: int(d.airport.published.Load()), Handled: len(d.board.seen), Cancelled: d.board.tally.cancelled,
		DeadLettered: letters, Repeated: d.board.repeated, Carriers: d.board.tally.carriers,
		poisoned: int(d.airport.poisoned.Load()), disordered: d.board.disordered,
		says: d.says, events: d.board.tally, topic: d.poisoner.topic,
	}
}

// equal reports whether the events amount to exactly what the source has: every
// total, every flight published and handled, every malformed record a dead
// letter, nothing out of order. Repetitions don't count, since the bus promises
// to deliver at least once.
func (r *report) equal() bool {
	for _, carrier := range carriersOf(r.says, r.events) {
		if !sameTotals(r.says.of(carrier), r.events.of(carrier)) {
			return false
		}
	}
	total := r.says.total()
	return r.Published == total && r.Handled == total && r.Cancelled == r.says.cancelled &&
		r.DeadLettered == r.poisoned && r.disordered == 0
}

// sameTotals compares the number of known delays too, which has no column.
func sameTotals(a, b carrierTotals) bool { return a == b }

// printJSON writes the exported fields. Scripts read them, so their names stay.
func (r *report) printJSON(out io.Writer) error {
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(r)
}

// print writes the totals as a table, and the numbers of events below it.
func (r *report) print(out io.Writer) error {
	t := table.NewWriter()
	t.SetStyle(table.StyleRounded)
	// Equal cells that are neighbours become one: each total stands over its two
	// columns.
	t.AppendHeader(table.Row{"", "flights", "flights", "departed", "departed", "delay sum", "delay sum", "delay max", "delay max", ""},
		table.RowConfig{AutoMerge: true, AutoMergeAlign: text.AlignCenter})
	t.AppendHeader(table.Row{"carrier", "source", "events", "source", "events", "source", "events", "source", "events", ""})
	row := func(name string, says, events carrierTotals) table.Row {
		verdict := "equal"
		if !sameTotals(says, events) {
			verdict = "DIFFERS"
		}
		return table.Row{
			name, says.Flights, events.Flights, says.Departed, events.Departed,
			says.DelaySum, events.DelaySum, says.DelayMax, events.DelayMax, verdict,
		}
	}
	for _, carrier := range carriersOf(r.says, r.events) {
		t.AppendRow(row(carrier, r.says.of(carrier), r.events.of(carrier)))
	}
	t.AppendFooter(row("all", r.says.sum(), r.events.sum()))
	// The style alone would write them in capitals.
	t.Style().Format.Header, t.Style().Format.Footer = text.FormatDefault, text.FormatDefault

	health, err := json.MarshalIndent(r.health, "", "  ")
	if err != nil {
		return err
	}
	// A run that only continues a finished one takes next to no time.
	rate := float64(r.Handled) / max(r.Seconds, 0.001)
	_, err = fmt.Fprintf(out, `%s
topic          %s
published      %d events in %.1f s
handled        %d (%.0f a second), %d of them cancellations, %d handled twice, %d out of order
dead-lettered  %d, malformed records slipped in: %d
health         %s
`, t.Render(), r.topic, r.Published, r.Seconds, r.Handled, rate, r.Cancelled, r.Repeated, r.disordered, r.DeadLettered, r.poisoned, health)
	return err
}
