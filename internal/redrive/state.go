package redrive

import (
	"fmt"
	"slices"
)

// State is the decision about a dead letter.
type State uint8

// The states. A letter without a decision is Open. The numbers are stored, two
// bits each.
const (
	Open        State = iota
	Replayed          // brought back to its group
	Skipped           // passed on for good
	Quarantined       // kept out of replays until it is released
	Decided           // replayed or skipped, for letters before the ledger's base, where it isn't kept which; never stored
)

var stateNames = [...]string{"open", "replayed", "skipped", "quarantined", "replayed or skipped"}

// String returns the state's name in lower case.
func (s State) String() string { return stateNames[min(s, Decided)] }

// StateOf returns the state of a name, and reports whether there is one that can be
// stored.
func StateOf(name string) (State, bool) {
	i := slices.Index(stateNames[:Decided], name)
	return State(max(i, 0)), i >= 0 //nolint:gosec // one of four
}

// MarshalText returns String.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText accepts what MarshalText returns.
func (s *State) UnmarshalText(text []byte) error {
	is, ok := StateOf(string(text))
	if !ok {
		return fmt.Errorf("there is no state %q", text)
	}
	*s = is
	return nil
}

// done reports whether a letter is finished: it was brought back, or never will
// be.
func (s State) done() bool { return s == Replayed || s == Skipped || s == Decided }

// Is reports whether a letter in state s may also be in state other: a Decided one may be
// Replayed or Skipped.
func (s State) Is(other State) bool { return s == other || s == Decided && other.done() }
