package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/examples/flights/contracts/aviation"
)

// board is a delay board: it handles the events of flights and keeps totals per
// carrier. Everything it knows comes from events.
type board struct {
	// mu guards the fields below: handlers of different flights run at the same
	// time.
	mu     sync.Mutex
	tally  *tally
	ledger *ledger
	// seen holds the rows that were handled; last holds, for each flight, the
	// highest of them.
	seen map[int]bool
	last map[flightName]int
	// repeated counts events that had been handled before. That happens after a
	// crash, and never after a clean stop. They are in the ledger and not in
	// the totals.
	repeated int
	// disordered counts events that came after a later one of the same flight.
	// The bus promises that there are none.
	disordered int
	// changed holds a token when an event has been handled since it was last
	// read.
	changed chan struct{}
}

// flightName is the key of events, within which they are in order.
type flightName struct {
	carrier string
	number  int
}

// newBoard returns a board that continues with the totals in dir's ledger.
func newBoard(dir string) (*board, error) {
	b := &board{
		tally: newTally(), seen: make(map[int]bool), last: make(map[flightName]int),
		changed: make(chan struct{}, 1),
	}
	if dir == "" {
		return b, nil
	}
	var err error
	// Without a buffer: the line has to be in the file before the bus commits. No
	// handler runs yet, so count needs no lock.
	b.ledger, err = openLedger(filepath.Join(dir, "board.ledger"), false, func(e entry) error {
		s, err := sightingOf(e)
		if err == nil {
			b.count(s)
		}
		return err
	})
	return b, err
}

// subscriptions returns what the board handles. Both topics are one Kafka
// topic: a departure and a cancellation of the same flight stay in order.
func (b *board) subscriptions() []eventbus.Subscription {
	return []eventbus.Subscription{
		eventbus.On(aviation.DepartedTopic, b.onDeparted),
		eventbus.On(aviation.CancelledTopic, b.onCancelled),
	}
}

func (b *board) onDeparted(ctx context.Context, e aviation.FlightDeparted) error {
	return b.handle(ctx, sighting{flightName: flightName{e.Carrier, e.Flight}, departed: true, delay: e.DelayMinutes})
}

func (b *board) onCancelled(ctx context.Context, e aviation.FlightCancelled) error {
	return b.handle(ctx, sighting{flightName: flightName{e.Carrier, e.Flight}})
}

// handle writes the ledger before it counts. If the process dies after that and
// before the commit, the bus delivers the event again, and the line shows that
// it is repeated.
func (b *board) handle(ctx context.Context, s sighting) error {
	e, ok := eventbus.EnvelopeFrom(ctx)
	if !ok {
		return errors.New("not called by the bus")
	}
	row, err := aviation.RowOf(e.ID)
	if err != nil {
		// No attempt will make the id any better: straight to the dead letters.
		return eventbus.Permanent(err)
	}
	s.row = row
	line := s.entry()
	line.at.Topic, line.at.Partition.Partition, line.at.Offset = e.Topic, e.Partition, e.Offset
	b.mu.Lock()
	defer b.mu.Unlock()
	// The event was not counted, so the bus may try again.
	if err := b.ledger.write(line); err != nil {
		return err
	}
	b.count(s)
	// The channel has room for one token: more would say nothing new.
	select {
	case b.changed <- struct{}{}:
	default:
	}
	return nil
}

// count adds a sighting to the totals, unless it is a repetition. The caller
// holds mu.
func (b *board) count(s sighting) {
	if b.seen[s.row] {
		b.repeated++
		return
	}
	b.seen[s.row] = true
	// The airport publishes the rows of a flight in their order.
	if b.last[s.flightName] > s.row {
		b.disordered++
	}
	b.last[s.flightName] = max(s.row, b.last[s.flightName])
	b.tally.add(s.carrier, s.departed, s.delay)
}

// handled returns how many different events have been handled.
func (b *board) handled() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.seen)
}

// close closes the ledger, after the bus. It takes mu, since a handler that was given
// up may still run.
func (b *board) close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ledger.close()
}

// sighting is what the board keeps of an event.
type sighting struct {
	flightName
	row      int
	departed bool
	delay    *int
}

// The last field of a ledger line: the delay in minutes, or one of these words.
const (
	lineCancelled = "cancelled"
	lineDeparted  = "departed" // with a delay that is not known
)

// entry returns the sighting as a line of the ledger, without its place in the
// log.
func (s *sighting) entry() entry {
	fate := lineCancelled
	switch {
	case s.departed && s.delay != nil:
		fate = strconv.Itoa(*s.delay)
	case s.departed:
		fate = lineDeparted
	}
	return entry{row: s.row, more: []string{s.carrier, strconv.Itoa(s.number), fate}}
}

// sightingOf reads what entry wrote.
func sightingOf(e entry) (s sighting, err error) {
	if len(e.more) != 3 {
		return s, fmt.Errorf("%d fields follow the offset: carrier, flight and delay are expected", len(e.more))
	}
	s.row, s.carrier = e.row, e.more[0]
	if s.number, err = strconv.Atoi(e.more[1]); err != nil {
		return s, err
	}
	switch fate := e.more[2]; fate {
	case lineCancelled:
	case lineDeparted:
		s.departed = true
	default:
		delay, err := strconv.Atoi(fate)
		if err != nil {
			return s, err
		}
		s.departed, s.delay = true, &delay
	}
	return s, nil
}
