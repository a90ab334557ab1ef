package console

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/eventbus-go/eventbus/internal/redrive"
)

// jobsView is the page of jobs on dead letters, the latest first. Both fields may be set:
// jobs that can't be read do not hide the others.
type jobsView struct {
	Jobs    []jobRow
	Problem string
}

// jobRow is a job and its progress. Sum is how many letters the job has changed. Live is
// whether its process still renews its lease, and Here whether that is this console.
type jobRow struct {
	redrive.Job
	Silent string // how long its process has been silent, if it seems to be gone
	Sum    int64
	Live   bool
	Here   bool
}

// Resumable reports whether the job can be resumed.
func (j *jobRow) Resumable() bool {
	// A waiting job is taken up by itself, and a running one must not be run twice.
	return j.State == redrive.Stopped || j.State == redrive.Failed || j.State == redrive.Running && !j.Live
}

// Chosen says in words which letters the job is about. The console orders jobs by causes or
// for one letter; the command line has more filters.
func (j *jobRow) Chosen() string {
	f := &j.Filter
	var by []string
	for _, c := range []struct {
		n    int
		noun string
	}{
		{len(f.Fingerprints), "cause"}, {len(f.Keys), "key"}, {len(f.Types), "type"}, {len(f.IDs), "id"}, {len(f.Groups), "group"}, {len(f.Reasons), "reason"}, {len(f.Ranges), "range"},
	} {
		if c.n > 0 {
			by = append(by, plural(c.n, c.noun))
		}
	}
	if !f.After.IsZero() || !f.Before.IsZero() {
		by = append(by, "a time")
	}
	switch {
	case j.Action == redrive.Purge && !j.IncludingOpen:
		return "letters that are decided"
	case len(by) == 0:
		return "all letters"
	case len(by) == 1 && len(f.Ranges) == 1 && f.Ranges[0].To-f.Ranges[0].From == 1:
		return "one letter"
	}
	return strings.Join(by, ", ")
}

// jobs makes the page of jobs on all topics of the environment.
func (d *desk) jobs(ctx context.Context, _ *http.Request) (any, error) {
	all, err := d.jobsOf(ctx, "")
	v := &jobsView{Jobs: all}
	if err != nil {
		v.Problem = err.Error()
	}
	return v, nil
}

// jobsOf returns the jobs on a topic, or on all topics if it is empty.
func (d *desk) jobsOf(ctx context.Context, topic string) (rows []jobRow, err error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	all, err := d.cluster.letters.Jobs(ctx, topic)
	now := time.Now()
	for _, j := range all {
		// The latest jobs come first, so the oldest are left out.
		if len(rows) == maxJobsSeen || !d.cluster.letterTopic(j.Topic) {
			continue
		}
		row := jobRow{Job: j, Sum: j.Done.Sum(), Live: j.Live(now), Here: d.cluster.letters.Runs(&j)}
		if j.State == redrive.Running && !row.Live {
			// Renewed is by the holder's clock, so this is only as accurate as the two clocks agree.
			row.Silent = span(now.Sub(j.Holder.Renewed))
		}
		rows = append(rows, row)
	}
	return rows, err
}

// planView is a dry run, and the form that starts the job. It holds the order field by
// field, so that the form starts exactly what was counted. Rate is in events a second;
// 0 is no limit.
type planView struct {
	Topic, State string // State is of the list that the letters were chosen from
	Action       redrive.Action
	Causes       []string
	Place        string   // of the only letter, as partition@offset; empty for a job on causes
	Through      []string // retry topics through which a replay would redeliver
	Alone        []string // retry topics that letters name, but that it would not use
	Rate         float64
	Tally        redrive.Tally
	Sum          int64
	Running      *jobRow // a live job on the same topic
	Reason       bool    // the order needs a reason
	Until        string  // the ends of the partitions, as partition@offset, separated by commas
}

