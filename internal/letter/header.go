// Package letter knows the form of dead letters and of events that came back: the
// headers beside those that the record came with. The bus writes them, the tool
// reads them.
package letter

// Headers of a dead letter, beside everything that the record came with. Times
// are RFC 3339, numbers decimal.
const (
	Prefix       = "eventbus-dlq-"
	Reason       = Prefix + "reason"
	Error        = Prefix + "error"
	Stack        = Prefix + "stack"
	Topic        = Prefix + "topic"
	Partition    = Prefix + "partition"
	Offset       = Prefix + "offset"
	Time         = Prefix + "time"
	Group        = Prefix + "group"
	Attempts     = Prefix + "attempts"
	FirstFailure = Prefix + "first-failure"
	LastFailure  = Prefix + "last-failure"
)

// Headers of a redelivered event: how often it came back, and where it was first
// read. They stay with it through every hop.
const (
	Redeliveries    = "eventbus-redeliveries"
	OriginTopic     = "eventbus-origin-topic"
	OriginPartition = "eventbus-origin-partition"
	OriginOffset    = "eventbus-origin-offset"
)

// Suffixes of the topics of a group, {topic}.{group} before them.
const (
	DeadSuffix  = ".dlq"
	RetrySuffix = ".retry"
)
