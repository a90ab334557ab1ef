package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/eventbus-go/eventbus/internal/redrive"
	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/transport"
)

func newDLQQuarantineCommand(a *app) *cobra.Command {
	var f letterFilter
	var release bool
	c := &cobra.Command{
		Use:   "quarantine TOPIC[/PARTITION@OFFSET]",
		Short: "Keep letters out of replays until they are released",
		Long: `Keep one letter, or the open ones that the flags choose, out of replays. --release
opens those in quarantine again. dlq show --state quarantined lists them.`,
		Args: cobra.ExactArgs(1), ValidArgsFunction: once(a.deadTopics),
		RunE: a.action(func(ctx context.Context, args []string) error {
			to := redrive.Quarantined
			if release {
				to = redrive.Open
			}
			return a.decide(ctx, args[0], &f, to)
		}),
	}
	f.flags(c)
	c.Flags().BoolVar(&release, "release", false, "open letters in quarantine again")
	return c
}

// verbs names what happens to letters that are put into a state, for the
// question.
var verbs = map[redrive.State]string{
	redrive.Open: "Release", redrive.Skipped: "Skip for good", redrive.Quarantined: "Put into quarantine",
}

// decide puts the letter that what names, or the letters that f chooses, into a
// state. It counts them first, without changing anything, so that the question
// says how many there are.
func (a *app) decide(ctx context.Context, what string, f *letterFilter, to redrive.State) error {
	d, err := parseDead(what)
	if err != nil {
		return err
	}
	if err := f.parse(); err != nil {
		return err
	}
	// Only open letters are skipped or put into quarantine. Those in quarantine
	// were put there on purpose, and have to be released first.
	f.States = []redrive.State{redrive.Open}
	if to == redrive.Open {
		f.States = []redrive.State{redrive.Quarantined}
	}
	set := func(dryRun bool) (redrive.Tally, error) {
		b, err := a.box(ctx, d.topic)
		if err != nil {
			return redrive.Tally{}, err
		}
		if d.one {
			return b.SetOne(ctx, d.at(), d.offset, to, dryRun)
		}
		return b.Set(ctx, f.Filter, to, dryRun)
	}
	would, err := set(true)
	if err != nil {
		return err
	}
	n := would.Skipped + would.Quarantined + would.Released
	switch {
	case n == 0:
		return a.none(d.topic)
	case a.dryRun:
		return a.printTally(would, "would be ")
	}
	if err := a.confirm("%s %s of %s", verbs[to], counted(n, "letter"), d.topic); err != nil {
		return err
	}
	done, err := set(false)
	if err != nil {
		return err
	}
	return a.printTally(done, "")
}

func newDLQPurgeCommand(a *app) *cobra.Command {
	var open bool
	c := &cobra.Command{
		Use:   "purge TOPIC",
		Short: "Delete letters that are done with from the log, for good",
		Long: `Delete from each partition the letters before the first one that is open or in
quarantine. With --including-open all letters are deleted, whatever they wait for.`,
		Args: cobra.ExactArgs(1), ValidArgsFunction: once(a.deadTopics),
		RunE: a.action(func(ctx context.Context, args []string) error { return a.purge(ctx, args[0], open) }),
	}
	c.Flags().BoolVar(&open, "including-open", false, "also letters that are open or in quarantine: they are lost")
	return c
}

// purge deletes letters from the log. The log can only be cut from its front,
// so a letter that is done stays for as long as an open one lies before it in
// its partition. With open, everything up to the end goes.
func (a *app) purge(ctx context.Context, topic string, open bool) error {
	b, err := a.box(ctx, topic)
	if err != nil {
		return err
	}
	before := make(map[transport.Partition]int64)
	n, lost, behind := int64(0), int64(0), int64(0)
	for p, end := range b.End {
		// Base may lie beyond the end of the log: a ledger of a topic that lost
		// records in an unclean election, say.
		to := min(b.Ledger(p).Base, end)
		behind += end - to - b.Ledger(p).Count(redrive.Open, end) - b.Ledger(p).Count(redrive.Quarantined, end)
		if open {
			lost += end - to
			to = end
		}
		if to > b.First[p] {
			before[p] = to
			n += to - b.First[p]
		}
	}
	what := fmt.Sprintf("%s of %s", counted(n, "letter"), topic)
	if lost > 0 {
		what += fmt.Sprintf(", %d of which nobody has decided about", lost)
	}
	if behind > 0 && !open {
		a.note("%s done with too, and kept behind letters that are open or in quarantine: the log is cut from its front.", counted(behind, "letter"))
	}
	switch {
	case n == 0 && !a.json():
		return a.say("%s has no letters that are done with.", topic)
	case n > 0 && !a.dryRun:
		if err := a.confirm("Delete for good %s", what); err != nil {
			return err
		}
		if err := kafka.NewAdmin(a.cluster).DeleteRecords(ctx, before); err != nil {
			return err
		}
	}
	if a.json() {
		return a.printJSON(map[string]int64{"deleted": n, "undecided": lost})
	}
	if a.dryRun {
		return a.say("%s would be deleted.", what)
	}
	return a.say("%s deleted.", what)
}
