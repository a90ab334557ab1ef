package redrive

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/transport"
)

// Run says how a job is run. The zero Run fits most callers.
type Run struct {
	// TakeOver runs the job even if one is run in the same box, by this process or another.
	// That one ends with ErrTakenOver, and loses nothing.
	TakeOver bool
	// Who is who takes over. Default Config.Who.
	Who string
	// Progress, if not nil, is called after each transaction with the job as it was committed.
	// It must not block.
	Progress func(Job)
	// HandOver leaves the job to another process when ctx ends. Without it the job is stopped,
	// as an operator who interrupts a command expects.
	HandOver bool

	// seen is the job as a watching process saw it; nil otherwise. Its holder counts as gone,
	// whatever its clock says.
	seen *Job
}

// A failing job is tried again after a pause, until it has failed this many times in a row
// without committing anything.
const (
	tries = 5
	pause = time.Second
)

// fencedFor is how long a fenced process waits for the other one to store its job. If that
// found the box held, it stores none.
const fencedFor = 2 * time.Second

// newJob returns the job of an order on a box.
func newJob(o Order, b *Box) Job {
	end := b.Bounds()
	if o.Until != nil {
		for p := range end {
			end[p] = min(end[p], o.Until[p])
		}
	}
	o.Until = nil
	return Job{Order: o, ID: random(4), Created: time.Now().UTC(), State: Waiting, End: end, Box: b.identity()}
}

// Start stores an order as a job and runs it here, as Resume does. If a job is being
// run in the box and TakeOver is not set, the error is a *HeldError, and nothing is stored.
func (c *Client) Start(ctx context.Context, o Order, how Run) (Job, error) {
	o = o.withDefaults()
	if err := o.Validate(); err != nil {
		return Job{}, err
	}
	return c.execute(ctx, o.Topic, how, func(s *session) (*Job, error) {
		j := newJob(o, s.box)
		return &j, nil
	})
}

// Resume runs a job that waits, was stopped, failed, or whose process is gone, until it is
// done. A Replay brings back, in the order of each partition, the letters that existed when
// the order was given, that are still undecided, and that the filter chooses. It writes each
// event to the retry topic of its group in the transaction that stores the decision: however
// Resume ends, even by a crash, an event has been brought back and is recorded as such, or
// neither.
//
// It returns the job as far as it was committed. It waits for brokers that are down. If ctx
// ends, the job is stopped or handed over.
func (c *Client) Resume(ctx context.Context, topic, id string, how Run) (Job, error) {
	return c.execute(ctx, topic, how, func(s *session) (*Job, error) {
		j := s.jobs[id]
		switch {
		case j == nil:
			return nil, noJob(id)
		case j.State == Done:
			return nil, fmt.Errorf("job %s is done", id)
		// An operator may have stopped the job meanwhile, or another process may run it.
		case how.seen != nil && (j.State != how.seen.State || j.Holder != how.seen.Holder):
			return nil, fmt.Errorf("%w: job %s is %s now", ErrTakenOver, id, j.State)
		}
		own := *j
		return &own, s.about(j)
	})
}

// about returns an error if a job is about an earlier topic with the same name as the box's.
func (s *session) about(j *Job) error {
	if j.Box == s.box.identity() {
		return nil
	}
	return fmt.Errorf("job %s is about a topic %s that was deleted, and the one of that name now has other letters: %w", j.ID, j.Topic, transport.ErrTopicMissing)
}

// execute runs the job that pick returns until it is done, or can't go on.
func (c *Client) execute(ctx context.Context, topic string, how Run, pick func(*session) (*Job, error)) (Job, error) {
	// Checked before the claim, which would fence the process that runs a job even if this one
	// then did nothing.
	if err := c.free(ctx, topic, how); err != nil {
		return Job{}, err
	}
	s, err := c.claim(ctx, topic)
	if err != nil {
		return Job{}, overtaken(err)
	}
	// Another process may have claimed the box since. It goes on by itself, since it finds no
	// other live job.
	held := s.held(how)
	if held != nil && !how.TakeOver {
		return Job{}, &HeldError{*held}
	}
	// From here on everything is as of the claim: nobody else can change it.
	j, err := pick(s)
	if err != nil {
		return Job{}, err
	}
	// A job that is taken over ends in the transaction that begins this one.
	var stored []*Job
	if held != nil && held.ID != j.ID {
		held.end(Stopped, cmp.Or(how.Who, c.cfg.Who), "taken over for job "+j.ID)
		stored = append(stored, held)
	}
	j.State, j.Holder = Running, c.holder()
	// A run by itself: a second one of this process takes over from this one like any other.
	run := random(8)
	c.running.Store(run, true)
	defer c.running.Delete(run)
	j.Holder.Process = run
	j.Holder.Who = cmp.Or(how.Who, j.Holder.Who)
	j.Ended, j.By, j.Reason, j.Error = time.Time{}, "", "", ""
	if err := s.commit(ctx, nil, append(stored, j)...); err != nil {
		return c.unbegun(ctx, j, how, overtaken(err))
	}
	c.log("dead-letter job begins", j)
	err = c.persist(ctx, s, j, how)
	c.settle(ctx, j)
	c.log("dead-letter job ended", j)
	return *j, err
}

// live returns a function that reports whether a process holds a job now.
func (r *Run) live() func(*Job) bool {
	now := time.Now()
	return func(j *Job) bool { return j.Live(now) && (r.seen == nil || j.Holder != r.seen.Holder) }
}

// free returns a *HeldError if the box is held, unless how takes over.
func (c *Client) free(ctx context.Context, topic string, how Run) error {
	_, err := c.reading(ctx, func(b *book) (bool, error) {
		e, err := b.of(topic)
		if err != nil || how.TakeOver {
			return false, err
		}
		if held := e.held(how.live()); held != nil {
			return false, &HeldError{*held}
		}
		return true, nil
	})
	return err
}

