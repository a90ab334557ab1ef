package redrive

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/eventbus-go/eventbus/internal/naming"
)

// Action is what a job does with the letters that it chooses.
type Action string

// The actions.
const (
	Replay     Action = "replay"     // bring open letters back to the group that failed
	Skip       Action = "skip"       // skip open letters permanently
	Quarantine Action = "quarantine" // keep open letters out of replays
	Release    Action = "release"    // open letters in quarantine again
	Purge      Action = "purge"      // delete decided letters from the log, permanently
)

// Order says what a job should do. Topic and Who are enough for a Replay of all open
// letters.
type Order struct {
	// Topic is the dead-letter topic.
	Topic string `json:"topic"`
	// Action is what to do. Default Replay.
	Action Action `json:"action"`
	// Filter chooses among the letters. With Purge it must be zero.
	Filter Filter `json:"filter,omitzero"`
	// Rate bounds the events that a Replay brings back, per second; 0 means no bound.
	Rate float64 `json:"rate,omitzero"`
	// MaxRedeliveries is how many times an event may have been brought back before. A
	// Replay puts an event beyond that into quarantine instead, since the handler can't
	// handle it. Default DefaultMaxRedeliveries.
	MaxRedeliveries int `json:"maxRedeliveries,omitzero"`
	// Through are the retry topics through which a Replay may bring events back, in
	// addition to the one that belongs to the name of Topic. Letters name theirs if it was
	// chosen, and a program that writes to Topic could name any: letters that name others
	// are left alone.
	Through []string `json:"through,omitempty"`
	// IncludingOpen makes a Purge delete undecided letters too.
	IncludingOpen bool `json:"includingOpen,omitzero"`
	// Who gave the order. It is required.
	Who string `json:"who"`
	// Why is the reason. It is required for what can't be undone: Skip and Purge.
	Why string `json:"why,omitempty"`
	// Expected is how many letters a dry run counted, to show progress; 0 if unknown.
	Expected int64 `json:"expected,omitzero"`
	// Until bounds the letters, [0, Until) of each partition, as in Preview.Until: a letter that
	// nobody has counted is not skipped or deleted. Nil means the letters that exist when the
	// order is given. It becomes the job's End.
	Until map[int32]int64 `json:"-"`
}

// DefaultMaxRedeliveries is the default of Order.MaxRedeliveries.
const DefaultMaxRedeliveries = 5

// maxThrough bounds the retry topics of an order.
const maxThrough = 100

// maxText bounds who and why, in bytes.
const maxText = 1 << 10

// withDefaults returns the order with defaults in place of zero fields.
func (o Order) withDefaults() Order {
	if o.Action == "" {
		o.Action = Replay
	}
	// The derived one is implied. Naming it would only confuse earlier versions.
	derived := naming.RetryOf(o.Topic)
	o.Through = slices.DeleteFunc(slices.Clone(o.Through), func(name string) bool { return name == derived })
	if len(o.Filter.States) == 0 && o.Action != Purge {
		o.Filter.States = []State{Open}
		if o.Action == Release {
			o.Filter.States = []State{Quarantined}
		}
	}
	// Defaults are stored, so that a later version with other defaults continues the job as
	// this one began it.
	if o.MaxRedeliveries == 0 {
		o.MaxRedeliveries = DefaultMaxRedeliveries
	}
	return o
}

// Validate returns an error that names every wrong field.
func (o *Order) Validate() error {
	var wrong []error
	add := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf(format, args...)) }
	if !mayBeBox(o.Topic) {
		wrong = append(wrong, fmt.Errorf("topic %s: %w", o.Topic, ErrNoBox))
	}
	switch o.Action {
	case "", Replay, Quarantine, Release:
	case Skip, Purge:
		if strings.TrimSpace(o.Why) == "" {
			add("a %s can't be taken back: give a reason", o.Action)
		}
	default:
		add("there is no action %q", string(o.Action))
	}
	if strings.TrimSpace(o.Who) == "" {
		add("who gives the order is missing")
	}
	for name, text := range map[string]string{"who": o.Who, "why": o.Why} {
		if len(text) > maxText || !utf8.ValidString(text) {
			add("%s has to be UTF-8 of at most %d bytes", name, maxText)
		}
	}
	// Written so that NaN is refused too.
	if !(o.Rate >= 0 && o.Rate <= 1e6) {
		add("rate %v is not between 0 and a million events per second", o.Rate)
	}
	if o.Action == Purge && !reflect.ValueOf(o.Filter).IsZero() {
		add("a purge cuts the log from its front and can't choose letters: leave the filter out")
	}
	if len(o.Through) > maxThrough {
		add("%d retry topics are too many: choose the letters of fewer groups, at most %d", len(o.Through), maxThrough)
	}
	for _, name := range o.Through {
		if err := naming.CheckTopicName(name); err != nil {
			add("retry topic: %w", err)
		}
	}
	if o.MaxRedeliveries < 0 {
		add("max redeliveries %d is negative", o.MaxRedeliveries)
	}
	return errors.Join(append(wrong, o.Filter.Validate())...)
}

