package redrive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/time/rate"

	"github.com/eventbus-go/eventbus/internal/letter"
	"github.com/eventbus-go/eventbus/transport"
)

// Replay is how letters are brought back.
type Replay struct {
	// Filter chooses among the open letters.
	Filter Filter
	// Rate bounds the events per second; 0 does not.
	Rate float64
	// MaxRedeliveries is how often an event may have come back before; one that
	// did goes to quarantine instead. Default 5.
	MaxRedeliveries int
	// DryRun only counts.
	DryRun bool
	// Progress, if not nil, hears after every transaction what was written so far.
	Progress func(Tally)
}

// Tally is what became of letters.
type Tally struct {
	Replayed    int64 `json:"replayed"`
	Quarantined int64 `json:"quarantined"`
	Skipped     int64 `json:"skipped"`
	Released    int64 `json:"released"`
	// Foreign are records of the topic that are no dead letters. They stay open.
	Foreign int64 `json:"foreign"`
}

func (t *Tally) add(o Tally) {
	t.Replayed += o.Replayed
	t.Quarantined += o.Quarantined
	t.Skipped += o.Skipped
	t.Released += o.Released
	t.Foreign += o.Foreign
}

// DefaultMaxRedeliveries is Replay's default.
const DefaultMaxRedeliveries = 5

// Bounds of one transaction. A short one shows progress soon, and keeps readers
// of the retry topic waiting for as short.
const (
	maxEvents = 500
	maxBytes  = 1 << 20
)

// patience is how often, and how long, a replay goes on without getting
// anything written.
const (
	tries = 5
	pause = time.Second
)

// Run brings back, in each partition's order, the letters that were open when
// the box was opened and that the filter takes. Each goes to the retry topic of
// its group, and its ledger says so, in one transaction: however Run ends, what
// is not in the Tally is still open, or will be seen to be replayed by the next
// Run.
//
// A broker that is lost in the middle is waited for. Only one Run per topic is
// at work at a time: the later one wins, the earlier gets an error that is
// transport.ErrFenced.
func (b *Box) Run(ctx context.Context, how Replay) (Tally, error) {
	if how.MaxRedeliveries <= 0 {
		how.MaxRedeliveries = DefaultMaxRedeliveries
	}
	if err := b.target(ctx); err != nil {
		return Tally{}, err
	}
	decide := func(l *letter.Letter, s State) State {
		switch {
		case s != Open || !how.Filter.Takes(l, s):
			return s
		case l.Redeliveries >= how.MaxRedeliveries:
			return Quarantined
		}
		return Replayed
	}
	return b.change(ctx, decide, &how)
}

// Set puts the letters that the filter takes into a state: skipped, quarantined,
// or open again for those in quarantine. Letters that are done stay so.
func (b *Box) Set(ctx context.Context, filter Filter, to State, dryRun bool) (Tally, error) {
	decide := func(l *letter.Letter, s State) State {
		if s.done() || s == to || !filter.Takes(l, s) {
			return s
		}
		return to
	}
	return b.change(ctx, decide, &Replay{DryRun: dryRun})
}

// SetOne is Set for the letter at one place, with an error if there is none.
func (b *Box) SetOne(ctx context.Context, p transport.Partition, offset int64, to State, dryRun bool) (Tally, error) {
	if offset < b.First[p] || offset >= b.End[p] {
		return Tally{}, fmt.Errorf("there is no letter at %s@%d: the log has %d to %d", p, offset, b.First[p], b.End[p])
	}
	if s := b.ledgers[p].State(offset); s.done() {
		return Tally{}, fmt.Errorf("the letter at %s@%d is done with: it was replayed or skipped", p, offset)
	}
	decide := func(l *letter.Letter, s State) State {
		if l.Record.Partition == p.Partition && l.Record.Offset == offset {
			return to
		}
		return s
	}
	return b.change(ctx, decide, &Replay{DryRun: dryRun})
}

// target sees to it that the retry topic is there.
func (b *Box) target(ctx context.Context) error {
	retry := letter.RetryTopic(b.Topic)
	infos, err := b.cluster.Admin().Topics(ctx, retry)
	switch {
	case err != nil:
		return err
	case errors.Is(infos[0].Err, transport.ErrTopicMissing):
		return fmt.Errorf("topic %s, through which letters come back, does not exist: start the service with provisioning, or create it", retry)
	case infos[0].Err != nil:
		return fmt.Errorf("topic %s: %w", retry, infos[0].Err)
	case int(infos[0].Partitions) < len(b.End):
		return fmt.Errorf("topic %s has fewer partitions (%d) than %s (%d): add some to it", retry, infos[0].Partitions, b.Topic, len(b.End))
	}
	return nil
}

