// Package inspect lets the test kit look inside a bus without making what it
// sees a promise of the public API.
package inspect

import "github.com/eventbus-go/eventbus/internal/engine"

// Bus is the state of one bus.
type Bus struct {
	// Changing says that the bus is being started, drained or closed at the
	// moment; the rest is empty then.
	Changing bool
	Started  bool // and not drained yet
	Ended    bool // drained or closed
	Groups   []Group
}

// Group is one consumer group of a bus.
type Group struct {
	Name   string
	Topics []string // their full names
	engine.Snapshot
}
