package engine

import (
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

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
