package transport

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"time"
)

// Consumer is one member of a consumer group. Poll must be called by one goroutine at a
// time; the other methods are safe for concurrent use.
//
// Heartbeats do not depend on the caller: a caller that stops polling stops fetching, and
// stays in the group.
type Consumer interface {
	// Poll waits for fetched records and returns them, at most one Batch per partition.
	// Batches of one partition come in offset order, each starting where the one before
	// ended. Poll never returns a batch of a partition for which Revoked or Lost has been
	// called. It returns ctx.Err() when ctx ends, and ErrClosed after Close. It retries
	// every other failure (brokers down, leaders moving, the group rebalancing), which
	// Status shows.
	//
	// The caller owns the batches and all memory they refer to until it calls their
	// Release.
	Poll(ctx context.Context) ([]Batch, error)
	// Pause stops fetching and returning the partitions until Resume. Fetched records are
	// kept. Partitions that are not assigned are ignored. An assignment starts unpaused.
	Pause(partitions ...Partition)
	// Resume undoes Pause. Partitions that are not paused are ignored.
	Resume(partitions ...Partition)
	// Commit stores offsets for the group, under the member's current generation. A commit
	// whose Epoch is not the partition's current assignment epoch fails with ErrFenced. The
	// error is nil if all offsets were stored; a *CommitError that names the partitions
	// whose offsets were not; or ctx.Err(), and then each offset may or may not be stored.
	// Without commits it returns nil.
	Commit(ctx context.Context, commits ...Commit) error
	// Alive reports whether the group still counts this member in, that is, whether the
	// last acknowledged heartbeat is younger than the session timeout. While it returns
	// false another member may own the partitions, so nothing should be dispatched.
	Alive() bool
	// TypeState returns what this member knows about the handlers that the group's members
	// have for a type of event on a topic, by their ConsumerConfig.Types. It never waits,
	// and may be called with any of the caller's locks held. For an assigned partition the
	// result is at least as recent as the assignment.
	TypeState(topic, typ string) TypeState
	// Status returns a snapshot for health checks and metrics. The caller owns it.
	Status() ConsumerStatus
	// Close calls Revoked for the assigned partitions, leaves the group (a static member
	// stays in it) and stops fetching. If it returns nil, all goroutines of the consumer
	// have ended. If ctx ends first it returns an error that is ctx.Err(); Revoked's context
	// has ended by then too. Further calls wait for the first. Unreleased batches stay
	// valid.
	Close(ctx context.Context) error
}

// Listener receives the changes of a member's assignment. The consumer calls its methods
// one at a time, on a goroutine of its own; heartbeats continue meanwhile. A method may keep
// the slice that it is given.
type Listener interface {
	// Assigned adds partitions. Poll returns none of their records before Assigned has
	// returned, so the caller can set up its state first.
	Assigned(assigned []Assignment)
	// Revoked is called while the member still owns the partitions. It finishes or abandons
	// running work, may Commit, and returns. ctx ends when the group can't wait any longer.
	Revoked(ctx context.Context, revoked []Partition)
	// Lost is called when the member no longer owns the partitions (the session ended, the
	// member was fenced). Their offsets can't be committed any more.
	Lost(lost []Partition)
	// Skipped is called when the position of a partition moved from one offset to another
	// without delivering the records between them. reason, never nil, says why: retention
	// removed them, the log was truncated, the topic was deleted and created again, or, as
	// an *Unreadable, an operator passed over records that can't be read. Poll returns
	// nothing from the new position before Skipped has returned.
	Skipped(p Partition, from, to int64, reason error)
}

