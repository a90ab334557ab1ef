package eventbus

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/eventbus-go/eventbus/internal/engine"
	"github.com/eventbus-go/eventbus/internal/telemetry"
	"github.com/eventbus-go/eventbus/transport"
)

// ReplayReport is what a replay did or, in a dry run, would do.
type ReplayReport struct {
	DryRun     bool
	Partitions []ReplayedPartition // all of the topics, by topic and number
	// Failures are the first events whose attempts were used up, in the order
	// in which that happened.
	Failures []ReplayFailure
}

// ReplayedPartition is one partition of a replay.
type ReplayedPartition struct {
	transport.Partition
	// From and To are the window: offsets From and later, before To.
	From, To int64
	// Next is the offset below which nothing is left to do: To at the end of a
	// replay, From of a dry run.
	Next int64
	// Events counts what the replay has read and the handlers are for, by
	// CloudEvents type; tombstones are under [ReplayTombstones], records that
	// are no CloudEvents under [ReplayMalformed].
	Events map[string]int64
	// Handled counts those whose handler returned nil, Failed those whose
	// attempts were used up. In a dry run both are 0.
	Handled, Failed int64
	// Removed is how many offsets of the window retention removed while the
	// replay was on its way to them.
	Removed int64
}

// What ReplayedPartition.Events counts events under that have no type.
const (
	ReplayTombstones = "(tombstone)"
	ReplayMalformed  = "(no CloudEvent)"
)

// ReplayFailure is an event whose attempts were used up.
type ReplayFailure struct {
	transport.Position
	EventID, Type string // empty if the record is no CloudEvent
	Reason        string // as in a dead letter
	Attempts      int
	Err           error
}

// String is "topic/3 [10, 20) at 15: 7 events, 4 handled, 1 failed".
func (p ReplayedPartition) String() string {
	var events int64
	for _, n := range p.Events {
		events += n
	}
	return fmt.Sprintf("%s [%d, %d) at %d: %d events, %d handled, %d failed", p.Partition, p.From, p.To, p.Next, events, p.Handled, p.Failed)
}

// String names the event, its place and its error; never its data.
func (f ReplayFailure) String() string {
	return fmt.Sprintf("%s %q at %s@%d, %s after %d attempts: %v", f.Type, f.EventID, f.Partition, f.Offset, f.Reason, f.Attempts, f.Err)
}

// Events returns how many events of all partitions are for the handlers.
func (r *ReplayReport) Events() (n int64) {
	for i := range r.Partitions {
		for _, count := range r.Partitions[i].Events {
			n += count
		}
	}
	return n
}

// Handled returns how many events of all partitions were handled.
func (r *ReplayReport) Handled() (n int64) {
	for i := range r.Partitions {
		n += r.Partitions[i].Handled
	}
	return n
}

// Failed returns how many events of all partitions failed; Failures has the
// first.
func (r *ReplayReport) Failed() (n int64) {
	for i := range r.Partitions {
		n += r.Partitions[i].Failed
	}
	return n
}

// replayCount is what a replay counts of a partition. The replay's mutex guards it.
type replayCount struct {
	ReplayedPartition
	events map[string]*int64 // pointers, since the names asked for lie in fetched memory
}

func (c *replayCount) event(typ string) {
	n := c.events[typ]
	if n == nil {
		n = new(int64)
		c.events[strings.Clone(typ)] = n
	}
	*n++
}

// report is what was counted.
func (r *replay) report() ReplayReport {
	r.mu.Lock()
	defer r.mu.Unlock()
	report := ReplayReport{DryRun: r.config.DryRun, Failures: r.failures}
	for _, c := range r.counts {
		p := c.ReplayedPartition
		p.Events = make(map[string]int64, len(c.events))
		for typ, n := range c.events {
			p.Events[typ] = *n
		}
		report.Partitions = append(report.Partitions, p)
	}
	slices.SortFunc(report.Partitions, func(a, b ReplayedPartition) int { return a.Partition.Compare(b.Partition) })
	return report
}

const defaultMostFailures = 100

// failed counts an event that has used up its attempts.
func (r *replay) failed(f *engine.Failure) {
	e := r.group.signals.EventOf(f.Record)
	at := transport.Partition{Topic: f.Record.Topic, Partition: f.Record.Partition}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counts[at].Failed++
	if len(r.failures) < cmp.Or(r.config.MostFailures, defaultMostFailures) {
		r.failures = append(r.failures, ReplayFailure{
			Position: transport.Position{Partition: at, Offset: f.Record.Offset, Time: f.Record.Time},
			EventID:  telemetry.ClippedName(e.ID), Type: telemetry.ClippedName(e.Type), Reason: f.Reason, Attempts: f.Attempts, Err: withCause(f.Err),
		})
	}
}

// handled counts records whose handler returned nil.
func (r *replay) handled(records []*transport.Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, record := range records {
		r.counts[transport.Partition{Topic: record.Topic, Partition: record.Partition}].Handled++
	}
}

// Removed implements window.Progress: it counts offsets of the window that the log lost meanwhile.
func (r *replay) Removed(p transport.Partition, offsets int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counts[p].Removed += max(offsets, 0)
}

// Moved implements window.Progress: it records the progress of partitions, and reports whether all of them have
// reached their end.
func (r *replay) Moved(commits []transport.Commit) (over bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range commits {
		r.counts[commits[i].Partition].Next = commits[i].Offset
	}
	for p, span := range r.window {
		if r.counts[p].Next < span.To {
			return false
		}
	}
	return true
}
