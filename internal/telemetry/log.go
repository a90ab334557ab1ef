package telemetry

// Names of the fields of log records. LogEvent finds all records about one event
// within one cluster; LogTrace and LogCorrelation find them across services. The
// names do not change within a major version: queries and alerts use them.
const (
	LogCluster     = "cluster"
	LogGroup       = "group"
	LogTopic       = "topic"
	LogPartition   = "partition"
	LogOffset      = "offset"
	LogEvent       = "event_id"
	LogEventType   = "event_type"
	LogCorrelation = "correlation_id"
	LogCausation   = "causation_id"
	LogTrace       = "trace_id"
	LogSpan        = "span_id"
	LogAttempt     = "attempt"
	LogAttempts    = "attempts"
	LogEvents      = "events" // of a batch
	LogKeyed       = "keyed"  // whether the event has a key, which may name a person
	LogReason      = "reason"
	LogWait        = "wait"
	LogTook        = "took"
	LogSuppressed  = "suppressed" // records like this one that were not logged
	LogError       = "error"
)