// change decides about letters, and goes on after trouble for as long as it
// still gets something done.
func (b *Box) change(ctx context.Context, decide func(*letter.Letter, State) State, how *Replay) (Tally, error) {
	var total Tally
	for failures := 0; ; {
		w := &work{box: b, how: how, decide: decide, before: total}
		err := w.run(ctx)
		total.add(w.written)
		switch {
		case err == nil:
			total.Foreign = w.foreign
			return total, nil
		case ctx.Err() != nil, errors.Is(err, transport.ErrFenced), errors.Is(err, transport.ErrUnauthorized), errors.Is(err, ErrScattered),
			errors.Is(err, transport.ErrTooLarge), errors.Is(err, transport.ErrTopicMissing):
			return total, err
		case w.written != Tally{}:
			failures = 0
		}
		if failures++; failures == tries {
			return total, err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return total, err
		}
	}
}

// work is one walk through the box, up to the first trouble.
type work struct {
	box     *Box
	how     *Replay
	decide  func(*letter.Letter, State) State
	limiter *rate.Limiter

	records []transport.Record
	bytes   int
	changed map[transport.Partition]bool
	before  Tally // of earlier walks
	pending Tally
	written Tally
	foreign int64
	limit   int
	commit  func(context.Context) error
}

func (w *work) run(ctx context.Context) error {
	w.changed = make(map[transport.Partition]bool)
	w.limit = maxEvents
	if w.how.Rate > 0 {
		w.limit = min(maxEvents, max(int(w.how.Rate), 1))
		w.limiter = rate.NewLimiter(rate.Limit(w.how.Rate), w.limit)
	}
	w.commit = func(context.Context) error { return nil }
	if !w.how.DryRun {
		x, err := w.box.transactor(ctx)
		if err != nil {
			return err
		}
		// What the one before left open has ended now: the ledgers are final.
		if err := w.box.reload(ctx); err != nil {
			return err
		}
		if err := w.box.keep(ctx); err != nil {
			return err
		}
		w.commit = func(ctx context.Context) error {
			err := w.box.decide(ctx, x, w.changed, w.records)
			if err != nil && !errors.Is(err, transport.ErrOutcomeUnknown) {
				_ = x.Abort(context.WithoutCancel(ctx))
			}
			return err
		}
	}
	err := w.box.Each(ctx, w.box.Undecided(), func(l *letter.Letter, s State, foreign error) error { return w.see(ctx, l, s, foreign) })
	if err != nil {
		return err
	}
	return w.flush(ctx)
}

func (w *work) see(ctx context.Context, l *letter.Letter, s State, foreign error) error {
	to := w.decide(l, s)
	if to == s {
		return nil
	}
	if foreign != nil && to == Replayed { // nobody knows where it came from
		w.foreign++
		return nil
	}
	switch to {
	case Replayed:
		if w.limiter != nil && !w.how.DryRun {
			if err := w.limiter.Wait(ctx); err != nil {
				return err
			}
		}
		again := kept(l.Again())
		w.records = append(w.records, again)
		w.bytes += again.Size()
		w.pending.Replayed++
	case Quarantined:
		w.pending.Quarantined++
	case Skipped:
		w.pending.Skipped++
	case Open:
		w.pending.Released++
	}
	p := transport.Partition{Topic: w.box.Topic, Partition: l.Record.Partition}
	w.box.ledgers[p].Mark(l.Record.Offset, to)
	w.changed[p] = true
	if len(w.records) >= w.limit || w.bytes >= maxBytes {
		return w.flush(ctx)
	}
	return nil
}

// flush writes what was decided since the last time.
func (w *work) flush(ctx context.Context) error {
	if len(w.changed) == 0 {
		return nil
	}
	if err := w.commit(ctx); err != nil {
		return err
	}
	w.written.add(w.pending)
	w.pending, w.records, w.bytes = Tally{}, nil, 0
	clear(w.changed)
	if w.how.Progress != nil {
		so := w.before
		so.add(w.written)
		w.how.Progress(so)
	}
	if w.how.DryRun {
		return nil
	}
	return w.box.keep(ctx)
}

// kept copies a record out of the memory that it was fetched in.
func kept(r transport.Record) transport.Record {
	r.Key, r.Value = bytes.Clone(r.Key), bytes.Clone(r.Value)
	r.Headers = slices.Clone(r.Headers)
	for i := range r.Headers {
		r.Headers[i].Value = bytes.Clone(r.Headers[i].Value)
	}
	return r
}