// ConsumerConfig configures a member of a group. Group, Topics and Listener are required. The
// zero value of every other field is a safe default ([ConsumerConfig.WithDefaults]).
type ConsumerConfig struct {
	// Group is the consumer group's id. The members of a group share its partitions.
	Group string
	// Topics lists the subscribed topics, each once. A topic that does not exist yet is
	// picked up once it is created.
	Topics []TopicStart
	// Listener receives assignments. Its methods may be called before NewConsumer
	// has returned.
	Listener Listener
	// InstanceID makes the member static (KIP-345): it keeps its partitions across a restart
	// shorter than the session timeout. Empty means a dynamic member.
	InstanceID string
	// SessionTimeout is how long the group waits for a silent member before giving its
	// partitions to others. Default 45 s. With the protocol of KIP-848 the brokers set the
	// group's timeout, and this one is unused unless they refuse to tell it: then the
	// smaller of this and 45 s is assumed.
	SessionTimeout time.Duration
	// HeartbeatInterval is the time between two heartbeats, at most a third of
	// SessionTimeout. Default 3 s, or that third if it is less.
	HeartbeatInterval time.Duration
	// RebalanceTimeout bounds Listener.Revoked. Default 60 s.
	RebalanceTimeout time.Duration
	// FetchBytes bounds the records fetched and not yet returned by Poll, in bytes of
	// Record.Size. A single larger record still passes. Default 16 MiB.
	FetchBytes int
	// Types lists, by topic, the types of events that the member handles. Members of a group
	// tell each other theirs; see TypeState. "*" stands for all types of the topic. Nil
	// means none.
	Types map[string][]string
	// ReadUncommitted also delivers records of open and aborted transactions.
	ReadUncommitted bool
	// Logger receives diagnostics that can't be returned to a caller. Nil discards them.
	Logger *slog.Logger
}

// TypeState is what a member knows about the handlers of a type of event in its group.
// Members of other libraries tell nothing, and count as handling nothing.
type TypeState struct {
	// Known is false until the member has found out: ask again soon. The other fields are
	// then zero.
	Known bool
	// Live reports whether a member of the group handles the type now, with or without a
	// partition.
	Live bool
	// Left is when the last member that handled the type was noticed to have left. It is
	// zero if Live is set or if no such member is remembered.
	Left time.Time
}

// TopicStart is a subscribed topic, and where a group without commits on it starts.
//
// The start applies once per topic. If the group has no commit on any partition, it is
// resolved and committed for all of them together. Partitions added later start at 0.
type TopicStart struct {
	// Topic is the topic's full name.
	Topic string
	// Start is the starting position of a group without commits. The zero value is Earliest.
	Start Start
	// OutOfRange says what to do if the committed offset is beyond the end of the log. (An
	// offset before the start of the log always moves to the start.)
	OutOfRange OutOfRange
	// CompanionOf names another of the Topics and makes this topic its companion. The group
	// does not spread a companion's partitions, and they have no weight. The member that
	// owns partition n of the other topic is also assigned partition n of the companion; if
	// the companion has more partitions, the numbers wrap around. Offsets of companions are
	// committed in the same group. While a member subscribes to the companion as an
	// ordinary topic, its partitions belong to that member alone. Empty means an ordinary
	// topic.
	CompanionOf string
}

// Start is a position in a log: the oldest record, the end, or a time. The zero value is
// Earliest.
type Start struct {
	kind int8
	at   time.Time
}

// Earliest returns the zero Start: the oldest record in the log.
func Earliest() Start { return Start{} }

// Latest returns the end of the log: only records written from now on are read.
func Latest() Start { return Start{kind: 1} }

// At returns the position of the first record whose timestamp is not before t, or the end of
// the log if there is none.
func At(t time.Time) Start { return Start{kind: 2, at: t} }

// IsLatest reports whether s is Latest.
func (s Start) IsLatest() bool { return s.kind == 1 }

// Time returns the time passed to At, and false for any other Start.
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

// OutOfRange is the policy for committed offsets beyond the end of the log. The zero value,
// ToEarliest, loses nothing and may repeat records.
type OutOfRange int8

// The policies. A move is never silent: Listener.Skipped is called for it.
const (
	// ToEarliest moves to the oldest record in the log.
	ToEarliest OutOfRange = iota
	// ToLatest moves to the end of the log.
	ToLatest
	// StayOutOfRange stops fetching the partition and reports it in Status.
	StayOutOfRange
)

// String returns "to earliest", "to latest" or "stay", or the number of any other value.
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

