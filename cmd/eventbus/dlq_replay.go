package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/eventbus-go/eventbus/internal/letter"
	"github.com/eventbus-go/eventbus/internal/redrive"
	"github.com/eventbus-go/eventbus/transport"
)

func newDLQReplayCommand(a *app) *cobra.Command {
	var f letterFilter
	var how redrive.Walk
	c := &cobra.Command{
		Use:   "replay TOPIC",
		Short: "Bring open letters back to the group that failed, and to it alone",
		Long: `Bring open letters back through the retry topic of their group, in each key's
order. What was brought back is noted in the transaction that does it: a replay
that is interrupted goes on where it stopped when it is run again, and brings no
event twice. Events that came back --max-redeliveries times go to quarantine.`,
		Example: `  eventbus dlq replay prod.sales.public.customers.v1.mailer-prod.dlq --dry-run
  eventbus dlq replay prod.sales.public.customers.v1.mailer-prod.dlq --fingerprint 1c9a02b7 --rate 50`,
		Args: cobra.ExactArgs(1), ValidArgsFunction: once(a.deadTopics),
		RunE: a.action(func(ctx context.Context, args []string) error {
			if err := f.parse(); err != nil {
				return err
			}
			how.Filter = f.Filter
			return a.replay(ctx, args[0], how)
		}),
	}
	f.flags(c)
	c.Flags().Float64Var(&how.Rate, "rate", 0, "at most so many events per second; 0: as fast as it goes")
	c.Flags().IntVar(&how.MaxRedeliveries, "max-redeliveries", redrive.DefaultMaxRedeliveries, "events that came back so often go to quarantine")
	return c
}

// replay counts the letters, asks, and brings them back. The first count is a
// dry run, so that the question says how many events come back.
func (a *app) replay(ctx context.Context, topic string, how redrive.Walk) error {
	if how.Rate < 0 || how.MaxRedeliveries < 1 {
		return misuse("--rate is 0 or more, --max-redeliveries 1 or more")
	}
	b, err := a.box(ctx, topic)
	if err != nil {
		return err
	}
	dry := how
	dry.DryRun = true
	would, err := b.Run(ctx, dry)
	if err != nil {
		return err
	}
	if would == (redrive.Tally{}) {
		return a.none(topic)
	}
	if a.dryRun {
		return a.printTally(would, "would be ")
	}
	if err := a.confirm("Bring %s back through %s, and put %d into quarantine", counted(would.Replayed, "event"), letter.RetryTopic(topic), would.Quarantined); err != nil {
		return err
	}
	bar := a.bar(would.Replayed + would.Quarantined)
	how.Progress = func(t redrive.Tally) { _ = bar.Set64(t.Replayed + t.Quarantined) }
	// Opened again: other letters may have been decided about while the
	// question stood.
	if b, err = a.box(ctx, topic); err != nil {
		return err
	}
	done, err := b.Run(ctx, how)
	_ = bar.Exit()
	printed := a.printTally(done, "")
	// The tally is printed even if the replay failed: what it counts is
	// committed.
	if errors.Is(err, transport.ErrFenced) {
		err = fmt.Errorf("another replay of %s took over: %w", topic, err)
	} else if err != nil {
		err = fmt.Errorf("the replay stopped; run it again to go on, no event is lost or brought back twice: %w", err)
	}
	return errors.Join(err, printed)
}

// bar returns a progress bar on stderr, which shows nothing unless stderr is a
// terminal.
func (a *app) bar(total int64) *progressbar.ProgressBar {
	if !terminal(a.stderr) {
		return progressbar.DefaultSilent(total)
	}
	return progressbar.NewOptions64(total, progressbar.OptionSetWriter(a.stderr), progressbar.OptionSetDescription("replaying"),
		progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionClearOnFinish())
}

// printTally prints how many letters were replayed, skipped and so on; would is
// put before each verb if that is only a rehearsal.
func (a *app) printTally(t redrive.Tally, would string) error {
	if a.json() {
		return a.printJSON(t)
	}
	for _, part := range []struct {
		n    int64
		what string
	}{
		{t.Replayed, "replayed"}, {t.Skipped, "skipped"}, {t.Quarantined, "put into quarantine"}, {t.Released, "released"},
		{t.Foreign, "left alone: not of an event bus"},
	} {
		if part.n > 0 {
			if err := a.say("%s %s%s", counted(part.n, "letter"), would, part.what); err != nil {
				return err
			}
		}
	}
	return nil
}