// Job is an order that was given, and its progress. It is stored in Topic, so any process
// can resume it.
type Job struct {
	Order
	// ID names the job: eight hexadecimal characters.
	ID string `json:"id"`
	// Created is when the order was given. Times are by the clocks of the processes
	// that write them.
	Created time.Time `json:"created,omitzero"`
	State   JobState  `json:"state"`
	// Holder is the process that runs the job, or the last one if it is Done; otherwise zero.
	Holder Holder `json:"holder,omitzero"`
	// Done counts what has been committed, exactly.
	Done Tally `json:"done,omitzero"`
	// Ended is when the job stopped or finished. By and Reason are who stopped it and why.
	// Error is why it failed.
	Ended  time.Time `json:"ended,omitzero"`
	By     string    `json:"by,omitempty"`
	Reason string    `json:"reason,omitempty"`
	Error  string    `json:"error,omitempty"`
	// End bounds the letters of the job, [0, End) of each partition: those that were counted, or
	// that existed when the order was given. An event that the job brings back, and that fails
	// again, is a new letter and does not belong to it.
	End map[int32]int64 `json:"end,omitempty"`
	// Box is the id of the dead-letter topic, in hexadecimal: a topic that is created again
	// has other letters.
	Box string `json:"box,omitempty"`
}

// JobState is the state of a job.
type JobState string

// The states of a job. Any process that watches runs a Waiting job, and a Running one whose
// Holder is silent.
const (
	Waiting JobState = "waiting" // nobody runs it
	Running JobState = "running"
	Stopped JobState = "stopped" // by an operator, who may resume it
	Failed  JobState = "failed"  // by an error that retrying does not help; it may be resumed
	Done    JobState = "done"
)

// Holder is the process that runs a job.
type Holder struct {
	// Process identifies the run: random, so that two runs of one process are told apart.
	Process string `json:"process"`
	// Who is for whom it acts, such as user@host. Since is when it took the job.
	Who   string    `json:"who"`
	Since time.Time `json:"since,omitzero"`
	// Renewed is when it last wrote the job, by its own clock. It does so every few
	// seconds, whatever the rate.
	Renewed time.Time `json:"renewed,omitzero"`
}

// Lease is how long a process holds a job without a sign of life. If clocks differ by more,
// a living process may look dead: then it is fenced off and loses nothing. A dead one may
// look alive: then it takes an explicit order to take over.
const Lease = 15 * time.Second

// Live reports whether a process holds the job at a moment.
func (j *Job) Live(now time.Time) bool {
	return j.State == Running && now.Sub(j.Holder.Renewed) < Lease
}

// Over reports whether nothing remains to do.
func (j *Job) Over() bool { return j.State == Done }

// Tally counts letters by what was done with them.
type Tally struct {
	Replayed    int64 `json:"replayed"`
	Quarantined int64 `json:"quarantined"`
	Skipped     int64 `json:"skipped"`
	Released    int64 `json:"released"`
	Deleted     int64 `json:"deleted"`
	// Foreign counts records that were left alone: they are not dead letters, lack the
	// event, or name a retry topic that the order does not, or that can't take them.
	Foreign int64 `json:"foreign"`
}

// Sum returns how many letters were changed.
func (t *Tally) Sum() int64 {
	return t.Replayed + t.Quarantined + t.Skipped + t.Released + t.Deleted
}

// HeldError is the error of an order for a box in which a job is being run, by this process
// or another. An order that takes over stops that job instead.
type HeldError struct{ Job Job }

// Error says who runs which job, and since when.
func (e *HeldError) Error() string {
	return fmt.Sprintf("%s of %s is being run as job %s by %s since %s: wait for it, stop it, or take over",
		e.Job.Action, e.Job.Topic, e.Job.ID, e.Job.Holder.Who, e.Job.Holder.Since.Format(time.RFC3339))
}

// ErrTakenOver is the error of a job that another run took over, in this process or
// another, or that an operator stopped there. What the Job of the call counts is committed.
var ErrTakenOver = errors.New("somebody else took over")

// ErrNoJob is the error of an id that no job has.
var ErrNoJob = errors.New("there is no such job")

// add adds another tally except for Foreign, since the next walk meets the records that
// were left alone again.
func (t *Tally) add(o Tally) {
	t.Replayed += o.Replayed
	t.Quarantined += o.Quarantined
	t.Skipped += o.Skipped
	t.Released += o.Released
	t.Deleted += o.Deleted
}

// newestFirst orders jobs by creation, the latest first.
func newestFirst(a, b *Job) int {
	return cmp.Or(b.Created.Compare(a.Created), cmp.Compare(a.ID, b.ID))
}

// noJob returns the error of an id that no job has.
func noJob(id string) error { return fmt.Errorf("job %s: %w", id, ErrNoJob) }
