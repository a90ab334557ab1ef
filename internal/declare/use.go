package declare

import "log/slog"

// Uses lists the topics that a bus uses. It is a snapshot.
type Uses struct {
	// Service and Environment are from the bus's configuration; Logger is the bus's logger.
	Service, Environment string
	Logger               *slog.Logger
	// Topics are in no order.
	Topics []Use
}

// Use is one type of event that a bus publishes or handles.
type Use struct {
	Topic *Topic
	// Published reports whether the bus has a publisher of the type.
	Published bool
	// Groups are the consumer groups of the bus that handle the topic, in no order.
	Groups []string
	// Letters lists the groups that chose names for their dead-letter and retry topics.
	Letters []Letters
}

// Letters are the names that a group chose on a topic, with marks; empty ones are
// derived.
type Letters struct{ Group, DeadLetterTopic, RetryTopic string }
