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
)

var stateNames = [...]string{"open", "replayed", "skipped", "quarantined"}

// String returns the state's name in lower case.
func (s State) String() string { return stateNames[s&3] }

// StateOf returns the state with a name, and whether there is one.
func StateOf(name string) (State, bool) {
	i := slices.Index(stateNames[:], name)
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
func (s State) done() bool { return s == Replayed || s == Skipped }