// overtaken adds ErrTakenOver to the error of a claim that another one has superseded.
func overtaken(err error) error {
	if errors.Is(err, transport.ErrFenced) {
		return fmt.Errorf("%w at the same moment: %w", ErrTakenOver, err)
	}
	return err
}

// persist runs a claimed job, and claims it again after errors that may be temporary.
func (c *Client) persist(ctx context.Context, s *session, j *Job, how Run) error {
	run := j.Holder.Process
	// Failures are counted since the job last made progress.
	for failures := 0; ; {
		before := j.Done.Sum()
		err := c.carryOut(ctx, s, j, how)
		// A job that makes progress is not failing, however often it is interrupted.
		if j.Done.Sum() > before {
			failures = 0
		}
		for err != nil {
			failures++
			over, why := c.giveUp(ctx, j, how, err, failures)
			if !over {
				s, err = c.again(ctx, j, err)
				over, why = errors.Is(err, ErrTakenOver), err
			}
			// Its last transaction was committed, though that seemed to fail.
			if j.State == Done && j.Holder.Process == run {
				return nil
			}
			if over {
				return why
			}
		}
		if j.State == Done {
			return nil
		}
	}
}

// giveUp reports whether a job ends here, and returns its error.
func (c *Client) giveUp(ctx context.Context, j *Job, how Run, err error, failures int) (bool, error) {
	switch {
	case ctx.Err() != nil:
		state := Stopped
		if how.HandOver {
			state = Waiting
		}
		return true, errors.Join(err, c.leave(ctx, j, state, nil))
	case errors.Is(err, transport.ErrUnauthorized), errors.Is(err, transport.ErrTooLarge), errors.Is(err, transport.ErrTopicMissing):
		return true, errors.Join(err, c.leave(ctx, j, Failed, err))
	case failures == tries:
		// The cluster may come back: the job stays as it is, for any process to take up.
		return true, err
	}
	return false, nil
}

// again claims the box once more after an error. If another run did that
// meanwhile, for its own job or to end this one, the error is ErrTakenOver.
func (c *Client) again(ctx context.Context, j *Job, cause error) (*session, error) {
	wait := pause
	if errors.Is(cause, transport.ErrFenced) {
		wait = fencedFor
	}
	if err := sleep(ctx, wait); err != nil {
		return nil, err
	}
	if taken := c.taken(ctx, j); taken != nil {
		return nil, taken
	}
	s, err := c.claim(ctx, j.Topic)
	if err != nil {
		return nil, err
	}
	is := s.jobs[j.ID]
	if is == nil || is.Holder.Process != j.Holder.Process {
		return nil, ErrTakenOver
	}
	*j = *is
	// The topic may have been created again: nobody chose the letters of the new one.
	return s, s.about(j)
}

// taken returns an error if another run holds the job or its box, or if the job is not
// Running. It brings j up to date.
func (c *Client) taken(ctx context.Context, j *Job) error {
	var taken error
	_, err := c.reading(ctx, func(b *book) (bool, error) {
		e, err := b.of(j.Topic)
		if err != nil {
			return false, err
		}
		now := time.Now()
		is := e.jobs[j.ID]
		switch other := e.held(func(o *Job) bool { return o.Live(now) && o.Holder.Process != j.Holder.Process }); {
		case is == nil:
			taken = fmt.Errorf("%w: the job is gone", ErrTakenOver)
			return true, nil
		case is.State == Stopped:
			taken = fmt.Errorf("%w: %s stopped the job", ErrTakenOver, is.By)
		case other != nil:
			taken = fmt.Errorf("%w: %s, for job %s", ErrTakenOver, other.Holder.Who, other.ID)
		case is.State != Running || is.Holder.Process != j.Holder.Process:
			taken = ErrTakenOver
		}
		*j = *is
		return true, nil
	})
	if err != nil {
		return nil //nolint:nilerr // the cluster does not answer; the claim will fail too
	}
	return taken
}

// carryOut runs a job in a session until it is done, or to the first error.
func (c *Client) carryOut(ctx context.Context, s *session, j *Job, how Run) error {
	// A purge reads no letters, so it needs no walk.
	if j.Action == Purge {
		return c.purge(ctx, s, j)
	}
	return newWalk(s.box, s, j, c.events, how.Progress).run(ctx)
}

// purge deletes letters. The log is cut first: if the process ends before it stores that, the
// next process to open the box finds the letters missing.
func (c *Client) purge(ctx context.Context, s *session, j *Job) error {
	what := s.box.purgeable(j.IncludingOpen, j.End)
	if len(what.before) > 0 {
		if err := kafka.NewAdmin(c.cluster).DeleteRecords(ctx, what.before); err != nil {
			return err
		}
	}
	// The decisions about deleted letters go too.
	for p, before := range what.before {
		s.box.ledgers[p].Pass(before)
	}
	next := *j
	next.Done.Deleted += what.Letters
	next.end(Done, "", "")
	if err := s.commit(ctx, nil, &next); err != nil {
		return err
	}
	*j = next
	return nil
}

// log logs a job: who ordered what and why, and its result. It does not log keys and errors
// of letters.
func (c *Client) log(message string, j *Job) {
	c.cfg.Logger.Info(message, "job", j.ID, "action", j.Action, "topic", j.Topic, "who", j.Who, "why", j.Why,
		"state", j.State, "holder", j.Holder.Who, "by", j.By, "reason", j.Reason, "letters", j.Done.Sum())
}

// clip shortens a text to what a job may store.
func clip(text string) string {
	if len(text) > maxText {
		text = text[:maxText-4] + "…"
	}
	return strings.ToValidUTF8(text, "")
}
