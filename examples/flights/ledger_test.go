package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/examples/flights/contracts/aviation"
)

// What a crash left of a last line does not count, and is in nobody's way.
func TestLedgerTorn(t *testing.T) {
	name := filepath.Join(t.TempDir(), "x.ledger")
	if err := os.WriteFile(name, []byte("1\ttopic\t0\t7\n2\ttopic\t1\t"), 0o600); err != nil {
		t.Fatal(err)
	}
	var known []entry
	l, err := openLedger(name, false, func(e entry) error { known = append(known, e); return nil })
	if err != nil {
		t.Fatal(err)
	}
	if len(known) != 1 || known[0].row != 1 || known[0].at.Offset != 7 || known[0].at.Topic != "topic" {
		t.Errorf("known: %+v", known)
	}
	if err := l.write(entry{row: 3, at: known[0].at, more: []string{"UA"}}); err != nil {
		t.Fatal(err)
	}
	if err := l.close(); err != nil {
		t.Fatal(err)
	}
	if text, _ := os.ReadFile(name); string(text) != "1\ttopic\t0\t7\n3\ttopic\t0\t7\tUA\n" { //nolint:gosec // a test's own file
		t.Errorf("%q", text)
	}
}

func TestLedgerDamaged(t *testing.T) {
	for text, fault := range map[string]string{
		"1\ttopic\t0\n":            "3 fields",
		"one\ttopic\t0\t7\n":       "invalid syntax",
		"1\ttopic\t0\tx\n":         "invalid syntax",
		"1\tt\t0\t7\tUA\t1\n":      "carrier, flight and delay are expected",
		"1\tt\t0\t7\tUA\t1\tno\n":  "invalid syntax",
		"1\tt\t0\t7\tUA\tno\t12\n": "invalid syntax",
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "board.ledger"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := newBoard(dir); err == nil || !strings.Contains(err.Error(), "line 1") || !strings.Contains(err.Error(), fault) {
			t.Errorf("%q: error %v", text, err)
		}
	}
}

// After a crash between the ledger's line and the commit the bus gives an event
// again: it is in the ledger twice, and in the totals once.
func TestBoardRecognisesWhatItHandled(t *testing.T) {
	dir := t.TempDir()
	for run := range 2 {
		b, err := newBoard(dir)
		if err != nil {
			t.Fatal(err)
		}
		e, err := aviation.DepartedTopic.Encode(aviation.FlightDeparted{Carrier: "UA", Flight: 1545, DelayMinutes: new(2)}, eventbus.WithID(aviation.EventID(1)))
		if err != nil {
			t.Fatal(err)
		}
		if err := b.subscriptions()[0].Handle(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		if got := b.tally.of("UA"); got.Flights != 1 || got.DelaySum != 2 || b.repeated != run {
			t.Errorf("run %d: %+v, %d repeated", run, got, b.repeated)
		}
		if err := b.close(); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(rows(t, filepath.Join(dir, "board.ledger"))); n != 2 {
		t.Errorf("%d lines", n)
	}
}

func TestBoardRefusesForeignIDs(t *testing.T) {
	b, err := newBoard("")
	if err != nil {
		t.Fatal(err)
	}
	e, err := aviation.CancelledTopic.Encode(aviation.FlightCancelled{Carrier: "UA", Flight: 1}, eventbus.WithID("x-1"))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.subscriptions()[1].Handle(context.Background(), e); err == nil || !strings.Contains(err.Error(), "not derived from a row") {
		t.Error(err)
	}
}

func TestPoisonComesEvenlyAndOnce(t *testing.T) {
	for _, c := range []struct{ n, total int }{{0, 10}, {1, 1}, {3, 27004}, {7, 5}, {5, 5}} {
		p := poisoner{n: c.n}
		seen := make(map[int]bool)
		for n := 1; n <= c.total; n++ {
			for row := range p.due(n, c.total) {
				if seen[row] || row >= 0 || row < -c.n {
					t.Errorf("%d in %d: row %d", c.n, c.total, row)
				}
				seen[row] = true
			}
		}
		if len(seen) != c.n {
			t.Errorf("%d in %d: %d came", c.n, c.total, len(seen))
		}
	}
}
