package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"

	"github.com/eventbus-go/eventbus/internal/letter"
	"github.com/eventbus-go/eventbus/internal/redrive"
	"github.com/eventbus-go/eventbus/internal/scan"
	"github.com/eventbus-go/eventbus/transport"
)

// newDLQStatsCommand returns the command that an operator starts with: a thousand
// letters usually have a handful of causes.
func newDLQStatsCommand(a *app) *cobra.Command {
	var f letterFilter
	c := &cobra.Command{
		Use:   "stats TOPIC",
		Short: "Count the letters of a dead-letter topic by their cause",
		Long: `Count the letters that wait by their cause: a fingerprint of the reason, the type of
the event, and the text of the error without numbers, identifiers and quoted values.
--state chooses other letters than those that wait.`,
		Args: cobra.ExactArgs(1), ValidArgsFunction: once(a.deadTopics),
		RunE: a.action(func(ctx context.Context, args []string) error { return a.deadStats(ctx, args[0], &f) }),
	}
	f.flags(c)
	f.groupFlag(a, c)
	f.stateFlag(a, c)
	return c
}

// cause is a cause as JSON: the letters that most likely failed for the same reason.
type cause struct {
	// Cause is a fingerprint of reason, text and type.
	Cause   string `json:"cause"`
	Reason  string `json:"reason"`
	Gist    string `json:"gist"`
	Type    string `json:"type"`
	Letters int64  `json:"letters"`
	// Keys is exact up to 255. Beyond that it is an estimate, and AboutKeys is set.
	Keys      int64 `json:"keys"`
	AboutKeys bool  `json:"aboutKeys,omitempty"`
	// First and Last are the earliest and the latest last failure among the letters.
	First instant `json:"first"`
	Last  instant `json:"last"`
}

// eachLetter calls see with the letters that f chooses. By default these are the open
// ones, and reading begins at the first of them: millions of letters may precede it.
func (a *app) eachLetter(ctx context.Context, topic string, f *letterFilter, see redrive.See) error {
	// The command line is checked before the cluster is asked.
	if err := f.parse(); err != nil {
		return err
	}
	b, err := a.box(ctx, topic)
	if err != nil {
		return err
	}
	if err := f.plain(ctx, a, topic); err != nil {
		return err
	}
	from := b.All()
	// An explicit --state may choose decided letters, which may be anywhere in the log.
	if len(f.States) == 0 {
		f.States = []redrive.State{redrive.Open}
		from = b.Undecided()
	}
	return b.Each(ctx, from, func(l *letter.Letter, s redrive.State, foreign error) error {
		// The filter also sees records that are not dead letters: they have a place and a state.
		if !f.Takes(l, s, foreign) {
			return nil
		}
		return see(l, s, foreign)
	})
}

// deadStats prints the causes, the most frequent first.
func (a *app) deadStats(ctx context.Context, topic string, f *letterFilter) error {
	if err := f.parse(); err != nil {
		return err
	}
	b, err := a.box(ctx, topic)
	if err != nil {
		return err
	}
	if err := f.plain(ctx, a, topic); err != nil {
		return err
	}
	// 0 means the largest number of causes, which bounds memory however many letters there
	// are.
	found, err := b.Causes(ctx, f.Filter, 0)
	if err != nil {
		return err
	}
	if found.Letters == 0 {
		return a.none(topic)
	}
	var all []cause
	var rows []table.Row
	for _, c := range found.List {
		all = append(all, cause{
			Cause: c.Fingerprint, Reason: c.Reason, Gist: c.Gist, Type: c.Type, Letters: c.Letters,
			Keys: c.Keys, AboutKeys: c.AboutKeys, First: instant{c.First}, Last: instant{c.Last},
		})
		// Keys are counted exactly up to a number, and estimated beyond it.
		about := ""
		if c.AboutKeys {
			about = "~"
		}
		rows = append(rows, table.Row{
			c.Fingerprint, c.Letters, fmt.Sprintf("%s%d", about, c.Keys), cmp.Or(c.Type, "(none)"), c.Reason,
			// Made visible before it is cut, so that no escape is cut in two.
			stamp(c.First), stamp(c.Last), text.Snip(string(visible(c.Gist)), 100, "…"),
		})
	}
	if found.Others > 0 {
		// On stderr, so that stdout is pure JSON.
		a.note("%s more, of too many causes to tell apart: choose by --type, --reason or --since.", counted(found.Others, "letter"))
	}
	return a.show(all, table.Row{"cause", "letters", "keys", "type", "reason", "first", "last", "error"}, rows)
}

