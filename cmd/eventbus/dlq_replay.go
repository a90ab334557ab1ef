package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/eventbus-go/eventbus/internal/naming"
	"github.com/eventbus-go/eventbus/internal/redrive"
)

// orderFlags are the flags of the commands that give an order about dead letters.
type orderFlags struct {
	who, why string
	takeOver bool
}

// flags adds all of them to a command. Resuming a job takes no --why, since the job has one.
func (o *orderFlags) flags(c *cobra.Command) {
	c.Flags().StringVar(&o.why, "why", "", "the `reason`, which is kept with the job")
	c.Flags().StringVar(&o.who, "who", "", "`name` of the person who gives the order (default user@host)")
	o.takeOverFlag(c)
}

// takeOverFlag adds only --take-over.
func (o *orderFlags) takeOverFlag(c *cobra.Command) {
	c.Flags().BoolVar(&o.takeOver, "take-over", false, "stop a job of this topic that another process runs")
}

// order fills in who gives an order, and why.
func (o *orderFlags) order(order redrive.Order) redrive.Order {
	order.Who, order.Why = o.who, o.why
	// Not the flag's default: the help would show its reader's name.
	if order.Who == "" {
		order.Who = operator()
	}
	return order
}

// newDLQReplayCommand returns eventbus dlq replay. Package redrive does the work.
func newDLQReplayCommand(a *app) *cobra.Command {
	var f letterFilter
	var flags orderFlags
	var order redrive.Order
	c := &cobra.Command{
		Use:   "replay TOPIC",
		Short: "Bring open letters back to the group that failed, and to it alone",
		Long: `Bring open letters back through the retry topic of their group, in order per
key. One transaction brings letters back and records that, so an interrupted replay
brings no event back twice and omits none once it is resumed: by eventbus dlq resume,
by a console, or by a service that watches. If another process is changing letters of
the topic, the error names it, and --take-over stops it. Events that already came back
--max-redeliveries times go to quarantine. Letters name a retry topic that was chosen
by RetryTopic. The question shows it; with --yes, --through must name it too.`,
		Example: `  eventbus dlq replay prod.sales.public.customers.v1.mailer-prod.dlq --dry-run
  eventbus dlq replay prod.sales.public.customers.v1.mailer-prod.dlq --cause 1c9a02b7 --rate 50 --why "mail server is back"`,
		Args: cobra.ExactArgs(1), ValidArgsFunction: once(a.deadTopics),
		RunE: a.action(func(ctx context.Context, args []string) error {
			if err := f.parse(); err != nil {
				return err
			}
			// redrive checks the order too, but its errors don't name the flags.
			if order.Rate < 0 || order.MaxRedeliveries < 1 {
				return misuse("--rate must be 0 or more, and --max-redeliveries 1 or more")
			}
			if err := f.plain(ctx, a, args[0]); err != nil {
				return err
			}
			order.Topic, order.Filter = args[0], f.Filter
			return a.replay(ctx, flags.order(order), &flags)
		}),
	}
	f.flags(c)
	f.groupFlag(a, c)
	flags.flags(c)
	c.Flags().StringArrayVar(&order.Through, "through", nil, "with --yes: a retry `topic` that letters name and may come back through; may be repeated")
	c.Flags().Float64Var(&order.Rate, "rate", 0, "at most so many events per second; 0: no limit")
	c.Flags().IntVar(&order.MaxRedeliveries, "max-redeliveries", redrive.DefaultMaxRedeliveries, "events that came back this many times go to quarantine")
	return c
}

// replay counts the letters by a dry run, asks whether to bring them back, and does so.
func (a *app) replay(ctx context.Context, order redrive.Order, flags *orderFlags) error {
	agreed := append(order.Through, naming.RetryOf(order.Topic))
	plan, err := a.plan(ctx, order)
	if err != nil {
		return err
	}
	would, through := plan.Tally, strings.Join(plan.Through, ", ")
	order.Through = plan.Through
	if len(plan.Alone) > 0 {
		a.note("Letters that name %s are left alone: the topic does not exist, or has too few partitions.", strings.Join(plan.Alone, ", "))
	}
	// The whole tally: records that are left alone are worth printing too.
	if would == (redrive.Tally{}) {
		return a.none(order.Topic)
	}
	if a.dryRun {
		if through != "" {
			a.note("They would come back through %s.", through)
		}
		return a.printTally(would, "would be ")
	}
	// There is nothing to ask if all of them are left alone.
	if would.Sum() == 0 {
		return a.printTally(would, "")
	}
	// Anyone who writes to the dead-letter topic can name a topic, and with --yes nobody
	// reads the question.
	if others := slices.DeleteFunc(slices.Clone(plan.Through), func(name string) bool { return slices.Contains(agreed, name) }); a.yes && len(others) > 0 {
		return misuse("letters name %s to come back through: if these are retry topics of their groups, add --through %s", strings.Join(others, ", "), strings.Join(others, " --through "))
	}
	// Handlers run again for each of these events, so the question states their number and
	// the topic.
	if would.Replayed > 0 {
		err = a.confirm(ctx, "Bring %s back through %s, and put %d into quarantine", counted(would.Replayed, "event"), through, would.Quarantined)
	} else {
		err = a.confirm(ctx, "Put %s into quarantine", counted(would.Quarantined, "event"))
	}
	if err != nil {
		return err
	}
	order.Expected, order.Until = would.Sum(), plan.Until
	return a.give(ctx, order, flags)
}

