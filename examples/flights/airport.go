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

// airport publishes what happens to flights: a row of the source is an event.
type airport struct {
	departed  *eventbus.Publisher[aviation.FlightDeparted]
	cancelled *eventbus.Publisher[aviation.FlightCancelled]
	poisoner  *poisoner

	// ledger has what was acknowledged. It is written after the
	// acknowledgement: a crash in between publishes the row again, with the
	// same id, and the board recognises it.
	ledger *ledger
	done   map[int]bool // rows of the ledger; poison has negative ones

	published atomic.Int64 // flights, those of earlier runs included
	poisoned  atomic.Int64
}

// newAirport reads the ledger in dir, if there is one.
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

func (a *airport) count(row int) {
	if row > 0 {
		a.published.Add(1)
	} else {
		a.poisoned.Add(1)
	}
}

// pending is a row that was published and not acknowledged yet.
type pending struct {
	row     int
	receipt receipt
}

// receipt is eventbus.Receipt, or the one of a poisonous record.
type receipt interface {
	Wait(ctx context.Context) (eventbus.Position, error)
}

// outstanding bounds the rows without an acknowledgement. The bus bounds their
// bytes.
const outstanding = 10_000

// publish publishes the rows that are not in the ledger, in their order, and
// returns when all have been acknowledged or, after ctx has ended, those that
// were handed over by then. patience bounds that last wait.
func (a *airport) publish(ctx, patience context.Context, s *source, total int) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	queue := make(chan pending, outstanding)
	settled := make(chan error, 1)
	go func() {
		err := a.settle(ctx, patience, queue)
		if err != nil {
			cancel(err) // reading on makes no sense
			for range queue {
				continue // the reader may be waiting for room
			}
		}
		settled <- err
	}()
	err := a.read(ctx, s, total, queue)
	close(queue)
	return errors.Join(err, <-settled)
}

// read hands the rows over.
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
		for row := range a.poisoner.due(n, total) {
			if !a.done[row] {
				queue <- pending{row, a.poisoner.send(ctx, row, f)}
			}
		}
	}
	return nil
}

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

// settle waits for the acknowledgements, in order, and keeps the ledger.
func (a *airport) settle(ctx, patience context.Context, queue <-chan pending) error {
	for p := range queue {
		at, err := p.receipt.Wait(patience)
		switch {
		case err == nil:
		case ctx.Err() != nil && !errors.Is(err, eventbus.ErrOutcomeUnknown):
			continue // refused because of the stop: the next run publishes it
		default:
			return errors.Join(fmt.Errorf("row %d: %w", p.row, err), a.ledger.flush())
		}
		if err := a.ledger.write(entry{row: p.row, at: at}); err != nil {
			return err
		}
		a.count(p.row)
		if len(queue) == 0 || p.row < 0 {
			if err := a.ledger.flush(); err != nil {
				return err
			}
		}
	}
	return a.ledger.flush()
}
