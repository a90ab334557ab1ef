package transport

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"
)

// The classes of failures of a record or a commit. Transports return errors that
// are one of these, by errors.Is, where one fits, with the cause wrapped.
var (
	// ErrClosed: the producer, consumer or transport is closed.
	ErrClosed = errors.New("closed")
	// ErrTopicMissing: the topic, or the partition asked for, does not exist.
	ErrTopicMissing = errors.New("topic does not exist")
	// ErrTooLarge: the record is larger than a batch may be. The error is a
	// *TooLargeError.
	ErrTooLarge = errors.New("record too large")
	// ErrBufferFull: the producer's buffer had no room until the context of Produce
	// ended. Nothing was written. The error is the context's too.
	ErrBufferFull = errors.New("the producer's buffer stayed full")
	// ErrOutcomeUnknown: the record may or may not be in the log.
	ErrOutcomeUnknown = errors.New("outcome unknown")
	// ErrUnauthorized: the cluster refuses this client (credentials or ACLs).
	ErrUnauthorized = errors.New("not authorized")
	// ErrRejected: the broker refuses this record for what it is; trying again
	// gives the same.
	ErrRejected = errors.New("rejected by the broker")
	// ErrFenced: the partition, generation or member is not the caller's any more.
	ErrFenced = errors.New("fenced")
	// ErrMetadataTooLarge: the commit's metadata is longer than the broker
	// takes; the offset was not committed.
	ErrMetadataTooLarge = errors.New("offset metadata too large")
)

// TooLargeError is an ErrTooLarge with both sizes, in bytes. Limit is 0 where
// the broker refused the record and did not say at what size.
type TooLargeError struct {
	Size, Limit int
	// Setting says what to raise, such as "Producer.BatchBytes". It may
	// be empty.
	Setting string
}

// Error names the setting to raise.
func (e *TooLargeError) Error() string {
	switch {
	case e.Limit == 0:
		return fmt.Sprintf("record too large: the broker refuses %d bytes: raise max.message.bytes of the topic", e.Size)
	case e.Setting == "":
		return fmt.Sprintf("record too large: %d bytes, at most %d are allowed", e.Size, e.Limit)
	}
	return fmt.Sprintf("record too large: %d bytes, at most %d are allowed: raise %s", e.Size, e.Limit, e.Setting)
}

// Is makes errors.Is(err, ErrTooLarge) true.
func (e *TooLargeError) Is(target error) bool { return target == ErrTooLarge }

// CommitError names the partitions whose commit failed. All others of the same
// call were stored.
type CommitError struct {
	// Partitions has a non-nil error for each partition whose offset was not stored.
	Partitions map[Partition]error
}

// Error lists the partitions, sorted.
func (e *CommitError) Error() string {
	parts := make([]string, 0, len(e.Partitions))
	failed := slices.Collect(maps.Keys(e.Partitions))
	// Not slices.SortFunc: of that a program links 20 kB for each type.
	sort.Slice(failed, func(i, k int) bool { return failed[i].Compare(failed[k]) < 0 })
	for _, p := range failed {
		parts = append(parts, p.String()+": "+e.Partitions[p].Error())
	}
	return "commit failed for " + strings.Join(parts, ", ")
}

// Unwrap returns the causes, in no order.
func (e *CommitError) Unwrap() []error {
	errs := make([]error, 0, len(e.Partitions))
	for _, err := range e.Partitions {
		errs = append(errs, err)
	}
	return errs
}
