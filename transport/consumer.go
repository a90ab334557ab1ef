package transport

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
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
	// ErrClosed after Close; every other failure (brokers down, leaders
	// moving, group rebalancing) is waited out inside and shown by Status.
	//
	// The batches and all memory they refer to are the caller's until it calls
	// their Release.
	Poll(ctx context.Context) ([]Batch, error)
	// Pause stops fetching and returning those partitions until Resume; what
	// was fetched already is kept. Partitions that are not assigned are
	// ignored, and an assignment starts unpaused.
	Pause(partitions ...Partition)
	// Resume undoes Pause. Partitions that are not paused are ignored.
	Resume(partitions ...Partition)
	// Commit stores offsets for the group, under the member's current
	// generation. A commit whose Epoch is not the partition's current
	// assignment epoch is refused with ErrFenced. The error is nil when all
	// were stored, else a *CommitError that names the partitions that were not, or
	// ctx.Err(), after which each may or may not be stored. No commits: nil.
	Commit(ctx context.Context, commits ...Commit) error
	// Alive reports whether the group still counts this member in: the last
	// acknowledged heartbeat is younger than the session timeout. While it is
	// false another member may own the partitions, so nothing should be
	// dispatched.
	Alive() bool
	// TypeState returns what this member knows of the handlers that the group's members
	// have for a type of event on a topic, by their ConsumerConfig.Types. It never
	// waits, and may be called under any lock of the caller's. What it says of a
	// partition that is assigned is at least as new as the assignment.
	TypeState(topic, typ string) TypeState
	// Status returns a snapshot for health checks and metrics. The caller owns it.
	Status() ConsumerStatus
	// Close calls Revoked for the assigned partitions, leaves the group (a static
	// member stays in it) and ends fetching. Goroutines of the consumer have ended
	// when it returns nil. When ctx ends first it returns an error that is ctx.Err():
	// Revoked's context has then ended too. Further calls wait for the first.
	// Batches that were not released stay valid.
	Close(ctx context.Context) error
}

// Listener receives the changes of a member's assignment. Its methods are called one
// at a time, on a goroutine of the consumer's, while heartbeats go on. The
// slices that they are given are theirs to keep.
type Listener interface {
	// Assigned adds partitions. Poll returns nothing of them before Assigned
	// has returned, so the caller can set up its state for them first.
	Assigned(assigned []Assignment)
	// Revoked is called while the partitions are still this member's: it
	// finishes or abandons what runs, may Commit, and returns. ctx ends when
	// the group can't wait any longer.
	Revoked(ctx context.Context, revoked []Partition)
	// Lost is called when the partitions are no longer this member's (the
	// session ended, the member was fenced): nothing of them can be committed.
	Lost(lost []Partition)
	// Skipped is called when the position of a partition moved from one offset to
	// another without delivering the records between them. reason, never nil, says
	// why: retention removed them, the log was truncated, the topic was deleted
	// and created again, or, as an *Unreadable, an operator passed over what can't be read.
	// Poll returns nothing from the new position before Skipped has returned.
	Skipped(p Partition, from, to int64, reason error)
}

// ConsumerConfig configures a member of a group. Group, Topics and Listener are
// required; every other zero value is a safe default ([ConsumerConfig.WithDefaults]).
type ConsumerConfig struct {
	// Group is the consumer group's id. Members of one id share its partitions.
	Group string
	// Topics lists the subscribed topics, each once. A topic that does not exist yet
	// is picked up when it is created.
	Topics []TopicStart
	// Listener receives assignments. Its methods may be called before NewConsumer
	// has returned.
	Listener Listener
	// InstanceID makes the member static (KIP-345): it keeps its partitions
	// over a restart shorter than the session timeout. Empty: a dynamic member.
	InstanceID string
	// SessionTimeout is how long the group waits for a silent member before it gives
	// its partitions to others. Default 45 s. In Kafka's protocol of KIP-848 the brokers
	// have the group's, and this one is unused unless they refuse to name it: then the
	// lesser of this and 45 s is assumed.
	SessionTimeout time.Duration
	// HeartbeatInterval is the time between two heartbeats, at most a third of
	// SessionTimeout. Default 3 s, or that third.
	HeartbeatInterval time.Duration
	// RebalanceTimeout bounds the Listener's Revoked. Default 60 s.
	RebalanceTimeout time.Duration
	// FetchBytes bounds the records that are fetched and not yet returned by Poll,
	// as Record.Size counts. One record above the bound still passes. Default 16 MiB.
	FetchBytes int
	// Types lists the types of events that the member handles, by topic. The members
	// of a group tell each other theirs: TypeState. "*" stands for all types of its
	// topic. Nil handles none.
	Types map[string][]string
	// ReadUncommitted also delivers records of open and aborted transactions.
	ReadUncommitted bool
	// Logger receives diagnostics that no caller is there to be told. Nil discards them.
	Logger *slog.Logger
}