// plan returns what an order would do.
func (a *app) plan(ctx context.Context, order redrive.Order) (redrive.Preview, error) {
	// First, since its error says what to do if the topic does not exist.
	if _, err := a.box(ctx, order.Topic); err != nil {
		return redrive.Preview{}, err
	}
	return a.dead.Plan(ctx, order, nil)
}

// give gives an order, runs its job in this process until it ends, and prints what it did.
func (a *app) give(ctx context.Context, order redrive.Order, flags *orderFlags) error {
	return a.runJob(order.Expected, flags, func(how redrive.Run) (redrive.Job, error) {
		return a.dead.Start(ctx, order, how)
	})
}

// runJob runs a job with a progress bar. It prints the tally even if the job failed,
// since what it counts is committed.
func (a *app) runJob(expected int64, flags *orderFlags, run func(redrive.Run) (redrive.Job, error)) error {
	bar := a.bar(expected)
	// Errors of the bar do not stop a job.
	j, err := run(redrive.Run{TakeOver: flags.takeOver, Who: flags.who, Progress: func(j redrive.Job) { _ = bar.Set64(j.Done.Sum()) }})
	_ = bar.Exit()
	// Without an ID no job was stored, so there is none to report or resume.
	if j.ID == "" {
		return a.told(err)
	}
	printed := a.printTally(j.Done, "")
	switch {
	case errors.Is(err, redrive.ErrTakenOver):
		err = fmt.Errorf("job %s ended here: %w", j.ID, err)
	case err != nil:
		err = &leftError{j.ID, err}
	}
	return errors.Join(err, printed)
}

// leftError is the error of a job that is stored but not done.
type leftError struct {
	job   string
	cause error
}

// remedy says how to continue the job.
func (e *leftError) remedy() string {
	return fmt.Sprintf("job %s stopped: eventbus dlq resume %s continues it, and no event is lost or brought back twice", e.job, e.job)
}

// Error implements error.
func (e *leftError) Error() string { return e.remedy() + ": " + e.cause.Error() }

// Unwrap returns why the job ended.
func (e *leftError) Unwrap() error { return e.cause }

// told adds what to do to the error of a dead-letter topic in which another job is being run.
func (a *app) told(err error) error {
	// The error is the console's too, so it names no commands.
	if held, ok := errors.AsType[*redrive.HeldError](err); ok {
		return fmt.Errorf("%w: eventbus dlq stop %s, or --take-over", err, held.Job.ID)
	}
	return err
}

// bar returns a progress bar on stderr, which is silent unless stderr is a terminal.
func (a *app) bar(total int64) *progressbar.ProgressBar {
	// A pipeline's log would get a line for every update.
	if !terminal(a.stderr) {
		return progressbar.DefaultSilent(total)
	}
	return progressbar.NewOptions64(total, progressbar.OptionSetWriter(a.stderr), progressbar.OptionSetDescription("letters"),
		progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionClearOnFinish())
}

// printTally prints how many letters were replayed, skipped and so on. would precedes
// each verb in a dry run.
func (a *app) printTally(t redrive.Tally, would string) error {
	if a.json() {
		return a.printJSON(t)
	}
	for _, part := range []struct {
		n    int64
		what string
	}{
		{t.Replayed, "replayed"}, {t.Skipped, "skipped"}, {t.Quarantined, "put into quarantine"}, {t.Released, "released"},
		{t.Foreign, "left alone: not dead letters, without their event, or with no retry topic that can be used"},
	} {
		if part.n > 0 {
			if err := a.say("%s %s%s", counted(part.n, "letter"), would, part.what); err != nil {
				return err
			}
		}
	}
	return nil
}
