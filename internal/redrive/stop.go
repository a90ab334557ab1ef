package redrive

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

// A job ends in one of four ways: it is done, an operator stops it, this process leaves it,
// or the process dies, which others notice by the lease. In all cases but the last, the
// progress of the job is stored under a claim: nothing is counted twice or left out.

// end puts a job into a state in which no process runs it.
func (j *Job) end(s JobState, by, reason string) {
	j.State, j.By, j.Reason = s, by, reason
	// A finished job keeps its last holder.
	if s != Done {
		j.Holder = Holder{}
	}
	if s != Waiting {
		j.Ended = time.Now().UTC()
	}
}

// leaving bounds the work for a job after its context has ended.
const leaving = 5 * time.Second

// leave stores that this process no longer runs a job. If that fails, others notice by the
// lease.
func (c *Client) leave(ctx context.Context, j *Job, state JobState, cause error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaving)
	defer cancel()
	// A claim would fence the process that took over.
	if c.taken(ctx, j) != nil {
		return nil
	}
	return c.quit(ctx, j, state, cause)
}

// unbegun ends the job of an order that failed at its start, and returns it. The job may have
// been stored nevertheless: otherwise another process would run it after its operator was
// told that it failed.
func (c *Client) unbegun(ctx context.Context, j *Job, how Run, err error) (Job, error) {
	if errors.Is(err, transport.ErrFenced) {
		return Job{}, err // a claim would fence the process that was faster
	}
	state, cause := Failed, err
	if ctx.Err() != nil {
		if state, cause = Stopped, nil; how.HandOver {
			state = Waiting
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaving)
	defer cancel()
	err = errors.Join(err, c.quit(ctx, j, state, cause))
	if j.State == Running {
		return Job{}, err // nothing is stored
	}
	return *j, err
}

// quit stores, under a claim, that a job is not run any more, if the job says that this run
// does.
func (c *Client) quit(ctx context.Context, j *Job, state JobState, cause error) error {
	s, err := c.claimJobs(ctx, j.Topic)
	if err != nil {
		return nil //nolint:nilerr // another process will notice
	}
	if is := s.jobs[j.ID]; is != nil && is.Holder.Process == j.Holder.Process {
		*j = *is
		if j.State == Done {
			return nil // by a transaction that seemed to fail
		}
		j.end(state, "", "")
		if state == Stopped {
			j.By, j.Reason = is.Holder.Who, "interrupted"
		}
		if cause != nil {
			j.Error = clip(cause.Error())
		}
		return s.commit(ctx, nil, j)
	}
	return nil
}

// Stop stops a job wherever it runs: once Stop has returned nil, the job changes nothing
// more. who and why are kept with the job.
func (c *Client) Stop(ctx context.Context, topic, id, who, why string) (Job, error) {
	if len(who) > maxText || len(why) > maxText {
		return Job{}, fmt.Errorf("who and why may have at most %d bytes each", maxText)
	}
	if j, err := c.Find(ctx, id); err != nil {
		return Job{}, err
	} else if j.State == Done || j.Topic != topic {
		return j, fmt.Errorf("job %s of %s is %s", id, j.Topic, j.State)
	}
	s, err := c.claimJobs(ctx, topic)
	if err != nil {
		return Job{}, err
	}
	// From here on, the process that ran the job can't commit. The counts are those of its last
	// commit.
	j := s.jobs[id]
	switch {
	case j == nil:
		return Job{}, noJob(id)
	case j.State == Done:
		return *j, fmt.Errorf("job %s is done", id)
	}
	j.end(Stopped, who, why)
	if err := s.commit(ctx, nil, j); err != nil {
		return *j, err
	}
	c.settle(ctx, j)
	c.log("dead-letter job stopped", j)
	return *j, nil
}

// fail ends a job that nobody runs and that can't run, since its letters are gone.
func (c *Client) fail(ctx context.Context, j *Job, cause error) error {
	s, err := c.claimJobs(ctx, j.Topic)
	if err != nil {
		return err
	}
	is := s.jobs[j.ID]
	if is == nil || is.State != j.State || is.Holder != j.Holder {
		return nil // another process was faster
	}
	is.end(Failed, "", "")
	is.Error = clip(cause.Error())
	if err := s.commit(ctx, nil, is); err != nil {
		return err
	}
	c.log("dead-letter job ended", is)
	return nil
}

// settling bounds the waits of sees and edges.
const settling = 2 * time.Second

// settle waits until a job can be read as it was committed: brokers show a transaction to
// readers some milliseconds after its end. So later orders, also from other processes, find
// what this one did.
func (c *Client) settle(ctx context.Context, j *Job) {
	// If another process changes the job meanwhile, this waits until settling is over.
	c.sees(ctx, func(b *book) (bool, error) {
		e, err := b.of(j.Topic)
		if err != nil || e.jobs[j.ID] == nil {
			return false, err
		}
		is := e.jobs[j.ID]
		return is.State == j.State && is.Done == j.Done && is.Holder == j.Holder, nil
	})
}

// sees reads the book until looks returns true, for at most settling, and reports whether it
// did.
func (c *Client) sees(ctx context.Context, looks func(*book) (bool, error)) bool {
	ctx, cancel := context.WithTimeout(ctx, settling)
	defer cancel()
	for {
		seen, err := c.reading(ctx, looks)
		if seen || err != nil || sleep(ctx, 10*time.Millisecond) != nil {
			return seen
		}
	}
}
