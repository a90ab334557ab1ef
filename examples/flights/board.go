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

// board is a delay board: it handles what happens to flights, and keeps totals
// per carrier. What it knows it knows from events alone.
type board struct {
	mu     sync.Mutex
	tally  *tally
	ledger *ledger
	seen   map[int]bool       // rows
	last   map[flightName]int // row that was handled last
	// repeated counts events that were handled before: after a crash at most,
	// never after a clean stop. They are in the ledger, and not in the totals.
	repeated int
	// disordered counts events that came after a later one of their flight.
	disordered int
	changed    chan struct{} // has a token when an event was handled
}

// flightName is what the order of events holds for.
type flightName struct {
	carrier string
	number  int
}

// newBoard takes the totals from the ledger in dir, if there is one.
func newBoard(dir string) (*board, error) {
	b := &board{
		tally: newTally(), seen: make(map[int]bool), last: make(map[flightName]int),
		changed: make(chan struct{}, 1),
	}
	if dir == "" {
		return b, nil
	}
	var err error
	b.ledger, err = openLedger(filepath.Join(dir, "board.ledger"), false, func(e entry) error {
		s, err := sightingOf(e)
		if err == nil {
			b.count(s)
		}
		return err
	})
	return b, err
}

// subscriptions are what the board handles.
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

// handle writes the ledger first: an event whose line is there and that the bus
// gives again, since the process died in between, shows as repeated.
func (b *board) handle(ctx context.Context, s sighting) error {
	e, ok := eventbus.EnvelopeFrom(ctx)
	if !ok {
		return errors.New("not called by the bus")
	}
	row, err := aviation.RowOf(e.ID)
	if err != nil {
		return eventbus.Permanent(err)
	}
	s.row = row
	line := s.entry()
	line.at.Topic, line.at.Partition.Partition, line.at.Offset = e.Topic, e.Partition, e.Offset
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.ledger.write(line); err != nil {
		return err
	}
	b.count(s)
	select {
	case b.changed <- struct{}{}:
	default:
	}
	return nil
}

// count takes a sighting into the totals. The caller holds mu.
func (b *board) count(s sighting) {
	if b.seen[s.row] {
		b.repeated++
		return
	}
	b.seen[s.row] = true
	if b.last[s.flightName] > s.row {
		b.disordered++
	}
	b.last[s.flightName] = max(s.row, b.last[s.flightName])
	b.tally.add(s.carrier, s.departed, s.delay)
}

func (b *board) handled() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.seen)
}

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

// How the ledger says what became of a flight: minutes of delay, or one of these.
const (
	lineCancelled = "cancelled"
	lineDeparted  = "departed" // with a delay that is not known
)

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
