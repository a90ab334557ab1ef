package engine

import (
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

// Observer is told what happens to records, for metrics, health and tests. Its methods are
// called concurrently and must not block.
type Observer interface {
	// Handled: an attempt at these records succeeded. took is the handler's time. The records
	// are borrowed until the method returns, as elsewhere in this package.
	Handled(s *Subscription, records []*transport.Record, took time.Duration)
	// Failed: an attempt failed with err, and v says what follows.
	Failed(s *Subscription, a *Attempt, err error, v Verdict)
	// Parked: f waits before it is tried again.
	Parked(s *Subscription, f *Failure, wait time.Duration)
	// Skipped: n offsets were skipped, without a handler, for a reason.
	Skipped(p transport.Partition, reason string, n int64)
	// Released: the policy was applied to an event held for a type that nobody handles any more.
	Released(p transport.Partition, typ string, held time.Duration)
	// Discarded: f was finished without a dead letter, as its error's verdict says.
	Discarded(f *Failure)
	// DeadLettered: the dead letter was acknowledged, and the record is finished.
	DeadLettered(f *Failure)
	// DeadLetterFailed: the dead letter was not written. The key waits, and the write is retried.
	DeadLetterFailed(f *Failure, err error)
	// Committed: everything below offset is finished, and the cluster has stored that.
	Committed(p transport.Partition, offset int64)
	// CommitFailed: progress was not stored, or stored progress could not be read. What was
	// finished since may run again after a crash.
	CommitFailed(p transport.Partition, err error)
	// Assigned: n partitions were assigned.
	Assigned(n int)
	// Revoked: n partitions have gone: drained, or lost.
	Revoked(n int, lost bool)
	// Abandoned: a drain cut off n attempts, which will run again elsewhere.
	Abandoned(n int)
}

// NoObserver does nothing. Embed it to implement part of Observer.
type NoObserver struct{}

// The methods of Observer, doing nothing.
func (NoObserver) Handled(*Subscription, []*transport.Record, time.Duration) {}
func (NoObserver) Failed(*Subscription, *Attempt, error, Verdict)            {}
func (NoObserver) Parked(*Subscription, *Failure, time.Duration)             {}
func (NoObserver) Skipped(transport.Partition, string, int64)                {}
func (NoObserver) Released(transport.Partition, string, time.Duration)       {}
func (NoObserver) Discarded(*Failure)                                        {}
func (NoObserver) DeadLettered(*Failure)                                     {}
func (NoObserver) DeadLetterFailed(*Failure, error)                          {}
func (NoObserver) Committed(transport.Partition, int64)                      {}
func (NoObserver) CommitFailed(transport.Partition, error)                   {}
func (NoObserver) Assigned(int)                                              {}
func (NoObserver) Revoked(int, bool)                                         {}
func (NoObserver) Abandoned(int)                                             {}