// TypeState is what a member knows of the handlers of a type of event in its group.
// Members of other libraries tell nothing, and count as handling nothing.
type TypeState struct {
	// Known is false while the member is finding out: ask again soon. The other fields
	// are then zero.
	Known bool
	// Live reports whether a member of the group handles the type now, with or without
	// a partition.
	Live bool
	// Left is when the last member that handled the type was noticed to have left the
	// group; zero while Live, and if no handler is remembered.
	Left time.Time
}

// TopicStart is a topic of a subscription and where a group that has no commit
// on it starts.
//
// The start applies once per topic: to all its partitions, resolved and
// committed together when the group has no commit on any of them. Partitions
// that appear later start at 0.
type TopicStart struct {
	// Topic is the topic's full name.
	Topic string
	// Start is the position of a group without a commit. The zero value is Earliest.
	Start Start
	// OutOfRange is what to do when the committed offset lies beyond the
	// log's end. (One before the log's start always moves to the start.)
	OutOfRange OutOfRange
	// CompanionOf names another of the Topics, which makes this one its companion: the
	// group does not spread a companion's partitions, and they weigh nothing. The member
	// that owns partition n of the other topic is assigned partition n of the companion
	// too, and of a companion with more partitions each further one modulo the other
	// topic's. Offsets of companions are committed in the same group. While a member
	// of the group subscribes to the companion itself, as any topic, it is that
	// member's alone. Empty: a topic of its own.
	CompanionOf string
}

// Start is a position in a log: the earliest record, the end, or a time. The zero
// value is Earliest.
type Start struct {
	kind int8
	at   time.Time
}

// Earliest returns the zero Start: the oldest record that the log holds.
func Earliest() Start { return Start{} }

// Latest returns the end of the log: only records written from now on.
func Latest() Start { return Start{kind: 1} }

// At returns the position of the first record whose timestamp is not before t, or the
// end of the log if there is none.
func At(t time.Time) Start { return Start{kind: 2, at: t} }

// IsLatest reports whether s is Latest.
func (s Start) IsLatest() bool { return s.kind == 1 }

// Time returns the time that At was given, and false for any other Start.
func (s Start) Time() (time.Time, bool) { return s.at, s.kind == 2 }

// String returns "earliest", "latest" or the time in RFC 3339.
func (s Start) String() string {
	switch s.kind {
	case 1:
		return "latest"
	case 2:
		return s.at.Format(time.RFC3339Nano)
	}
	return "earliest"
}

// OutOfRange is a policy for committed offsets beyond the log's end. The zero value,
// ToEarliest, loses nothing and may repeat.
type OutOfRange int8

// The policies. A move is never silent: the Listener's Skipped is called for it.
const (
	// ToEarliest moves to the oldest record of the log.
	ToEarliest OutOfRange = iota
	// ToLatest moves to the end of the log.
	ToLatest
	// StayOutOfRange fetches nothing of the partition and reports it in Status.
	StayOutOfRange
)

// String returns "to earliest", "to latest" or "stay", or the number of a value that
// is none of these.
func (o OutOfRange) String() string {
	switch o {
	case ToEarliest:
		return "to earliest"
	case ToLatest:
		return "to latest"
	case StayOutOfRange:
		return "stay"
	}
	return "policy " + strconv.Itoa(int(o))
}

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
	Metadata string
	// LeaderEpoch was committed with Offset; −1 if unknown.
	LeaderEpoch int32
	// TopicID tells a topic that was created again from the one before it; zero if
	// the cluster has no topic ids.
	TopicID TopicID
	// ClusterID is the cluster's id; empty if it has none.
	ClusterID string
	// Partitions is how many partitions the topic has now. Keys hash differently
	// once that number grows.
	Partitions int32
}

