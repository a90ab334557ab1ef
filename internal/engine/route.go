package engine

import (
	"time"

	"github.com/eventbus-go/eventbus/resilience"
	"github.com/eventbus-go/eventbus/transport"
)

// Route is where a record goes: to a subscription, or to one of the other ends.
type Route struct {
	Subscription *Subscription // set for Handle
	Order        Order         // of the topic, where there is no Subscription
	End          End
	Reason       string // why it is skipped, held or dead-lettered
	Err          error  // what the dead letter says
	// Topic and Type are set for a type that no subscription here handles: then End
	// is for when no other member of the group handles it either. Topic is the one
	// that the type belongs to, also of a record of its retry topic.
	Topic, Type string

	foreign *foreignType // it is held for another member
}

// skips reports whether the record is passed over as it is taken in.
func (r *Route) skips() bool { return r.End == Skip && r.foreign == nil }

// End is what becomes of a record.
type End int8

// The ends of a route.
const (
	Handle  End = iota
	Skip        // a policy's: counted, never silent
	DeadEnd     // dead-letter it, behind the earlier records of its key
	Hold        // keep it and its key until another member owns the partition
	await       // the same, for as long as another member handles its type
)

// Verdict is what an attempt's error means.
type Verdict struct {
	Kind Kind
	// After, if not zero, replaces the policy's wait before a retry.
	After time.Duration
	// Reason and Stack go into the dead letter.
	Reason string
	Stack  []byte
	// Each gives the error of a batch's record by index, nil if it was
	// handled. A nil Each means that all failed.
	Each func(i int) error
	// Breaker is how the subscription's breaker counts the attempt.
	Breaker resilience.Outcome

	probe bool // it is that of a probe that failed as the attempts before it did
}

// Kind of a verdict.
type Kind int8

// The kinds.
const (
	Retry Kind = iota // by the subscription's policy
	Dead              // dead letter now
	Wait              // try again later without having spent an attempt
)

// Failure is a record on its way to the dead-letter topic.
type Failure struct {
	Record      *transport.Record
	Reason      string
	Err         error
	Stack       []byte
	Attempts    int
	First, Last time.Time
	// Refused is the error of the last attempt to write this dead letter.
	Refused error
}

// Observer receives what happens to records, for metrics, health and tests. Its
// methods are called concurrently and must not block.
type Observer interface {
	Handled(s *Subscription, records []*transport.Record, took time.Duration)
	Failed(s *Subscription, a *Attempt, err error, v Verdict)
	// Parked: f waits before it is tried again.
	Parked(s *Subscription, f *Failure, wait time.Duration)
	Skipped(p transport.Partition, reason string, n int64)
	// Released: the policy was applied to an event that was held for a type that
	// nobody handles any more.
	Released(p transport.Partition, typ string, held time.Duration)
	DeadLettered(f *Failure)
	DeadLetterFailed(f *Failure, err error)
	Committed(p transport.Partition, offset int64)
	CommitFailed(p transport.Partition, err error)
	Assigned(n int)
	Revoked(n int, lost bool)
	Abandoned(n int)
}

// NoObserver does nothing. Embed it to implement a part of Observer.
type NoObserver struct{}

// All of Observer, doing nothing.
func (NoObserver) Handled(*Subscription, []*transport.Record, time.Duration) {}
func (NoObserver) Failed(*Subscription, *Attempt, error, Verdict)            {}
func (NoObserver) Parked(*Subscription, *Failure, time.Duration)             {}
func (NoObserver) Skipped(transport.Partition, string, int64)                {}
func (NoObserver) Released(transport.Partition, string, time.Duration)       {}
func (NoObserver) DeadLettered(*Failure)                                     {}
func (NoObserver) DeadLetterFailed(*Failure, error)                          {}
func (NoObserver) Committed(transport.Partition, int64)                      {}
func (NoObserver) CommitFailed(transport.Partition, error)                   {}
func (NoObserver) Assigned(int)                                              {}
func (NoObserver) Revoked(int, bool)                                         {}
func (NoObserver) Abandoned(int)                                             {}
