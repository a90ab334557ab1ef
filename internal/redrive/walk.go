package redrive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/eventbus-go/eventbus/internal/letter"
	"github.com/eventbus-go/eventbus/internal/naming"
	"github.com/eventbus-go/eventbus/transport"
)

// Bounds of one transaction. Readers of the retry topic wait for its end, and progress is
// shown at it, so transactions are short; much shorter ones would mostly spend time on
// commits.
const (
	maxEvents = 500
	maxBytes  = 1 << 20
	maxAge    = time.Second // of the first decision in a transaction
)

// renewal is how often a process that runs a job renews its lease.
const renewal = 2 * time.Second

// walk is one walk through a box, which carries out a job until its first error. Without a
// session it is a dry run.
type walk struct {
	box      *Box
	session  *session
	job      *Job
	progress func(Job)

	pace  pace
	limit int // of events in a transaction; with a rate, one second's worth
	// The next transaction: events to write, their size, the time of the first decision, and
	// the counts.
	records []transport.Record
	bytes   int
	since   time.Time
	pending Tally
	renewed time.Time
	foreign int64
	// targets are the retry topics asked about so far: their numbers of partitions, 0 for one
	// that is gone. Letters come back through those in used, and can't through those in alone.
	targets     map[string]int32
	used, alone map[string]bool
	may         func(topic string) bool // in a dry run: the parameter of Plan
}

// newWalk returns the walk of a job, with at most limit events in a transaction.
func newWalk(b *Box, s *session, j *Job, limit int, progress func(Job)) *walk {
	w := &walk{box: b, session: s, job: j, progress: progress, limit: limit, renewed: time.Now(), targets: make(map[string]int32), used: make(map[string]bool), alone: make(map[string]bool)}
	if j.Rate > 0 && s != nil {
		w.limit = min(limit, max(int(j.Rate), 1))
		w.pace = newPace(j.Rate, w.limit)
	}
	return w
}

// run walks through the letters of the job, each partition in order, and ends the job. So the
// letters of a key are brought back in order.
func (w *walk) run(ctx context.Context) error {
	// Letters after the order do not belong to the job, and End may be beyond a log that lost
	// records.
	to := make(map[transport.Partition]int64, len(w.box.End))
	for p, end := range w.box.End {
		to[p] = min(end, w.job.End[p.Partition])
	}
	err := w.box.each(ctx, w.box.Undecided(), to, func(l *letter.Letter, s State, foreign error) error { return w.see(ctx, l, s, foreign) })
	if err != nil || w.session == nil {
		return err
	}
	return w.commit(ctx, true)
}

// decide returns the new state of a letter.
func (w *walk) decide(l *letter.Letter, s State, foreign error) State {
	if s.done() || !w.job.Filter.Takes(l, s, foreign) {
		return s
	}
	// The filter has the states to which the action applies.
	switch w.job.Action {
	case Skip:
		return Skipped
	case Quarantine:
		return Quarantined
	case Release:
		return Open
	}
	// An event that came back too often is not brought back again: an operator has to look.
	if l.Redeliveries >= w.job.MaxRedeliveries {
		return Quarantined
	}
	return Replayed
}

// see decides about one letter.
func (w *walk) see(ctx context.Context, l *letter.Letter, s State, foreign error) error {
	// Renewed even while no letter is chosen, so that the process does not look dead.
	if w.session != nil && (time.Since(w.renewed) > renewal || w.pending.Sum() > 0 && time.Since(w.since) > maxAge) {
		if err := w.flush(ctx); err != nil {
			return err
		}
	}
	to := w.decide(l, s, foreign)
	if to == s {
		return nil
	}
	if (foreign != nil || !l.Whole()) && to == Replayed {
		// It names neither a group nor an event, or lacks the event. An operator can skip it.
		w.foreign++
		return nil
	}
	if to == Replayed {
		if ok, err := w.reachable(ctx, l); err != nil {
			return err
		} else if !ok {
			w.foreign++
			return nil
		}
		if err := w.await(ctx); err != nil {
			return err
		}
	}
	w.note(l, to)
	if w.session != nil && (len(w.records) >= w.limit || w.bytes >= maxBytes) {
		return w.flush(ctx)
	}
	return nil
}

// await waits for the pace. Meanwhile it flushes in time to renew the lease and to store
// decisions before maxAge.
func (w *walk) await(ctx context.Context) error {
	for {
		most := renewal - time.Since(w.renewed)
		if w.pending.Sum() > 0 {
			most = min(most, maxAge-time.Since(w.since))
		}
		may, err := w.pace.wait(ctx, max(most, 0))
		if may || err != nil {
			return err
		}
		if err := w.flush(ctx); err != nil {
			return err
		}
	}
}

