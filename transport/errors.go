package transport

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"
)

// Classes of failures of a record or a commit. If one fits, a transport returns an error that
// is it, by errors.Is, and that wraps the cause.
var (
	// ErrClosed: the producer, consumer or transport is closed.
	ErrClosed = errors.New("closed")
	// ErrTopicMissing: the topic, or the given partition, does not exist.
	ErrTopicMissing = errors.New("topic does not exist")
	// ErrTooLarge: the record is larger than a batch may be. The error is a
	// *TooLargeError.
	ErrTooLarge = errors.New("record too large")
	// ErrBufferFull: the producer's buffer had no room before Produce's context ended.
	// Nothing was written. The error is also the context's.
	ErrBufferFull = errors.New("the producer's buffer stayed full")
	// ErrOutcomeUnknown: the record may or may not be in the log.
	ErrOutcomeUnknown = errors.New("outcome unknown")
	// ErrUnauthorized: the cluster refuses this client (credentials or ACLs).
	ErrUnauthorized = errors.New("not authorized")
	// ErrRejected: the broker refuses this record's content; a retry would fail too.
	ErrRejected = errors.New("rejected by the broker")
	// ErrFenced: the caller no longer owns the partition, generation or member.
	ErrFenced = errors.New("fenced")
	// ErrMetadataTooLarge: the commit's metadata is longer than the broker accepts. The
	// offset was not committed.
	ErrMetadataTooLarge = errors.New("offset metadata too large")
)

// TooLargeError is an ErrTooLarge with both sizes, in bytes. Limit is 0 if the broker refused
// the record without saying at what size.
type TooLargeError struct {
	Size, Limit int
	// Setting is the setting to raise, such as "Producer.BatchBytes". It may be empty.
	Setting string
}

// Error returns both sizes and names the setting to raise.
func (e *TooLargeError) Error() string {
	switch {
	case e.Limit == 0:
		return fmt.Sprintf("record too large: the broker refuses %d bytes: raise max.message.bytes of the topic", e.Size)
	case e.Setting == "":
		return fmt.Sprintf("record too large: %d bytes, at most %d are allowed", e.Size, e.Limit)
	}
	return fmt.Sprintf("record too large: %d bytes, at most %d are allowed: raise %s", e.Size, e.Limit, e.Setting)
}

// Is reports whether target is ErrTooLarge.
func (e *TooLargeError) Is(target error) bool { return target == ErrTooLarge }

// CommitError names the partitions whose offsets were not stored. All others of the call
// were.
type CommitError struct {
	// Partitions has a non-nil error for each of these partitions.
	Partitions map[Partition]error
}

// Error lists the partitions, sorted.
func (e *CommitError) Error() string {
	parts := make([]string, 0, len(e.Partitions))
	failed := slices.Collect(maps.Keys(e.Partitions))
	// Not slices.SortFunc: a program links 20 kB of it for each type.
	sort.Slice(failed, func(i, k int) bool { return failed[i].Compare(failed[k]) < 0 })
	for _, p := range failed {
		parts = append(parts, p.String()+": "+e.Partitions[p].Error())
	}
	return "commit failed for " + strings.Join(parts, ", ")
}

// Unwrap returns the causes, in unspecified order.
func (e *CommitError) Unwrap() []error {
	errs := make([]error, 0, len(e.Partitions))
	for _, err := range e.Partitions {
		errs = append(errs, err)
	}
	return errs
}