// plan counts what a job would do. It changes nothing, so it is served by GET.
func (d *desk) plan(ctx context.Context, r *http.Request) (any, error) {
	o, err := readJob(r.URL.Query(), "dry run")
	if err != nil {
		return nil, err
	}
	// A dry run reads every letter that it counts.
	done, err := d.scan(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	ctx, cancel := context.WithTimeout(ctx, 2*letterTime)
	defer cancel()
	if _, err := d.open(ctx, o.Topic); err != nil {
		return nil, err
	}
	would, err := d.cluster.letters.Plan(ctx, o, d.cluster.retryTopics())
	// A partial count would be worse than none: the user decides by it.
	if errors.Is(err, context.DeadlineExceeded) {
		return nil, &fault{http.StatusGatewayTimeout, "there are more letters than could be counted in time: eventbus dlq replay --dry-run counts without a bound"}
	}
	if err != nil {
		return nil, err
	}
	state := redrive.Open
	if o.Action == redrive.Release {
		state = redrive.Quarantined
	}
	v := &planView{Topic: o.Topic, State: state.String(), Action: o.Action, Causes: o.Filter.Fingerprints, Rate: o.Rate, Tally: would.Tally, Sum: would.Tally.Sum(), Place: r.URL.Query().Get("at"), Through: would.Through, Alone: would.Alone, Reason: needsReason(o.Action), Until: untilText(would.Until)}
	jobs, err := d.jobsOf(ctx, o.Topic)
	if err != nil {
		return nil, err
	}
	// Jobs on a topic wait for each other. The form offers to stop the running one.
	for i := range jobs {
		if jobs[i].Live {
			v.Running = &jobs[i]
		}
	}
	return v, nil
}

// needsReason reports whether an action can't be undone, or affects others. Quarantine and
// Release undo each other.
func needsReason(a redrive.Action) bool { return a == redrive.Skip || a == redrive.Replay }

// readJob reads the order from a form. Dry run and order use the same form, so that both
// mean the same letters.
func readJob(f url.Values, who string) (redrive.Order, error) {
	o := redrive.Order{Topic: f.Get("topic"), Action: redrive.Action(f.Get("action")), Who: who}
	switch o.Action {
	// Purge is missing on purpose: it deletes letters, and is left to the command line.
	case redrive.Replay, redrive.Skip, redrive.Quarantine, redrive.Release:
	default:
		return o, unfinished("choose what is to be done with the letters")
	}
	o.Filter.Fingerprints, o.Through = f["cause"], f["through"]
	if at := f.Get("at"); at != "" {
		partition, offset, ok := readPlace(at)
		if !ok {
			return o, wrong("the letter's place can't be read")
		}
		o.Filter.Ranges = []redrive.Range{redrive.At(partition, offset)}
	}
	// An empty filter would take every letter, which must not happen by an unticked box.
	if len(o.Filter.Fingerprints) == 0 && len(o.Filter.Ranges) == 0 {
		return o, unfinished("choose at least one cause, by its box in the table")
	}
	if text := f.Get("rate"); text != "" {
		n, err := strconv.ParseFloat(text, 64)
		if err != nil || n < 0 {
			return o, unfinished("the rate is a number of events per second")
		}
		o.Rate = n
	}
	if text := f.Get("expected"); text != "" {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 0 {
			return o, wrong("how many letters were counted can't be read: make the dry run again")
		}
		o.Expected = n
	}
	if text := f.Get("until"); text != "" {
		o.Until = make(map[int32]int64)
		for one := range strings.SplitSeq(text, ",") {
			partition, offset, ok := readPlace(one)
			if !ok {
				return o, wrong("the letters that were counted can't be told: make the dry run again")
			}
			if _, twice := o.Until[partition]; twice {
				return o, wrong(fmt.Sprintf("the letters that were counted have partition %d twice: make the dry run again", partition))
			}
			o.Until[partition] = offset
		}
	}
	return o, nil
}

// readPlace reads partition@offset, and reports whether the text is that and nothing else.
func readPlace(text string) (partition int32, offset int64, ok bool) {
	of, at, _ := strings.Cut(text, "@")
	p, wrongPartition := strconv.ParseInt(of, 10, 32)
	offset, wrongOffset := strconv.ParseInt(at, 10, 64)
	return int32(p), offset, wrongPartition == nil && wrongOffset == nil && p >= 0 && offset >= 0
}

// untilText returns the ends of partitions in the form's format.
func untilText(until map[int32]int64) string {
	var all []string
	for _, partition := range slices.Sorted(maps.Keys(until)) {
		all = append(all, fmt.Sprintf("%d@%d", partition, until[partition]))
	}
	return strings.Join(all, ",")
}

// jobOrders returns the orders about jobs. A job runs in any process that watches for jobs,
// even with the page closed.
func (d *desk) jobOrders() map[string]act {
	return map[string]act{"start-job": d.startJob, "stop-job": d.stopJob, "resume-job": d.resumeJob}
}

// startJob stores a job. It runs nothing: this process or another takes the job up.
func (d *desk) startJob(ctx context.Context, who string, f url.Values) (string, error) {
	o, err := readJob(f, who)
	if err != nil {
		return "", err
	}
	if o.Why, err = reason(f, needsReason(o.Action)); err != nil {
		return "", wrong(err.Error())
	}
	if _, err := d.open(ctx, o.Topic); err != nil {
		return "", err
	}
	// The form holds the topics that the dry run listed, but a letter or a request may name
	// any topic.
	known := d.cluster.retryTopics()
	for _, name := range o.Through {
		if !known(name) {
			return "", wrong("no catalogue here has the retry topic " + clip(maxShown, name) + " in this environment: eventbus dlq replay --through brings letters back through it")
		}
	}
	// The other job is stopped first: otherwise this one would wait for it.
	if other := f.Get("take-over"); other != "" {
		if _, err := d.cluster.letters.Stop(ctx, o.Topic, other, who, "taken over: "+o.Why); err != nil {
			return "", &fault{http.StatusConflict, err.Error()}
		}
	}
	j, err := d.cluster.letters.Submit(ctx, o)
	if err != nil {
		return "", &fault{http.StatusConflict, err.Error()}
	}
	return fmt.Sprintf("Job %s is ordered. It goes on with this page closed.", j.ID), nil
}

// stopJob stops a job wherever it runs. Once it has returned, no more letters change.
func (d *desk) stopJob(ctx context.Context, who string, f url.Values) (string, error) {
	why, err := reason(f, true)
	if err != nil {
		return "", wrong(err.Error())
	}
	topic := f.Get("topic")
	if !d.cluster.letterTopic(topic) {
		return "", missing("this console does not show topics of other environments")
	}
	j, err := d.cluster.letters.Stop(ctx, topic, f.Get("id"), who, why)
	if err != nil {
		return "", &fault{http.StatusConflict, err.Error()}
	}
	return fmt.Sprintf("Job %s is stopped: %s changed, and nothing more.", j.ID, plural(j.Done.Sum(), "letter")), nil
}

// begins is how long an order waits for an early error. A job that can't run at all fails
// within this time. Later errors are kept with the job.
const begins = 2 * time.Second

// resumeJob continues a job in this process. It takes a job over from the process that runs
// it only if the form says so.
func (d *desk) resumeJob(ctx context.Context, who string, f url.Values) (string, error) {
	topic, id := f.Get("topic"), f.Get("id")
	if !d.cluster.letterTopic(topic) {
		return "", missing("this console does not show topics of other environments")
	}
	// Closing the console is not an order to stop: the next process that watches continues.
	run := redrive.Run{TakeOver: f.Get("take-over") == "yes", Who: who, HandOver: true}
	// Buffered, so that the job can end when nobody waits any more.
	result := make(chan error, 1)
	// The context is the console's rather than the request's: a job outlives the page, and
	// Close hands it over.
	if !d.begin(func(ctx context.Context) {
		_, err := d.cluster.letters.Resume(ctx, topic, id, run)
		result <- err
	}) {
		return "", &fault{http.StatusServiceUnavailable, "the console is being stopped"}
	}
	wait := time.NewTimer(begins)
	defer wait.Stop()
	select {
	case err := <-result:
		if err != nil {
			return "", &fault{http.StatusConflict, err.Error()}
		}
		return fmt.Sprintf("Job %s is done.", id), nil
	case <-wait.C:
	case <-ctx.Done():
	}
	return fmt.Sprintf("Job %s goes on.", id), nil
}
