package declare

import "log/slog"

// Uses lists the topics that a bus uses. It is a snapshot.
type Uses struct {
	// Service and Environment are those of the bus's configuration, Logger is what it logs to.
	Service, Environment string
	Logger               *slog.Logger
	// Topics are in no order.
	Topics []Use
}

// Use is one type of event that a bus publishes or handles.
type Use struct {
	Topic *Topic
	// Published says that the bus has a publisher of the type.
	Published bool
	// Groups are the consumer groups of the bus that handle the topic, in no order.
	Groups []string
	// Letters are of those groups that chose names for the topics of their failures.
	Letters []Letters
}

// Letters are the names that a group chose on a topic, with marks; empty ones are
// derived.
type Letters struct{ Group, DeadLetterTopic, RetryTopic string }