// stamp formats a time in this machine's zone, to the second and without the year. The
// zero time is empty.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	// Operators compare with their own clock. JSON has the full time, in UTC.
	return t.Local().Format("01-02 15:04:05")
}

// newDLQShowCommand returns the command that shows letters in full.
func newDLQShowCommand(a *app) *cobra.Command {
	var f letterFilter
	var limit int
	var registry registryFlags
	c := &cobra.Command{
		Use:   "show TOPIC[/PARTITION@OFFSET]",
		Short: "Show dead letters: the event, how it failed, and the stack",
		Args:  cobra.ExactArgs(1), ValidArgsFunction: once(a.deadTopics),
		RunE: a.action(func(ctx context.Context, args []string) error {
			return a.showDead(ctx, args[0], &f, limit, &registry)
		}),
	}
	f.flags(c)
	f.groupFlag(a, c)
	f.stateFlag(a, c)
	// Few by default: a letter with its stack fills a screen.
	c.Flags().IntVar(&limit, "limit", 10, "show at most so many")
	registry.flags(c)
	return c
}

// letterLine is a dead letter as JSON: the record with its event, and how it
// failed.
type letterLine struct {
	*line
	// State is open, replayed, skipped or quarantined, or "replayed or skipped" if it is not
	// known which. Reason is why the service gave up the event, such as exhausted.
	State  string `json:"state"`
	Reason string `json:"reason"`
	// Error is the text of the handler's last error, shortened by the service.
	Error string `json:"error,omitempty"`
	// Cause is the fingerprint by which stats counts, and which --cause accepts.
	Cause string `json:"cause"`
	// Group is the consumer group that failed to handle the event.
	Group string `json:"group"`
	// Attempts counts calls of the handler. Redeliveries is how often the event had been
	// redelivered before.
	Attempts int `json:"attempts"`
	// Source is the record that the group read, TOPIC/PARTITION@OFFSET; after a replay it is
	// in the retry topic. Origin is the first record, in the event's own topic.
	Source       string `json:"source"`
	Redeliveries int    `json:"redeliveries"`
	Origin       string `json:"origin"`
	// The times of the first and the last failed attempt, by the service's clock.
	FirstFailure instant `json:"firstFailure"`
	LastFailure  instant `json:"lastFailure"`
	// Stack is the handler's stack if it panicked, shortened by the service.
	Stack string `json:"stack,omitempty"`
	// Foreign says why the record is not a dead letter; the fields above are
	// then empty.
	Foreign string `json:"foreign,omitempty"`
}

// showDead prints the letter that what names, or up to limit of those that f
// chooses. If a registry is configured, it decodes data by its schema.
func (a *app) showDead(ctx context.Context, what string, f *letterFilter, limit int, registry *registryFlags) error {
	// The filter is not used for a single letter, which is chosen by its place.
	d, err := parseDead(what)
	if err != nil {
		return err
	}
	reader, err := registry.reader(a)
	if err != nil {
		return err
	}
	document, err := f.catalog.document(ctx, a)
	if err != nil {
		return err
	}
	shown := 0
	// The letter after the last one is read but not printed: it only shows that there are
	// more.
	see := func(l *letter.Letter, s redrive.State, foreign error) error {
		// An empty line between two letters; JSON needs none.
		if shown > 0 && !a.json() {
			_ = a.say("")
		}
		// A limit of 0 prints none, and says that there are some.
		if shown++; shown > limit {
			return scan.ErrEnough
		}
		e := look(l.Record, document)
		e.read(ctx, reader)
		e.mask(document)
		return a.printLetter(e, l, s, foreign)
	}
	if d.one {
		err = a.oneLetter(ctx, d, see)
	} else {
		err = a.eachLetter(ctx, d.topic, f, see)
	}
	switch {
	case err != nil:
		return err
	case shown > limit:
		a.note("There are more: raise --limit to see them.")
	// Each letter is one JSON document, so no letters are no output.
	case shown == 0 && !a.json():
		return a.none(d.topic)
	}
	return nil
}

