// Package inspect lets the test kit look inside a bus without making its state part
// of the public API.
package inspect

import "github.com/eventbus-go/eventbus/internal/engine"

// Bus is the state of one bus.
type Bus struct {
	// Changing reports whether the bus is just being started, drained or closed;
	// the other fields are then empty.
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
