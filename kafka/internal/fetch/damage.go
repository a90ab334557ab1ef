package fetch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/eventbus-go/eventbus/kafka/internal/batch"
	"github.com/eventbus-go/eventbus/kafka/internal/kerr"
	"github.com/eventbus-go/eventbus/transport"
)

const (
	// unreadableTries is how many times in a row a reader finds a wrong checksum before
	// it ends: the network may have damaged the records on the way. Of what is wrong
	// under a right checksum, once is enough.
	unreadableTries = 3
	// unreadableWait is the longest wait in between, and between two lines in the log.
	unreadableWait = time.Minute
)

// damage is a part of a partition's log that can't be read.
type damage struct {
	fault  *batch.Fault
	tries  int       // in which it was found, in a row
	logged time.Time // zero if it was not yet
}

// unreadable returns the damage as a status shows it and Listener.Skipped gets it.
func (d *damage) unreadable() *transport.Unreadable {
	return &transport.Unreadable{From: d.fault.From, Next: d.fault.Next, Err: d.fault.Err}
}

// unreadable deals with batches that can't be read at p's position. They are fetched
// again, the less often the longer it lasts: if the network damaged them, that helps,
// and if they lie so in the log, nothing may be skipped. A reader ends with the error.
func (f *Fetcher) unreadable(p *partition, err error, now time.Time) {
	// Every error of package batch names the range; another is taken for one record's.
	fault, ok := errors.AsType[*batch.Fault](err)
	if !ok {
		fault = &batch.Fault{From: p.next, Next: p.next + 1, Err: err}
	}
	d := p.damage
	// The same place again is the same damage, whose tries go on counting.
	if d == nil || d.fault.From != fault.From {
		d = &damage{}
	}
	d.fault = fault
	wait := min(250*time.Millisecond<<min(d.tries, 10), unreadableWait)
	d.tries++
	p.damage, p.err = d, fault
	p.notBefore = now.Add(wait)
	if now.Sub(d.logged) >= unreadableWait {
		d.logged = now
		f.log.Error("records can't be read: the partition stops here and nothing is skipped; an operator can pass them over (eventbus dlq skip --group, or Operator.Skip)",
			"partition", p.String(), "from", fault.From, "next", fault.Next, "error", fault.Err)
	}
	// A consumer never gives up: what it skipped would be lost.
	final := d.tries >= unreadableTries || !errors.Is(fault, kerr.CorruptMessage)
	if f.Recreated == nil && final && f.fatal == nil {
		f.fatal = fmt.Errorf("%s: %w", p.Partition, fault)
	}
	Signal(f.ready)
}

// passed forgets the damage once the position is behind its begin: the records could be
// read this time, or an operator has passed them over.
func (p *partition) passed() {
	// p.err goes too, which succeed leaves while the damage stays.
	if p.damage != nil && p.next > p.damage.fault.From {
		p.damage, p.err = nil, nil
	}
}

// errNotUnreadable refuses to pass over records that may be read.
var errNotUnreadable = errors.New("no records that can't be read lie there")

// Pass moves a partition behind what can't be read, up to next. It is part of
// transport.Passer.
func (f *Fetcher) Pass(ctx context.Context, id transport.Partition, next int64) error {
	f.mu.Lock()
	p := f.partitions[id]
	if p == nil || p.revoked || p.damage == nil || p.damage.fault.Next != next {
		f.mu.Unlock()
		return fmt.Errorf("passing over %s up to offset %d: %w", id, next, errNotUnreadable)
	}
	d, from := p.damage, p.next
	f.mu.Unlock()
	// Skipped is called before the position moves, so that nothing of what lies behind is
	// handled first. skip does nothing if the partition has moved or was revoked since.
	f.skip(ctx, p, from, next, d.unreadable())
	f.mu.Lock()
	defer f.mu.Unlock()
	if p.next < next {
		return fmt.Errorf("passing over %s up to offset %d: the partition was given away, or fetched from elsewhere, meanwhile", id, next)
	}
	return nil
}
