package redrive

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

// How often a watching process looks for jobs, how many it runs at once, each in its own box,
// and when it tries a failed one again.
const (
	lookEvery = 2 * time.Second
	mostJobs  = 4
	again     = time.Minute // after an error
)

// Watch takes up jobs that wait or whose process is gone, the oldest of each box first, until
// ctx ends. Then it leaves the jobs that it runs to other processes. Several processes may
// watch.
func (c *Client) Watch(ctx context.Context) error {
	var running sync.WaitGroup
	// Hand over the jobs that are running when ctx ends.
	defer running.Wait()
	w := &watch{client: c, seen: make(map[string]sight), busy: make(map[string]bool), later: make(map[string]time.Time)}
	for {
		next, err := w.look(ctx)
		if err != nil && ctx.Err() == nil && err.Error() != w.last {
			w.last = err.Error()
			c.cfg.Logger.Warn("dead-letter jobs can't be looked for", "error", err)
		}
		for _, j := range next {
			running.Go(func() { w.take(ctx, j) })
		}
		// The random part keeps several processes from taking the same job at once.
		if err := sleep(ctx, lookEvery+rand.N(lookEvery/2)); err != nil { //nolint:gosec // no secret
			return nil
		}
	}
}

// watch is what a watching process knows about jobs.
type watch struct {
	client *Client
	seen   map[string]sight // by the id of a running job; used by one goroutine
	last   string           // the last error of look, to log it once

	mu   sync.Mutex
	busy map[string]bool // boxes in which this process runs a job
	// later has the jobs that failed here, and when to try them again.
	later map[string]time.Time
}

// sight is the last sign of life of a process, and when this process first saw it. Silence is
// measured by the clock of the watching process, since clocks may differ.
type sight struct {
	renewed time.Time
	at      time.Time
}

// look returns the jobs to take up, at most one of each box.
func (w *watch) look(ctx context.Context) ([]Job, error) {
	jobs, err := w.client.Jobs(ctx, "")
	now := time.Now()
	live, oldest := make(map[string]bool), make(map[string]Job)
	seen := make(map[string]sight)
	w.mu.Lock()
	defer w.mu.Unlock()
	maps.DeleteFunc(w.later, func(_ string, at time.Time) bool { return now.After(at) })
	for _, j := range jobs { // the latest first
		switch j.State {
		case Running:
			s := w.seen[j.ID]
			if s.at.IsZero() || !s.renewed.Equal(j.Holder.Renewed) {
				// A new sign of life starts the lease again.
				s = sight{j.Holder.Renewed, now}
			}
			seen[j.ID] = s
			if now.Sub(s.at) < w.client.lease {
				live[j.Topic] = true
				continue
			}
		case Waiting:
		default:
			continue
		}
		if w.later[j.ID].IsZero() {
			// Jobs come latest first, so the oldest stays.
			oldest[j.Topic] = j
		}
	}
	w.seen = seen // forgets jobs that no longer run
	var next []Job
	// A box runs one job at a time; the others follow in their order.
	for topic, j := range oldest {
		if !live[topic] && !w.busy[topic] && len(w.busy) < mostJobs {
			w.busy[topic] = true
			next = append(next, j)
		}
	}
	return next, err
}

// take runs a job, unless another process took it first.
func (w *watch) take(ctx context.Context, j Job) {
	// look may choose a job of this box again only when this one has ended.
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.busy, j.Topic)
	}()
	_, err := w.client.Resume(ctx, j.Topic, j.ID, Run{HandOver: true, seen: &j})
	if errors.Is(err, transport.ErrTopicMissing) && ctx.Err() == nil {
		err = errors.Join(err, w.client.fail(ctx, &j, err)) // otherwise it would be tried endlessly
	}
	// It is not a failure that another process has the job.
	var held *HeldError
	if err != nil && ctx.Err() == nil && !errors.As(err, &held) && !errors.Is(err, ErrTakenOver) {
		w.client.cfg.Logger.Error("dead-letter job interrupted", "job", j.ID, "topic", j.Topic, "error", err)
		w.mu.Lock()
		defer w.mu.Unlock()
		w.later[j.ID] = time.Now().Add(again)
	}
}
