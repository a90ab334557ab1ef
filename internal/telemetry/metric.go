package telemetry

import (
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
)

// Metric describes one metric as it is exported. Unit is a UCUM code, as
// OpenTelemetry requires: "s", "By", or a noun in braces for a count.
type Metric struct {
	Name, Unit, Description string
}

// Metrics of the conventions. The descriptions are theirs.
var (
	OperationDuration = Metric{"messaging.client.operation.duration", "s", "Duration of messaging operation initiated by a producer or consumer client."}
	SentMessages      = Metric{"messaging.client.sent.messages", "{message}", "Number of messages producer attempted to send to the broker."}
	ConsumedMessages  = Metric{"messaging.client.consumed.messages", "{message}", "Number of messages that were delivered to the application."}
	ProcessDuration   = Metric{"messaging.process.duration", "s", "Duration of processing operation."}
)

// Metrics of our own.
var (
	PendingEvents = Metric{"eventbus.publish.pending.count", "{event}", "Events handed to the producer whose outcome is not known yet."}
	PendingSize   = Metric{"eventbus.publish.pending.size", "By", "Size of the events handed to the producer whose outcome is not known yet."}
	Refused       = Metric{"eventbus.publish.refused", "{event}", "Events that were refused before the producer accepted them, as by an open circuit breaker or a full buffer."}

	Retries            = Metric{"eventbus.retries", "{attempt}", "Attempts at handling that were not the first."}
	DeadLetters        = Metric{"eventbus.dead_letters", "{event}", "Events written to a dead-letter topic."}
	DeadLetterFailures = Metric{"eventbus.dead_letter_failures", "{attempt}", "Failed attempts to write a dead letter; its key goes on waiting."}
	Discarded          = Metric{"eventbus.discarded", "{event}", "Events that failed and were given up without a dead letter, because their errors are marked by Discard."}
	MissedHooks        = Metric{"eventbus.hooks.missed", "{call}", "Calls of OnDeadLetter, OnAssigned and OnRevoked that were never made: earlier ones took too long, or the bus closed."}
	Skipped            = Metric{"eventbus.skipped", "{event}", "Events passed over by a policy, or no longer in the log."}
	Abandoned          = Metric{"eventbus.abandoned", "{attempt}", "Attempts cut off because the time to drain was over."}
	RunningHandlers    = Metric{"eventbus.handlers.running", "{attempt}", "Attempts under way."}
	StuckHandlers      = Metric{"eventbus.handlers.stuck", "{attempt}", "Attempts under way that ignore the end of their context."}
	WithheldHandlers   = Metric{"eventbus.handlers.withheld", "{attempt}", "Attempts by which a circuit breaker lowers the concurrency, because most of them fail."}
	StarvedAge         = Metric{"eventbus.handlers.starved.age", "s", "How long events have been ready without a handler that is free to take one."}

	BufferedEvents = Metric{"eventbus.buffer.count", "{event}", "Events fetched and not finished."}
	BufferedSize   = Metric{"eventbus.buffer.size", "By", "Size of the events fetched and not finished."}
	ParkedKeys     = Metric{"eventbus.parked.count", "{key}", "Keys that wait for a retry, a circuit breaker or a dead letter."}
	ParkedSize     = Metric{"eventbus.parked.size", "By", "Size of the events that wait with their keys."}
	ParkedUse      = Metric{"eventbus.parked.use", "1", "Share of the room for waiting keys that is used. At 1, partitions with such keys are not fetched."}
	HeldUse        = Metric{"eventbus.held.use", "1", "Share of the room for events held for other members that is used. At 1, partitions with such events are not fetched."}
	HeldEvents     = Metric{"eventbus.held.count", "{event}", "Events, of the parked keys, that are held for another member of the group, which handles their type."}
	ReleasedEvents = Metric{"eventbus.held.released", "{event}", "Events that were held for another member, and to which the policy for unknown types was applied in the end."}

	Lag           = Metric{"eventbus.partition.lag", "{event}", "Offsets up to the last stable one that are not fetched, and events fetched and not finished."}
	Unstable      = Metric{"eventbus.partition.unstable.count", "{event}", "Offsets from the last stable one to the high watermark: held back by open transactions."}
	UnstableAge   = Metric{"eventbus.partition.unstable.age", "s", "How long the last stable offset has stood still below the high watermark."}
	OldestAge     = Metric{"eventbus.partition.oldest.age", "s", "Age of the oldest event fetched and not finished, by its record's time."}
	StalledAge    = Metric{"eventbus.partition.stalled.age", "s", "Time since the committable offset last moved, while there are unfinished events."}
	MetadataUse   = Metric{"eventbus.partition.metadata.use", "1", "Share of the commit's metadata that progress beyond the committable offset may take. From 0.75 on the partition is not fetched."}
	Uncarried     = Metric{"eventbus.partition.uncarried.count", "{event}", "Failed events whose used-up attempts or decision the commit has no room for: the partition's next owner begins them again."}
	PausedFetches = Metric{"eventbus.partition.paused", "1", "1 while the partition is not fetched because a bound is reached."}

	AssignedPartitions = Metric{"eventbus.group.partitions", "{partition}", "Partitions assigned to this member."}
	Rebalances         = Metric{"eventbus.group.rebalances", "{rebalance}", "Rebalances that this member took part in."}
	LostPartitions     = Metric{"eventbus.group.lost", "{partition}", "Partitions that the group took away before this member could commit."}
	CommitFailures     = Metric{"eventbus.commit_failures", "{commit}", "Partitions whose commit failed, or whose committed progress was dropped."}

	BreakerStates      = Metric{"eventbus.breaker.state", "1", "State of a circuit breaker: 0 closed, 1 half-open, 2 open."}
	BreakerTransitions = Metric{"eventbus.breaker.transitions", "{transition}", "Changes of a circuit breaker's state, by the new one."}
)

