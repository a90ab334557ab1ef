package redrive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/eventbus-go/eventbus/internal/letter"
	"github.com/eventbus-go/eventbus/transport"
)

// Walk says which letters to bring back, and how.
type Walk struct {
	Filter          Filter
	Rate            float64
	MaxRedeliveries int
	DryRun          bool
	Progress        func(Tally)
}

func (t *Tally) add(o Tally) {
	t.Replayed += o.Replayed
	t.Quarantined += o.Quarantined
	t.Skipped += o.Skipped
	t.Released += o.Released
	t.Foreign += o.Foreign
}

// Bounds of one transaction. Readers of the retry topic wait for its end, and
// progress is shown at it, so a short one is better; a still shorter one would
// spend its time on commits.
const (
	maxEvents = 500
	maxBytes  = 1 << 20
)

// A walk that fails is tried again after a pause, up to this many times in a
// row without committing anything.
const (
	tries = 5
	pause = time.Second
)

// Run brings back, in the order of each partition, the letters that were open
// when the box was opened and that the filter takes. It writes each to the
// retry topic of its group and records that in the ledger, in one transaction.
// So however Run ends, a letter that is not in the Tally is either still open,
// or the next Run will see that it was replayed.
//
// Run waits for a broker that is lost meanwhile. One Run per topic works at a
// time: a second one fences the first, which returns an error that is
// transport.ErrFenced.
func (b *Box) Run(ctx context.Context, how Walk) (Tally, error) {
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

// Set puts the open or quarantined letters that the filter takes into a state:
// skipped, quarantined, or open. Letters that are done stay so.
func (b *Box) Set(ctx context.Context, filter Filter, to State, dryRun bool) (Tally, error) {
	decide := func(l *letter.Letter, s State) State {
		if s.done() || s == to || !filter.Takes(l, s) {
			return s
		}
		return to
	}
	return b.change(ctx, decide, &Walk{DryRun: dryRun})
}

// SetOne does what Set does, for the letter at one place. It is an error if
// there is none, or if it is done.
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
	return b.change(ctx, decide, &Walk{DryRun: dryRun})
}

// target checks that the retry topic exists and has a partition for every one
// of the box. An event keeps its partition number, and with it the order of its
// key.
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

// change walks through the box until a walk succeeds, and puts each letter into
// the state that decide returns. It gives up on errors that a repetition does
// not help against, and after several walks that committed nothing.
func (b *Box) change(ctx context.Context, decide func(*letter.Letter, State) State, how *Walk) (Tally, error) {
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

// work is one walk through the box, up to its first error.
type work struct {
	box     *Box
	how     *Walk
	decide  func(*letter.Letter, State) State
	limiter pace

	// The open transaction: records to write, their size, and the partitions
	// whose ledgers have changed.
	records []transport.Record
	bytes   int
	changed map[transport.Partition]bool
	// before is what earlier walks committed, written what this one did,
	// pending what the open transaction would.
	before  Tally
	pending Tally
	written Tally
	foreign int64
	// limit is the number of events after which the transaction is committed.
	// With a rate it holds one second's worth at most.
	limit  int
	commit func(context.Context) error
}

// run makes the walk.
func (w *work) run(ctx context.Context) error {
	w.changed = make(map[transport.Partition]bool)
	w.limit = maxEvents
	if w.how.Rate > 0 {
		w.limit = min(maxEvents, max(int(w.how.Rate), 1))
		w.limiter = newPace(w.how.Rate, w.limit)
	}
	w.commit = func(context.Context) error { return nil }
	if !w.how.DryRun {
		x, err := w.box.transactor(ctx)
		if err != nil {
			return err
		}
		// Making the transactor has ended the transaction that a fenced or
		// crashed process left open: the ledgers are final now.
		if err := w.box.reload(ctx); err != nil {
			return err
		}
		if err := w.box.keep(ctx); err != nil {
			return err
		}
		w.commit = func(ctx context.Context) error {
			err := w.box.decide(ctx, x, w.changed, w.records)
			if err != nil && !errors.Is(err, transport.ErrOutcomeUnknown) {
				// With an unknown outcome the transaction may be committed:
				// then the next walk reads from the ledgers what happened.
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

// see decides about one letter.
func (w *work) see(ctx context.Context, l *letter.Letter, s State, foreign error) error {
	to := w.decide(l, s)
	if to == s {
		return nil
	}
	if (foreign != nil || !l.Whole()) && to == Replayed {
		// It names neither a group nor an event to bring back, or lacks the event. An
		// operator can skip it.
		w.foreign++
		return nil
	}
	switch to {
	case Replayed:
		if !w.how.DryRun {
			if _, err := w.limiter.wait(ctx, time.Hour); err != nil {
				return err
			}
		}
		// The records stay until the commit, beyond the letter's own life.
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

// flush commits what was decided since the last flush, and then copies the
// ledgers.
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

// kept returns a copy of a record that does not refer to the memory that it was
// fetched into.
func kept(r transport.Record) transport.Record {
	r.Key, r.Value = bytes.Clone(r.Key), bytes.Clone(r.Value)
	r.Headers = slices.Clone(r.Headers)
	for i := range r.Headers {
		r.Headers[i].Value = bytes.Clone(r.Headers[i].Value)
	}
	return r
}