// oneLetter calls see with the letter at one place. It returns an error if the log does
// not have that offset, and does nothing if no record is there: it may have been
// compacted away, or be a transaction's marker.
func (a *app) oneLetter(ctx context.Context, d dead, see redrive.See) error {
	b, err := a.box(ctx, d.topic)
	if err != nil {
		return err
	}
	// A partition that does not exist has an empty range, and is refused too.
	if first, end := b.First[d.at()], b.End[d.at()]; d.offset < first || d.offset >= end {
		return fmt.Errorf("there is no letter at %s@%d: the log has offsets from %d up to %d", d.at(), d.offset, first, end)
	}
	return b.Each(ctx, map[transport.Partition]int64{d.at(): d.offset}, func(l *letter.Letter, s redrive.State, foreign error) error {
		if l.Record.Offset != d.offset {
			// No record has this offset: reading went on to the next one.
			return scan.ErrEnough
		}
		if err := see(l, s, foreign); err != nil {
			return err
		}
		return scan.ErrEnough
	})
}

// printLetter prints a letter. It leaves the headers of a dead letter out of the event:
// their content follows in words.
func (a *app) printLetter(e *seen, l *letter.Letter, s redrive.State, foreign error) error {
	// Cloned, since the letter refers to the same headers.
	e.event.Headers = slices.DeleteFunc(slices.Clone(e.event.Headers), func(h transport.Header) bool { return strings.HasPrefix(h.Key, letter.Prefix) })
	cause, _, _ := redrive.CauseOf(l, foreign)
	if a.json() {
		out := letterLine{
			line: e.line(), State: s.String(), Reason: l.Reason, Error: l.Error, Cause: cause, Group: l.Group, Attempts: l.Attempts,
			Source: fmt.Sprintf("%s@%d", l.Source, l.SourceOffset), Redeliveries: l.Redeliveries, Origin: fmt.Sprintf("%s@%d", l.Origin.Partition, l.Origin.Offset),
			FirstFailure: instant{l.FirstFailure}, LastFailure: instant{l.LastFailure}, Stack: l.Stack,
		}
		if foreign != nil {
			out.Foreign = foreign.Error()
		}
		return a.printJSON(out)
	}
	if err := a.printEvent(e, true); err != nil {
		return err
	}
	// The failure is printed after the event that it is about.
	rows := [][2]any{{"state", s}}
	if foreign != nil {
		rows = append(rows, [2]any{"foreign", foreign}, [2]any{"cause", cause})
	} else {
		rows = append(rows,
			[2]any{"reason", l.Reason}, [2]any{"error", a.paint(l.Error, text.FgRed)}, [2]any{"cause", cause},
			[2]any{"group", l.Group}, [2]any{"read from", fmt.Sprintf("%s@%d", l.Source, l.SourceOffset)},
			[2]any{"attempts", fmt.Sprintf("%d, from %s to %s", l.Attempts, stamp(l.FirstFailure), stamp(l.LastFailure))})
		if l.Redeliveries > 0 {
			rows = append(rows, [2]any{"redeliveries", fmt.Sprintf("%d, first read from %s@%d", l.Redeliveries, l.Origin.Partition, l.Origin.Offset)})
		}
	}
	// Values may be errors or states; say makes all of them visible.
	for _, r := range rows {
		if err := a.say("  %s: %s", a.paint(fmt.Sprint(r[0]), text.Bold), r[1]); err != nil {
			return err
		}
	}
	if l.Stack != "" {
		return a.say("  %s:\n    %s", a.paint("stack", text.Bold), visibleLines(strings.TrimSpace(l.Stack), "    "))
	}
	return nil
}
