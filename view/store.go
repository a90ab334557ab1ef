package view

import (
	"context"
	"time"
)

// Store keeps the tables of one view. The view calls it from one goroutine, and its
// tables' Get and Range from many.
type Store interface {
	// Current returns the table that was promoted last, and its name; nil and "" if
	// there is none.
	Current(ctx context.Context) (Table, string, error)
	// Create returns a new and empty table. One of that name that exists is emptied.
	Create(ctx context.Context, name string) (Table, error)
	// Promote makes a table the current one, durably, and removes all others, except
	// those that Get or Range are still reading.
	Promote(ctx context.Context, name string) error
}

// Table is a map from a key of the topic to the record that a view keeps for it.
// Get and Range are safe for concurrent use, also with Apply.
type Table interface {
	// Apply applies changes of one partition and stores its Mark with them: after a
	// crash the table has both or neither. The keys of changes are borrowed; the table
	// may keep their records.
	Apply(ctx context.Context, partition int32, changes []Change, mark Mark) error
	// Get returns the record of a key and whether there is one. The caller must not
	// change the record.
	Get(ctx context.Context, key []byte) (record []byte, found bool, err error)
	// Range calls f with every key and record, in any order, until f returns an error,
	// and returns that error. The slices are borrowed. Range may or may not see changes
	// made meanwhile.
	Range(ctx context.Context, f func(key, record []byte) error) error
	// Marks returns the marks of all partitions that Apply was called for.
	Marks(ctx context.Context) (map[int32]Mark, error)
	// Size returns how many keys the table has and how many bytes it takes. It does no
	// I/O.
	Size() (keys, bytes int64)
}

// Change is a new record of a key. A nil Record removes the key.
type Change struct {
	Key    []byte
	Record []byte
}

// Mark says how far a table has come in one partition.
type Mark struct {
	// Next is the offset after the last applied record.
	Next int64
	// Time is when it was applied.
	Time time.Time
}
