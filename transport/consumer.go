package transport

import (
	"context"
	"log/slog"
	"time"
)

// Consumer is one member of a consumer group. Poll belongs to one goroutine;
// the other methods are safe for concurrent use.
//
// Heartbeats go on by themselves, whatever the caller does: a caller that stops
// polling stops fetching, and stays in the group.
type Consumer interface {
	// Poll waits for fetched records and returns them, at most one Batch per
	// partition. Batches of one partition come in offset order, each where
	// the one before ended. It never returns a batch of a partition whose
	// Revoked or Lost has been called. It returns ctx.Err() when ctx ends and
	// ErrClosed after Close; every other trouble (brokers down, leaders
	// moving, group rebalancing) is waited out inside, and seen in Status.
	Poll(ctx context.Context) ([]Batch, error)
	// Pause stops fetching and returning those partitions until Resume; what
	// was fetched already is kept. Partitions that are not assigned are
	// ignored, and an assignment starts unpaused.
	Pause(partitions ...Partition)
	Resume(partitions ...Partition)
	// Commit stores offsets for the group, under the member's current
	// generation. A commit whose Epoch is not the partition's current
	// assignment epoch is refused with ErrFenced. The error is nil when all
	// were stored, else a CommitError that names the partitions that were not.
	Commit(ctx context.Context, commits ...Commit) error
	// Alive tells whether the group still counts this member in: the last
	// acknowledged heartbeat is younger than the session timeout. Nothing
	// should be dispatched while it is false.
	Alive() bool
	// Status is for health and metrics.
	Status() ConsumerStatus
	// Close calls Revoked for what is assigned, leaves the group (a static
	// member stays in it) and ends fetching, within ctx. Goroutines of the
	// consumer have ended when it returns.
	Close(ctx context.Context) error
}

// Listener hears what the group assigns to a member. Its methods are called one
// at a time, on a goroutine of the consumer's; heartbeats go on meanwhile.
type Listener interface {
	// Assigned adds partitions. Poll returns nothing of them before Assigned
	// has returned.
	Assigned(assigned []Assignment)
	// Revoked is called while the partitions are still this member's: it
	// finishes or abandons what runs, may Commit, and returns. ctx ends when
	// the group can't wait any longer.
	Revoked(ctx context.Context, revoked []Partition)
	// Lost is called when the partitions are no longer this member's (the
	// session ended, the member was fenced): nothing of them can be committed.
	Lost(lost []Partition)
	// Skipped tells that the position of a partition moved from one offset to
	// another without delivering what lay between, and why (retention removed
	// it, the log was truncated, the topic was created anew).
	// Poll returns nothing from the new position before Skipped has returned.
	Skipped(p Partition, from, to int64, reason error)
}

// ConsumerConfig configures a member of a group.
type ConsumerConfig struct {
	Group    string
	Topics   []TopicStart
	Listener Listener
	// InstanceID makes the member static (KIP-345): it keeps its partitions
	// over a restart shorter than the session timeout.
	InstanceID string
	// SessionTimeout is how long the group waits for a silent member. Default 45 s.
	SessionTimeout time.Duration
	// HeartbeatInterval. Default 3 s, at most a third of SessionTimeout.
	HeartbeatInterval time.Duration
	// RebalanceTimeout bounds Revoked. Default 60 s.
	RebalanceTimeout time.Duration
	// FetchBytes bounds what is fetched and not yet polled. Default 16 MiB.
	FetchBytes int
	// ReadUncommitted also delivers records of open and aborted transactions.
	ReadUncommitted bool
	// Logger; nil discards.
	Logger *slog.Logger
}

// TopicStart is a topic of a subscription and where a group that has no commit
// on it starts.
//
// The start applies once per topic: to all its partitions, resolved and
// committed together when the group has no commit on any of them. Partitions
// that appear later start at 0.
type TopicStart struct {
	Topic string
	Start Start
	// OutOfRange is what to do when the committed offset lies beyond the
	// log's end. (One before the log's start always moves to the start.)
	OutOfRange OutOfRange
}

// Start is a place in a log: the earliest record, the end, or a time.
type Start struct {
	kind int8
	at   time.Time
}

// Earliest is the zero Start: the oldest record that the log has.
func Earliest() Start { return Start{} }

// Latest is the end of the log: what is written from now on.
func Latest() Start { return Start{kind: 1} }

// At is the first record whose timestamp is not before t.
func At(t time.Time) Start { return Start{kind: 2, at: t} }

// IsLatest tells whether s is Latest.
func (s Start) IsLatest() bool { return s.kind == 1 }

// Time returns the time of At.
func (s Start) Time() (time.Time, bool) { return s.at, s.kind == 2 }

// String is "earliest", "latest" or the time in RFC 3339.
func (s Start) String() string {
	switch s.kind {
	case 1:
		return "latest"
	case 2:
		return s.at.Format(time.RFC3339Nano)
	}
	return "earliest"
}

// OutOfRange is a policy for committed offsets beyond the log's end.
type OutOfRange int8

// The policies. The move is never silent: the Listener's Skipped hears of it.
const (
	ToEarliest OutOfRange = iota
	ToLatest
	StayOutOfRange // fetch nothing of the partition, report it in Status
)

// Assignment is one partition given to the member.
type Assignment struct {
	Partition
	// Epoch identifies this stretch of ownership. It changes when the
	// partition is revoked or lost and comes back, never otherwise, and grows
	// within one consumer.
	Epoch uint64
	// Offset is where fetching starts: the committed offset, or the resolved
	// start of a group that has none.
	Offset int64
	// Metadata is what was committed with Offset, empty if nothing was.
	Metadata    string
	LeaderEpoch int32 // committed with Offset, −1 if unknown
	TopicID     TopicID
	ClusterID   string
	// Partitions is how many the topic has now.
	Partitions int32
}

// Batch is what was fetched of one partition: the records of the span
// [From, Next), without those that compaction removed, control records and
// records of aborted transactions. Records may be empty.
type Batch struct {
	Partition
	Epoch   uint64
	From    int64
	Next    int64
	Records []Record
	// LastStable is the last stable offset (the end for read_committed
	// readers), HighWatermark the end of what is replicated; −1 if unknown.
	LastStable    int64
	HighWatermark int64
	// Release gives the memory that the records, their keys, values and headers
	// lie in back to the consumer. Nil if they own it. Called at most once, when
	// nothing refers to them any more.
	Release func()
}

// Commit is one partition's committed offset: the next to be read.
type Commit struct {
	Partition
	Epoch       uint64
	Offset      int64
	LeaderEpoch int32 // −1 if unknown
	Metadata    string
}

// ConsumerStatus is a snapshot of a member's state.
type ConsumerStatus struct {
	Joined        bool
	State         string // "joining", "stable", "rebalancing", "closed"
	MemberID      string
	Generation    int32
	LastHeartbeat time.Time // last acknowledged
	Rebalances    int64
	LastError     error // the last trouble, nil once the next request succeeded
	Partitions    []PartitionStatus
}

// PartitionStatus is a snapshot of one assigned partition.
type PartitionStatus struct {
	Partition
	Next          int64 // next offset to fetch
	LastStable    int64 // −1 if unknown
	HighWatermark int64
	LastFetch     time.Time // last successful fetch response, empty ones too
	Paused        bool
	Err           error
}