// Batch is what was fetched of one partition: the records of the span
// [From, Next), without those that compaction removed, control records and
// records of aborted transactions. Records may be empty.
type Batch struct {
	Partition
	// Epoch is that of the assignment that the batch belongs to; 0 from a Reader.
	Epoch uint64
	// From is the offset where the batch before this one ended, Next where this one
	// ends: all offsets of the span are done with once the records are.
	From, Next int64
	// Records are in offset order.
	Records []Record
	// LastStable is the last stable offset, which is the end for readers of committed
	// records; −1 if unknown.
	LastStable int64
	// HighWatermark is the end of the replicated log; −1 if unknown.
	HighWatermark int64
	// Release returns the memory of the records, their keys, values, header keys and
	// header values to the consumer, which overwrites it with other records. Clone
	// whatever is needed longer. Call it at most once, from any goroutine. Nil if the
	// caller owns the memory.
	Release func()
}

// Commit is one partition's committed offset.
type Commit struct {
	Partition
	// Epoch is that of the assignment; another one is refused. Committed leaves it 0.
	Epoch uint64
	// Offset is the next offset to be read, not the last one that was.
	Offset int64
	// LeaderEpoch is that of the record before Offset, by which a truncated log is
	// recognised; −1 if unknown.
	LeaderEpoch int32
	// Metadata is stored with Offset and returned by the next Assignment. Brokers
	// bound it, usually at 4096 characters: ErrMetadataTooLarge. A transport may store
	// notes of its own behind it, which no Assignment shows.
	Metadata string
}

// ConsumerStatus is a snapshot of a member's state.
type ConsumerStatus struct {
	// Joined reports whether the group counts this member in.
	Joined bool
	// State is "joining", "stable", "rebalancing" or "closed". A member that has yet to
	// begin a partition that it was assigned is "rebalancing".
	State string
	// MemberID is the id that the coordinator knows this member by; empty before it joined.
	MemberID string
	// Generation is the group's generation, or the member epoch of KIP-848.
	Generation int32
	// LastHeartbeat is when the last heartbeat was acknowledged; zero if none was.
	LastHeartbeat time.Time
	// Rebalances counts the rebalances that this member took part in.
	Rebalances int64
	// LastError is why the member is not in the group, or does not read all that it was
	// assigned; nil if neither is so. It stays until its cause is over.
	LastError error
	// Partitions lists the assigned partitions, sorted by Compare.
	Partitions []PartitionStatus
	// Unread lists the partitions of companions, sorted by Compare, that have records
	// which nobody reads: the partitions that they go with belong to members that are
	// not known to read companions, such as those of other libraries. Every member of
	// this library lists them, some seconds late.
	Unread []UnreadPartition
}

// UnreadPartition is a partition of a companion that nobody reads.
type UnreadPartition struct {
	Partition
	// Member is the client id of the member that owns the partition that it goes with.
	Member string
	// Records counts the offsets between the group's commit and the log's end.
	Records int64
}

// PartitionStatus is a snapshot of one assigned partition.
type PartitionStatus struct {
	Partition
	// Next is the next offset to fetch.
	Next int64
	// LastStable and HighWatermark are as in Batch; −1 if unknown.
	LastStable, HighWatermark int64
	// LastFetch is when the last successful fetch response came, an empty one
	// included; zero if none did.
	LastFetch time.Time
	// Paused reports whether Pause is in force.
	Paused bool
	// Err is why nothing is fetched, nil if all is well.
	Err error
	// Unreadable, if not nil, is the part of the log from Next on that Err concerns:
	// records that can't be read, and that are not skipped either unless an operator
	// says so.
	Unreadable *Unreadable
}

// Unreadable is a part of a partition's log that can't be read: in a message format from
// before Kafka 0.11, damaged, or compressed so that it takes more memory than allowed.
type Unreadable struct {
	// From and Next bound the offsets, [From, Next).
	From, Next int64
	// Err is the cause.
	Err error
}

// Error names the offsets and the cause.
func (u *Unreadable) Error() string {
	return fmt.Sprintf("offsets %d to %d can't be read: %v", u.From, u.Next-1, u.Err)
}

// Unwrap returns the cause.
func (u *Unreadable) Unwrap() error { return u.Err }

// Passer is implemented by consumers that can pass over what can't be read.
type Passer interface {
	// Pass moves an assigned partition behind the part of its log that Status reports
	// as Unreadable, up to next, which must be Unreadable.Next. Listener.Skipped is
	// called before it returns nil. It is safe for concurrent use.
	Pass(ctx context.Context, p Partition, next int64) error
}
