package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/eventbus-go/eventbus/internal/redrive"
)

// newDLQJobsCommand returns the command that lists jobs. They outlive the program: they
// are kept in a topic, whichever process runs them.
func newDLQJobsCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "jobs [TOPIC]",
		Short: "List the orders about dead letters: who gave them and why, who runs them, and how far they are",
		Args:  cobra.MaximumNArgs(1), ValidArgsFunction: once(a.deadTopics),
		RunE: a.action(func(ctx context.Context, args []string) error {
			topic := ""
			if len(args) > 0 {
				topic = args[0]
			}
			return a.listJobs(ctx, topic)
		}),
	}
}

// jobLine is a job as JSON.
type jobLine struct {
	Job    string          `json:"job"`
	Topic  string          `json:"topic"`
	Action redrive.Action  `json:"action"`
	Filter *redrive.Filter `json:"filter,omitempty"` // keys in Base64
	Rate   float64         `json:"rate,omitempty"`
	Who    string          `json:"who"`
	Why    string          `json:"why,omitempty"`
	State  string          `json:"state"`
	// Holder has run the job since Since. Silent is true if it has given no sign of life
	// for the length of a lease.
	Holder   string        `json:"holder,omitempty"`
	Since    instant       `json:"since,omitzero"`
	Silent   bool          `json:"silent,omitempty"`
	Created  instant       `json:"created"`
	Ended    instant       `json:"ended,omitzero"`
	By       string        `json:"by,omitempty"`
	Reason   string        `json:"reason,omitempty"`
	Error    string        `json:"error,omitempty"`
	Done     redrive.Tally `json:"done"`
	Expected int64         `json:"expected,omitempty"`
}

// newJobLine returns the line of a job. It refers to j's filter, so j must not change
// until the line is printed.
func newJobLine(j *redrive.Job) jobLine {
	l := jobLine{
		Job: j.ID, Topic: j.Topic, Action: j.Action, Filter: &j.Filter, Rate: j.Rate, Who: j.Who, Why: j.Why, State: string(j.State),
		Created: instant{j.Created}, Ended: instant{j.Ended}, By: j.By, Reason: j.Reason, Error: j.Error, Done: j.Done, Expected: j.Expected,
	}
	// Once a job has ended, its holder no longer matters: By says who ended it.
	if j.State == redrive.Running {
		l.Holder, l.Since, l.Silent = j.Holder.Who, instant{j.Holder.Since}, !j.Live(time.Now())
	}
	return l
}

// progress returns how many letters a job has changed, and of how many if that is known.
func progress(j *redrive.Job) string {
	// Without the count of a dry run there is no total.
	if j.Expected > 0 {
		return fmt.Sprintf("%d of %d", j.Done.Sum(), j.Expected)
	}
	return fmt.Sprint(j.Done.Sum())
}

// circumstances describes the state of a job.
func circumstances(j *redrive.Job) string {
	switch {
	// A holder that died can't say so: its lease runs out instead.
	case j.State == redrive.Running && !j.Live(time.Now()):
		return fmt.Sprintf("%s is silent since %s: resume it", j.Holder.Who, stamp(j.Holder.Renewed))
	case j.State == redrive.Running:
		return fmt.Sprintf("%s, since %s", j.Holder.Who, stamp(j.Holder.Since))
	case j.State == redrive.Failed:
		return j.Error
	case j.State == redrive.Stopped && j.Reason != "":
		return j.By + ": " + j.Reason
	case j.State == redrive.Stopped:
		return j.By
	}
	return stamp(j.Ended)
}

