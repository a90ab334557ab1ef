// Package letter defines the form of dead letters and of redelivered events: the headers
// in addition to the record's own. The bus writes them, the tool reads them.
package letter

// Headers of a dead letter, in addition to the record's own. Times are RFC 3339, numbers
// decimal.
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
	// HeaderCount is how many headers the record has in its log, of which the first are
	// in the letter, and Bytes its size there. Letters of records that were too large to
	// be read have them, as a transport.Excess says. Missing is "value" if that is not in
	// the letter either.
	HeaderCount = Prefix + "header-count"
	Bytes       = Prefix + "bytes"
	Missing     = Prefix + "missing"
	// Retry is the topic through which the letter is redelivered, if names were chosen.
	// Without it the retry topic follows from the name of the dead-letter topic.
	Retry = Prefix + "retry-topic"
)

// MissingValue is the value of the header Missing.
const MissingValue = "value"

// Headers of a redelivered event: how often it came back, and where it was first
// read. They stay with it through every hop.
const (
	Redeliveries    = "eventbus-redeliveries"
	OriginTopic     = "eventbus-origin-topic"
	OriginPartition = "eventbus-origin-partition"
	OriginOffset    = "eventbus-origin-offset"
	// OriginTime is the timestamp of the record there, in RFC 3339. Redeliveries by
	// versions before it lack it.
	OriginTime = "eventbus-origin-time"
	// RedeliveryGroup is the group that it came back to: with chosen names, the groups of
	// a topic may share a retry topic. Without the header it is for all of them.
	RedeliveryGroup = "eventbus-redelivery-group"
)
