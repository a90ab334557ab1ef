package telemetry

// Fields of log records. An event's story is found by LogEvent within one
// cluster, and by LogTrace and LogCorrelation across services.
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
	LogReason      = "reason"
	LogWait        = "wait"
	LogTook        = "took"
	LogSuppressed  = "suppressed" // records like this one that were not logged
	LogError       = "error"
)