// Metrics lists them all.
func Metrics() []Metric {
	return []Metric{
		OperationDuration, SentMessages, ConsumedMessages, ProcessDuration,
		PendingEvents, PendingSize, Refused,
		Retries, DeadLetters, DeadLetterFailures, Discarded, MissedHooks, Skipped, Abandoned, RunningHandlers, StuckHandlers, WithheldHandlers, StarvedAge,
		BufferedEvents, BufferedSize, ParkedKeys, ParkedSize, ParkedUse, HeldUse, HeldEvents, ReleasedEvents,
		Lag, Unstable, UnstableAge, OldestAge, StalledAge, MetadataUse, Uncarried, PausedFetches,
		AssignedPartitions, Rebalances, LostPartitions, CommitFailures,
		BreakerStates, BreakerTransitions,
	}
}

// buckets are the bounds of duration histograms, in seconds, that the
// conventions recommend. SDKs use other ones by default.
var buckets = []float64{.005, .01, .025, .05, .075, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10}

// Durations returns the metric as a histogram of seconds.
func (m Metric) Durations(meter metric.Meter) metric.Float64Histogram {
	return made(meter.Float64Histogram(m.Name, metric.WithUnit(m.Unit), metric.WithDescription(m.Description), metric.WithExplicitBucketBoundaries(buckets...)))
}

// Counter returns the metric as a sum to which the caller adds.
func (m Metric) Counter(meter metric.Meter) metric.Int64Counter {
	return made(meter.Int64Counter(m.Name, metric.WithUnit(m.Unit), metric.WithDescription(m.Description)))
}

// Total returns the metric as a sum that is kept elsewhere and read at each
// collection.
func (m Metric) Total(meter metric.Meter) metric.Int64ObservableCounter {
	return made(meter.Int64ObservableCounter(m.Name, metric.WithUnit(m.Unit), metric.WithDescription(m.Description)))
}

// Level returns the metric as an amount that rises and falls, and whose values
// over several processes may be added.
func (m Metric) Level(meter metric.Meter) metric.Int64ObservableUpDownCounter {
	return made(meter.Int64ObservableUpDownCounter(m.Name, metric.WithUnit(m.Unit), metric.WithDescription(m.Description)))
}

// State returns the metric as a number whose sum over processes means nothing.
func (m Metric) State(meter metric.Meter) metric.Int64ObservableGauge {
	return made(meter.Int64ObservableGauge(m.Name, metric.WithUnit(m.Unit), metric.WithDescription(m.Description)))
}

// Number returns the metric as a gauge of seconds, or of shares.
func (m Metric) Number(meter metric.Meter) metric.Float64ObservableGauge {
	return made(meter.Float64ObservableGauge(m.Name, metric.WithUnit(m.Unit), metric.WithDescription(m.Description)))
}

// made reports a provider's error to OpenTelemetry's error handler and returns
// the instrument that came with it, which may be used and may measure nothing. A
// name that a provider refuses must not stop a service.
func made[I any](instrument I, err error) I {
	if err != nil {
		otel.Handle(err)
	}
	return instrument
}