// listJobs prints the jobs, the latest first. Jobs that can't be read do not hide the
// others.
func (a *app) listJobs(ctx context.Context, topic string) error {
	c, err := a.letters(ctx)
	if err != nil {
		return err
	}
	// Jobs and an error may come together.
	jobs, wrong := c.Jobs(ctx, topic)
	lines, rows := []jobLine{}, []table.Row{}
	for i := range jobs {
		j := &jobs[i]
		lines = append(lines, newJobLine(j))
		rows = append(rows, table.Row{j.ID, stamp(j.Created), j.Action, j.Topic, j.State, progress(j), circumstances(j), j.Who, j.Why})
	}
	return errors.Join(wrong, a.show(lines, table.Row{"job", "ordered", "action", "dead-letter topic", "state", "letters", "held or ended", "who", "why"}, rows))
}

// newDLQStopCommand returns the command that stops a job, wherever it runs. It does not
// ask: a stopped job loses no event and can be resumed.
func newDLQStopCommand(a *app) *cobra.Command {
	var flags orderFlags
	c := &cobra.Command{
		Use: "stop JOB", Short: "Stop a job, wherever it runs; it can be resumed",
		Args: cobra.ExactArgs(1), ValidArgsFunction: once(a.jobIDs),
		RunE: a.action(func(ctx context.Context, args []string) error {
			j, err := a.job(ctx, args[0])
			if err != nil {
				return err
			}
			if a.dryRun {
				return a.say("Job %s (%s, %s) would be stopped after %s letters.", j.ID, j.Action, j.State, progress(&j))
			}
			// The order itself is not used, only who gives it and why.
			order := flags.order(redrive.Order{})
			if j, err = a.dead.Stop(ctx, j.Topic, j.ID, order.Who, order.Why); err != nil {
				return err
			}
			return a.say("Job %s is stopped after %s letters.", j.ID, progress(&j))
		}),
	}
	c.Flags().StringVar(&flags.why, "why", "", "the `reason`, which is kept with the job")
	c.Flags().StringVar(&flags.who, "who", "", "`name` of the person that stops it (default user@host)")
	return c
}

// newDLQResumeCommand returns the command that resumes a job. It does not ask again: the
// question was answered when the order was given.
func newDLQResumeCommand(a *app) *cobra.Command {
	var flags orderFlags
	c := &cobra.Command{
		Use: "resume JOB", Short: "Go on with a job that was stopped, failed, or whose process is gone",
		Args: cobra.ExactArgs(1), ValidArgsFunction: once(a.jobIDs),
		RunE: a.action(func(ctx context.Context, args []string) error {
			j, err := a.job(ctx, args[0])
			if err != nil {
				return err
			}
			if a.dryRun {
				return a.say("Job %s (%s, %s) would go on after %s letters.", j.ID, j.Action, j.State, progress(&j))
			}
			return a.runJob(j.Expected, &flags, func(how redrive.Run) (redrive.Job, error) {
				return a.dead.Resume(ctx, j.Topic, j.ID, how)
			})
		}),
	}
	c.Flags().StringVar(&flags.who, "who", "", "`name` of the person that runs it (default user@host)")
	flags.takeOverFlag(c)
	return c
}

// jobIDs completes the ids of jobs that are not done.
func (a *app) jobIDs(c *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
	return a.names(c, begun, func(ctx context.Context) ([]string, error) {
		letters, err := a.letters(ctx)
		if err != nil {
			return nil, err
		}
		// A finished job can be neither stopped nor resumed.
		var ids []string
		jobs, err := letters.Jobs(ctx, "")
		for i := range jobs {
			if !jobs[i].Over() {
				ids = append(ids, jobs[i].ID)
			}
		}
		return ids, err
	})
}

// job returns the job with an id.
func (a *app) job(ctx context.Context, id string) (redrive.Job, error) {
	c, err := a.letters(ctx)
	if err != nil {
		return redrive.Job{}, err
	}
	j, err := c.Find(ctx, id)
	// The remedy is added here, since redrive knows no commands.
	if errors.Is(err, redrive.ErrNoJob) {
		err = fmt.Errorf("%w: eventbus dlq jobs lists them", err)
	}
	return j, err
}
