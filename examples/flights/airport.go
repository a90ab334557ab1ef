package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/examples/flights/contracts/aviation"
)

// airport publishes what happens to flights: each row of the source is one
// event.
type airport struct {
	departed  *eventbus.Publisher[aviation.FlightDeparted]
	cancelled *eventbus.Publisher[aviation.FlightCancelled]
	poisoner  *poisoner

	// ledger lists the rows that the cluster has acknowledged. A line is
	// written after the acknowledgement: if the process dies in between, the
	// row is published again with the same event id, and the board recognises
	// it.
	ledger *ledger
	// done holds the rows in the ledger of earlier runs. Malformed records have
	// negative numbers.
	done map[int]bool

	// published and poisoned count acknowledged flights and malformed records,
	// those of earlier runs included. The progress bar reads them meanwhile.
	published atomic.Int64
	poisoned  atomic.Int64
}

// newAirport returns an airport that continues from the ledger in dir. With an
// empty dir nothing is kept.
func newAirport(bus *eventbus.Bus, poisoner *poisoner, dir string) (*airport, error) {
	a := &airport{
		departed:  eventbus.NewPublisher(bus, aviation.DepartedTopic),
		cancelled: eventbus.NewPublisher(bus, aviation.CancelledTopic),
		poisoner:  poisoner,
		done:      make(map[int]bool),
	}
	if dir == "" {
		return a, nil
	}
	var err error
	a.ledger, err = openLedger(filepath.Join(dir, "airport.ledger"), true, func(e entry) error {
		if a.done[e.row] {
			return nil
		}
		a.done[e.row] = true
		a.count(e.row)
		return nil
	})
	return a, err
}

// count counts an acknowledged row.
func (a *airport) count(row int) {
	if row > 0 {
		a.published.Add(1)
	} else {
		a.poisoned.Add(1)
	}
}

// pending is a row that was published and is not acknowledged yet.
type pending struct {
	row     int
	receipt receipt
}

// receipt is an eventbus.Receipt, or that of a malformed record, which goes
// through a plain producer.
type receipt interface {
	Wait(ctx context.Context) (eventbus.Position, error)
}

// outstanding bounds how many rows wait for an acknowledgement. The bus bounds
// their bytes by itself; this bounds what the ledger may be behind.
const outstanding = 10_000

// publish publishes, in order, the rows that are not in the ledger. It returns
// when all have been acknowledged. If ctx ends before, it stops reading and
// waits for the rows that were handed over by then, until patience ends.
func (a *airport) publish(ctx, patience context.Context, s *source, total int) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	queue := make(chan pending, outstanding)
	acknowledged := make(chan error, 1)
	go func() {
		err := a.acknowledge(ctx, patience, queue)
		if err != nil {
			// One failure ends the reading too. read may be blocked on a full
			// queue, which has to be drained for it to see that.
			cancel(err)
			for range queue {
				// It was refused because the run stops: the next run publishes
				// it.
				continue
			}
		}
		acknowledged <- err
	}()
	err := a.read(ctx, s, total, queue)
	close(queue)
	return errors.Join(err, <-acknowledged)
}

// read publishes the rows without waiting, and passes their receipts on in
// order.
func (a *airport) read(ctx context.Context, s *source, total int, queue chan<- pending) error {
	n := 0
	for f, err := range s.flights() {
		switch {
		case err != nil:
			return err
		case ctx.Err() != nil:
			return nil
		}
		if !a.done[f.row] {
			queue <- pending{f.row, a.send(ctx, f)}
		}
		n++
		// A malformed record takes the key of the flight before it, so that it
		// arrives amid that flight's events.
		for row := range a.poisoner.due(n, total) {
			if !a.done[row] {
				queue <- pending{row, a.poisoner.send(ctx, row, f)}
			}
		}
	}
	return nil
}

// send publishes one row. The id is derived from the row, so a row that is
// published twice is the same event twice.
func (a *airport) send(ctx context.Context, f flight) eventbus.Receipt {
	id := eventbus.WithID(aviation.EventID(f.row))
	if !f.departed {
		return a.cancelled.PublishAsync(ctx, aviation.FlightCancelled{
			Carrier: f.carrier, Flight: f.number, Origin: f.origin, Destination: f.destination, Scheduled: f.scheduled,
		}, id)
	}
	return a.departed.PublishAsync(ctx, aviation.FlightDeparted{
		Carrier: f.carrier, Flight: f.number, Tail: f.tail, Origin: f.origin, Destination: f.destination,
		Scheduled: f.scheduled, DelayMinutes: f.delay,
	}, id)
}

// acknowledge waits for the receipts in order and writes the ledger.
func (a *airport) acknowledge(ctx, patience context.Context, queue <-chan pending) error {
	for p := range queue {
		at, err := p.receipt.Wait(patience)
		switch {
		case err == nil:
		// The bus refused it because the run stops: the next run publishes it.
		case ctx.Err() != nil && !errors.Is(err, eventbus.ErrOutcomeUnknown):
			continue
		default:
			return errors.Join(fmt.Errorf("row %d: %w", p.row, err), a.ledger.flush())
		}
		if err := a.ledger.write(entry{row: p.row, at: at}); err != nil {
			return err
		}
		a.count(p.row)
		// While more receipts are ready the buffer collects them: one write for
		// many lines.
		// A malformed record has no event id by which the board could recognise it as
		// repeated, so its line does not wait.
		if len(queue) == 0 || p.row < 0 {
			if err := a.ledger.flush(); err != nil {
				return err
			}
		}
	}
	return a.ledger.flush()
}
