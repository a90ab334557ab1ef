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
	// unreadableTries is the number of wrong checksums in a row, at one place, after which a
	// reader ends: the network may have damaged the records on the way. Any other damage ends it
	// at once.
	unreadableTries = 3
	// unreadableWait is the longest wait between two tries, and the shortest time between two
	// log lines.
	unreadableWait = time.Minute
)

// damage is a part of a partition's log that can't be read.
type damage struct {
	fault  *batch.Fault
	tries  int       // that found it, in a row
	logged time.Time // zero if not yet
}

// unreadable returns the damage in the form that a status shows and Listener.Skipped gets.
func (d *damage) unreadable() *transport.Unreadable {
	return &transport.Unreadable{From: d.fault.From, Next: d.fault.Next, Err: d.fault.Err}
}

// unreadable handles batches at p's position that can't be read. They are fetched again, with
// growing waits: that helps if the network damaged them, and nothing may be skipped if the log
// itself is damaged. A reader ends with the error. f.mu is held.
func (f *Fetcher) unreadable(p *partition, err error, now time.Time) {
	// Every error of package batch names its range. Take any other for one record's.
	fault, ok := errors.AsType[*batch.Fault](err)
	if !ok {
		fault = &batch.Fault{From: p.next, Next: p.next + 1, Err: err}
	}
	d := p.damage
	// The same place is the same damage, so its tries go on counting.
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
	// A consumer never gives up: skipped records would be lost.
	final := d.tries >= unreadableTries || !errors.Is(fault, kerr.CorruptMessage)
	if f.Recreated == nil && final && f.fatal == nil {
		f.fatal = fmt.Errorf("%s: %w", p.Partition, fault)
	}
	Signal(f.ready)
}

// passed forgets the damage once the position is past its start: either the records could be
// read this time, or an operator has skipped them.
func (p *partition) passed() {
	// Clear p.err too: succeed keeps it while there is damage.
	if p.damage != nil && p.next > p.damage.fault.From {
		p.damage, p.err = nil, nil
	}
}

// errNotUnreadable is the error of Pass for records that may be readable.
var errNotUnreadable = errors.New("there are no unreadable records at this offset")

// Pass moves a partition past records that can't be read, to next. It implements
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
	// Skipped is called before the position moves, so that no later record is handled first.
	// skip does nothing if the partition has moved or was revoked since.
	f.skip(ctx, p, from, next, d.unreadable())
	f.mu.Lock()
	defer f.mu.Unlock()
	if p.next < next {
		return fmt.Errorf("passing over %s up to offset %d: the partition was given away, or fetched from elsewhere, meanwhile", id, next)
	}
	return nil
}
