package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/eventbus-go/eventbus/internal/redrive"
)

// newDLQQuarantineCommand returns the command that keeps letters out of replays, and
// with --release opens them again.
func newDLQQuarantineCommand(a *app) *cobra.Command {
	var f letterFilter
	var flags orderFlags
	var release bool
	c := &cobra.Command{
		Use:   "quarantine TOPIC[/PARTITION@OFFSET]",
		Short: "Keep letters out of replays until they are released",
		Long: `Keep one letter, or the open ones that the flags choose, out of replays. --release
opens those in quarantine again. dlq show --state quarantined lists them.`,
		Args: cobra.ExactArgs(1), ValidArgsFunction: once(a.deadTopics),
		RunE: a.action(func(ctx context.Context, args []string) error {
			// One command for both directions, since letters are chosen in the same way.
			do := redrive.Quarantine
			if release {
				do = redrive.Release
			}
			return a.decide(ctx, args[0], &f, do, &flags)
		}),
	}
	f.flags(c)
	f.groupFlag(a, c)
	flags.flags(c)
	c.Flags().BoolVar(&release, "release", false, "open letters in quarantine again")
	return c
}

// verbs names the actions in the question.
var verbs = map[redrive.Action]string{
	redrive.Release: "Release", redrive.Skip: "Skip for good", redrive.Quarantine: "Put into quarantine",
}

// decide applies an action to the letter named by what, or to those that f chooses. It
// first counts them without changing anything, so that the question can say how many.
func (a *app) decide(ctx context.Context, what string, f *letterFilter, do redrive.Action, flags *orderFlags) error {
	d, err := parseDead(what)
	if err != nil {
		return err
	}
	if err := f.parse(); err != nil {
		return err
	}
	// Only what can't be undone needs a reason, and a dry run does nothing.
	if do == redrive.Skip && !a.dryRun {
		if err := flags.reason("a letter that is skipped never comes back"); err != nil {
			return err
		}
	}
	if d.one {
		if err := a.single(ctx, d, f, do); err != nil {
			return err
		}
	}
	if err := f.plain(ctx, a, d.topic); err != nil {
		return err
	}
	order := flags.order(redrive.Order{Topic: d.topic, Action: do, Filter: f.Filter})
	plan, err := a.plan(ctx, order)
	if err != nil {
		return err
	}
	would := plan.Tally
	n := would.Sum()
	switch {
	case n == 0:
		return a.none(d.topic)
	case a.dryRun:
		return a.printTally(would, "would be ")
	}
	// With --output json too: programs give --yes.
	if err := a.confirm(ctx, "%s %s of %s", verbs[do], counted(n, "letter"), d.topic); err != nil {
		return err
	}
	// Letters that died while the question was open are not part of the order.
	order.Expected, order.Until = n, plan.Until
	return a.give(ctx, order, flags)
}

// reason requires --why.
func (o *orderFlags) reason(because string) error {
	// Spaces are not a reason.
	if strings.TrimSpace(o.why) == "" {
		return misuse("--why is missing: %s, so say why", because)
	}
	return nil
}

// single makes the filter choose one letter. It returns an error if there is no such
// letter, or if it is decided for good.
func (a *app) single(ctx context.Context, d dead, f *letterFilter, do redrive.Action) error {
	b, err := a.box(ctx, d.topic)
	if err != nil {
		return err
	}
	// A mistyped place must not pass for an order that found nothing to do.
	p := d.at()
	if d.offset < b.First[p] || d.offset >= b.End[p] {
		return fmt.Errorf("there is no letter at %s@%d: the log has %d to %d", p, d.offset, b.First[p], b.End[p])
	}
	if s := b.State(p, d.offset); s.Is(redrive.Replayed) || s.Is(redrive.Skipped) {
		return fmt.Errorf("the letter at %s@%d is done with: it was replayed or skipped", p, d.offset)
	}
	f.Ranges = []redrive.Range{redrive.At(d.partition, d.offset)}
	if do == redrive.Skip {
		// A filter without states takes only open letters, but a letter in quarantine may be
		// skipped if it is named.
		f.States = []redrive.State{redrive.Open, redrive.Quarantined}
	}
	return nil
}

// newDLQPurgeCommand returns the only command that deletes letters. All others change
// the ledger and leave the log alone.
func newDLQPurgeCommand(a *app) *cobra.Command {
	var open bool
	var flags orderFlags
	c := &cobra.Command{
		Use:   "purge TOPIC",
		Short: "Delete letters that are done with from the log, for good",
		Long: `Delete from each partition the letters before the first one that is open or in
quarantine. With --including-open all letters are deleted, whatever they wait for.`,
		Args: cobra.ExactArgs(1), ValidArgsFunction: once(a.deadTopics),
		RunE: a.action(func(ctx context.Context, args []string) error { return a.purge(ctx, args[0], open, &flags) }),
	}
	flags.flags(c)
	c.Flags().BoolVar(&open, "including-open", false, "also letters that are open or in quarantine: they are lost")
	return c
}

// purge deletes letters from the log. A log can only be cut from its front, so a decided
// letter stays while an undecided one precedes it in its partition. With open, all
// letters are deleted.
func (a *app) purge(ctx context.Context, topic string, open bool, flags *orderFlags) error {
	b, err := a.box(ctx, topic)
	if err != nil {
		return err
	}
	// Counted by the log's offsets: no letter is read.
	would := b.Purgeable(open)
	what := fmt.Sprintf("%s of %s", counted(would.Letters, "letter"), topic)
	if would.Undecided > 0 {
		what += fmt.Sprintf(", %d of which nobody has decided about", would.Undecided)
	}
	// Said before the question, since the operator may expect these to be deleted too.
	if would.Behind > 0 {
		a.note("%s done with too, and kept behind letters that are open or in quarantine: the log is cut from its front.", counted(would.Behind, "letter"))
	}
	switch {
	case would.Letters == 0 && !a.json():
		return a.say("%s has no letters that are done with.", topic)
	// As for skipping, the reason is required before the question.
	case would.Letters > 0 && !a.dryRun:
		if err := flags.reason("what is deleted can't be brought back"); err != nil {
			return err
		}
		if err := a.confirm(ctx, "Delete for good %s", what); err != nil {
			return err
		}
		order := flags.order(redrive.Order{Topic: topic, Action: redrive.Purge, IncludingOpen: open, Expected: would.Letters, Until: b.Bounds()})
		j, err := a.dead.Start(ctx, order, redrive.Run{TakeOver: flags.takeOver, Who: flags.who})
		if err != nil {
			return a.told(err)
		}
		// What was deleted rather than what was planned: retention may have cut the log
		// meanwhile.
		would.Letters = j.Done.Deleted
	}
	if a.json() {
		return a.printJSON(map[string]int64{"deleted": would.Letters, "undecided": would.Undecided})
	}
	if a.dryRun {
		return a.say("%s would be deleted.", what)
	}
	return a.say("%s deleted.", what)
}