// Assignment is one partition assigned to the member.
type Assignment struct {
	Partition
	// Epoch identifies this period of ownership. It changes only if the partition is revoked
	// or lost and comes back, and grows within one consumer.
	Epoch uint64
	// Offset is where fetching starts: the committed offset, or the resolved start if the
	// group has none.
	Offset int64
	// Metadata is what was committed with Offset; empty if nothing was.
	Metadata string
	// LeaderEpoch was committed with Offset; −1 if unknown.
	LeaderEpoch int32
	// TopicID distinguishes a topic that was created again from the one before it; zero if
	// the cluster has no topic ids.
	TopicID TopicID
	// ClusterID is the cluster's id; empty if it has none.
	ClusterID string
	// Partitions is the topic's current number of partitions. Keys hash differently once it
	// grows.
	Partitions int32
}

// Batch is a fetched part of one partition: the records of the span [From, Next), except
// control records, records of aborted transactions and those removed by compaction. Records
// may be empty.
type Batch struct {
	Partition
	// Epoch is the assignment's; 0 from a Reader.
	Epoch uint64
	// From is the offset at which the previous batch ended, Next the one at which this batch
	// ends. Once the records are finished, so are all offsets of the span.
	From, Next int64
	// Records are in offset order.
	Records []Record
	// LastStable is the last stable offset, the end of the log for readers of committed
	// records; −1 if unknown.
	LastStable int64
	// HighWatermark is the end of the replicated log; −1 if unknown.
	HighWatermark int64
	// Release returns the memory of the records, including keys, values and headers, to the
	// consumer, which overwrites it with other records. Clone what is needed longer. Call it
	// at most once, from any goroutine. Nil if the caller owns the memory.
	Release func()
}

// Commit is one partition's committed offset.
type Commit struct {
	Partition
	// Epoch is the assignment's; any other is refused. Committed leaves it 0.
	Epoch uint64
	// Offset is the next offset to read, not the last one that was read.
	Offset int64
	// LeaderEpoch is that of the record before Offset. It serves to detect a truncated log;
	// −1 if unknown.
	LeaderEpoch int32
	// Metadata is stored with Offset and returned by the next Assignment. Brokers bound it,
	// usually to 4096 characters: ErrMetadataTooLarge. A transport may append notes of its
	// own, which no Assignment shows.
	Metadata string
}

// ConsumerStatus is a snapshot of a member's state.
type ConsumerStatus struct {
	// Joined reports whether the group counts this member in.
	Joined bool
	// State is "joining", "stable", "rebalancing" or "closed". A member that has not yet
	// begun an assigned partition is "rebalancing".
	State string
	// MemberID is the member's id at the coordinator; empty before it has joined.
	MemberID string
	// Generation is the group's generation, or the member epoch of KIP-848.
	Generation int32
	// LastHeartbeat is when the last heartbeat was acknowledged; zero if none was.
	LastHeartbeat time.Time
	// Rebalances counts the rebalances that this member took part in.
	Rebalances int64
	// LastError is why the member is not in the group, or does not read all of its
	// partitions; nil if it is and does. It stays until the cause is gone.
	LastError error
	// Partitions lists the assigned partitions, sorted by Compare.
	Partitions []PartitionStatus
	// Unread lists, sorted by Compare, the companions' partitions with records that nobody
	// reads, because the partitions they belong to are owned by members not known to read
	// companions, such as those of other libraries. Every member of this library lists them,
	// with a delay of some seconds.
	Unread []UnreadPartition
}

// UnreadPartition is a partition of a companion that nobody reads.
type UnreadPartition struct {
	Partition
	// Member is the client id of the member that owns the corresponding partition.
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
	// LastFetch is when the last successful fetch response arrived, even an empty one; zero
	// if none did.
	LastFetch time.Time
	// Paused reports whether the partition is paused.
	Paused bool
	// Err is why nothing is fetched; nil if all is well.
	Err error
	// Unreadable, if not nil, is the part of the log from Next on that Err concerns. Its
	// records can't be read, and are skipped only on an operator's order.
	Unreadable *Unreadable
}

// Unreadable is a part of a partition's log that can't be read: it is in a message format
// from before Kafka 0.11, damaged, or decompresses to more memory than allowed.
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

// Passer is implemented by consumers that can pass over records that can't be read.
type Passer interface {
	// Pass moves an assigned partition behind the part of its log that Status reports as
	// Unreadable, to next, which must be Unreadable.Next. It calls Listener.Skipped before it
	// returns nil. It is safe for concurrent use.
	Pass(ctx context.Context, p Partition, next int64) error
}