// note adds a decision to the next transaction.
func (w *walk) note(l *letter.Letter, to State) {
	// maxAge counts from the first decision of a transaction.
	if w.pending.Sum() == 0 {
		w.since = time.Now()
	}
	switch to {
	case Replayed:
		w.pending.Replayed++
	case Quarantined:
		w.pending.Quarantined++
	case Skipped:
		w.pending.Skipped++
	case Open:
		w.pending.Released++
	}
	// A dry run only counts.
	if w.session == nil {
		return
	}
	if to == Replayed {
		// The records are kept until the commit, after the letter's memory is reused.
		again := kept(l.Again())
		w.records = append(w.records, again)
		w.bytes += again.Size()
	}
	w.box.ledgers[transport.Partition{Topic: w.box.Topic, Partition: l.Record.Partition}].Mark(l.Record.Offset, to)
}

// flush commits the decisions since the last flush and the job, which renews the lease.
func (w *walk) flush(ctx context.Context) error { return w.commit(ctx, false) }

// commit is like flush; with last it also ends the job.
func (w *walk) commit(ctx context.Context, last bool) error {
	// The job changes only once the transaction is committed.
	next := *w.job
	next.Done.add(w.pending)
	next.Holder.Renewed = time.Now().UTC()
	if last {
		next.Done.Foreign = w.foreign
		next.end(Done, "", "")
	}
	if err := w.session.commit(ctx, w.records, &next); err != nil {
		return err
	}
	*w.job = next
	w.pending, w.records, w.bytes, w.renewed = Tally{}, nil, 0, time.Now()
	if w.progress != nil {
		// Called after the commit, so that Progress only sees what is stored.
		w.progress(next)
	}
	return nil
}

// reachable reports whether the event of a letter may be brought back through the retry topic
// that the letter names. An event keeps its partition number, and so the order of its key. The
// error says why the box's own retry topic can't be used. A topic that only the letter names
// causes no error, so that it does not hold up other letters.
func (w *walk) reachable(ctx context.Context, l *letter.Letter) (bool, error) {
	derived := naming.RetryOf(w.box.Topic)
	if l.Retry != derived {
		// Whatever the header says, an event must not be published again to all groups of its topic,
		// or into a topic that is not for events.
		if l.Retry == "" || l.Retry == l.Origin.Topic || mayNotBeRetry(l.Retry, w.box.Topic) {
			return false, nil
		}
		// Only an event that failed after coming back was read from its retry topic.
		if l.Retry == l.Source.Topic && l.Redeliveries == 0 {
			return false, nil
		}
		switch {
		case slices.Contains(w.job.Through, l.Retry):
		case w.session != nil || len(w.job.Through) == maxThrough:
			return false, nil
		case w.may != nil && !w.may(l.Retry):
			return w.leave(l.Retry)
		default: // a dry run collects them
			w.job.Through = append(w.job.Through, strings.Clone(l.Retry))
		}
	}
	partitions, known := w.targets[l.Retry]
	if !known {
		infos, err := w.box.cluster.Admin().Topics(ctx, l.Retry)
		switch {
		case err != nil:
			return false, err
		case infos[0].Err != nil && l.Retry != derived:
			if !errors.Is(infos[0].Err, transport.ErrTopicMissing) && !errors.Is(infos[0].Err, transport.ErrUnauthorized) {
				return false, fmt.Errorf("topic %s: %w", l.Retry, infos[0].Err)
			}
			infos[0].Partitions = 0
		case errors.Is(infos[0].Err, transport.ErrTopicMissing):
			return false, fmt.Errorf("topic %s, through which letters come back, does not exist: start the service with provisioning, or create it: %w", l.Retry, infos[0].Err)
		case infos[0].Err != nil:
			return false, fmt.Errorf("topic %s: %w", l.Retry, infos[0].Err)
		}
		partitions = infos[0].Partitions
		w.targets[strings.Clone(l.Retry)] = partitions
	}
	need := l.Record.Partition + 1
	if l.Retry == derived {
		need = int32(len(w.box.End)) //nolint:gosec // partitions fit
	}
	// With fewer partitions, a key would come back through another partition than its own.
	switch {
	case partitions >= need:
		if !w.used[l.Retry] {
			w.used[strings.Clone(l.Retry)] = true
		}
		return true, nil
	case l.Retry != derived:
		return w.leave(l.Retry)
	default:
		return false, fmt.Errorf("topic %s has fewer partitions (%d) than %s needs (%d): add some to it: %w", l.Retry, partitions, w.box.Topic, need, transport.ErrTopicMissing)
	}
}

// leave records a retry topic whose letters are left alone. Letters may name any number of
// topics, so the list is bounded.
func (w *walk) leave(topic string) (bool, error) {
	if len(w.alone) < maxThrough {
		w.alone[strings.Clone(topic)] = true
	}
	return false, nil
}

// mayNotBeRetry reports whether a topic is certainly not the retry topic of a box.
func mayNotBeRetry(topic, box string) bool {
	return topic == box || topic == Topic || naming.IsDead(topic) || strings.HasPrefix(topic, "__")
}

// kept returns a copy of a record that shares no memory with it.
func kept(r transport.Record) transport.Record {
	r.Key, r.Value = bytes.Clone(r.Key), bytes.Clone(r.Value)
	r.Headers = slices.Clone(r.Headers)
	for i := range r.Headers {
		r.Headers[i] = transport.Header{Key: strings.Clone(r.Headers[i].Key), Value: bytes.Clone(r.Headers[i].Value)}
	}
	return r
}
