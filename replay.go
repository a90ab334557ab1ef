package eventbus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/eventbus-go/eventbus/internal/engine"
	"github.com/eventbus-go/eventbus/internal/telemetry"
	"github.com/eventbus-go/eventbus/transport"
)

// ReplayConfig says which events a replay reads. The zero value is everything
// that the topics hold.
type ReplayConfig struct {
	// From and To bound the window by the times at which the events were
	// published: in each partition it begins with the first one at or after
	// From, and ends before the first one at or after To. A zero From is the
	// log's start. A zero To is its end when Replay is called, and so is one in
	// the future: a replay always ends.
	From, To time.Time
	// FromOffsets and ToOffsets bound the window by offsets instead, in the
	// partitions that they name. ToOffsets are not read themselves.
	FromOffsets, ToOffsets map[transport.Partition]int64
	// Keys, if not empty, are the only keys whose events are handled.
	Keys []string
	// Types, if not empty, are the only CloudEvents types that are handled, of
	// those that the subscriptions have. Tombstones have none.
	Types []string
	// DryRun counts what would be handled, and calls no handler.
	DryRun bool
	// DeadLetter writes an event whose attempts are used up to the group's
	// dead-letter topic, beside reporting it. The event is not finished before
	// that is acknowledged.
	DeadLetter bool
	// MaxEvents, if not 0, refuses a window with more events for the handlers. They are
	// counted first, and what is handled is what was counted.
	MaxEvents int64
	// MaxFailures bounds the failures that the report lists; all are counted.
	// Default 100.
	MaxFailures int
}

// Replay runs the handlers of subscriptions, all of one group, over a window of
// the log, and returns when it has come to the window's end.
//
// Events are handled as the group would: in key order, with the subscriptions'
// own concurrency, retries, timeout and middleware; their Delivery says Replay.
// The group does not notice it: no member joins, no offset is committed, and a
// live bus, this one too, goes on beside it. Its order and that of the live
// events of a key are two.
//
// An event whose attempts are used up is reported and, unless the config says
// otherwise, not dead-lettered: the live group has most likely done that before.
// That is no error of Replay. Events of types that no subscription has are not
// looked at.
//
// [Idempotent] lets nothing through that its inbox knows. To handle events again
// that the group has handled, give the subscriptions another Group.
//
// When ctx ends, or the bus is drained or closed, nothing new is handled, running
// handlers finish within Config.DrainTimeout, and the error says why; the report
// is then of what was done, and [ReplayConfig.After] goes on from there. Replay
// works from New on and needs no Start. It may run beside itself.
func (o Operator) Replay(ctx context.Context, config ReplayConfig, subscriptions ...Subscription) (ReplayReport, error) {
	b := o.bus
	r, err := b.newReplay(config, subscriptions)
	if err == nil {
		err = r.resolve(ctx)
	}
	if err != nil {
		return ReplayReport{}, &Error{Op: "replay", Err: err}
	}
	if len(r.window) > 0 {
		if config.DryRun {
			err = r.count(ctx)
		} else if err = r.bounded(ctx); err == nil {
			err = r.run(ctx)
		}
	}
	report := r.report()
	if err != nil {
		return report, &Error{Op: "replay", Err: err}
	}
	return report, nil
}

// ReplayGroup is Replay with the subscriptions to a topic, by its full name, that the
// bus has in a group: for operators, who have no subscriptions. That it begins and ends
// is logged. One runs at a time, a dry run too, and another is refused: two over one
// window would handle its keys twice at once.
func (o Operator) ReplayGroup(ctx context.Context, group, topic string, config ReplayConfig) (ReplayReport, error) {
	b := o.bus
	if !b.replaying.CompareAndSwap(false, true) {
		return ReplayReport{}, &Error{Op: "replay", Err: errors.New("another replay runs here: wait for its end")}
	}
	defer b.replaying.Store(false)
	g, err := b.group(group)
	if err != nil {
		return ReplayReport{}, &Error{Op: "replay", Err: err}
	}
	var subscriptions []Subscription
	b.mu.Lock()
	for _, s := range g.declared {
		if s.decl.In(b.config.env) == topic {
			subscriptions = append(subscriptions, Subscription{s})
		}
	}
	b.mu.Unlock()
	if len(subscriptions) == 0 {
		return ReplayReport{}, &Error{Op: "replay", Err: fmt.Errorf("%w: group %q handles no topic %q here", ErrNotFound, group, topic)}
	}
	logger := b.config.Logger.With(telemetry.LogGroup, group, telemetry.LogTopic, topic)
	if !config.DryRun {
		o.log(logger, "an operator began a replay")
	}
	report, err := o.Replay(ctx, config, subscriptions...)
	if !config.DryRun {
		o.log(logger, "an operator's replay ended", slog.Int64("handled", report.Handled()), slog.Int64("failed", report.Failed()), slog.Any(telemetry.LogError, err))
	}
	return report, err
}

// newReplay checks what a replay is asked for, and gives its subscriptions a
// group that is no member of anything.
func (b *Bus) newReplay(config ReplayConfig, subscriptions []Subscription) (*replay, error) {
	if err := config.check(); err != nil {
		return nil, err
	}
	g, around, undo, err := b.replayedGroup(subscriptions)
	r := &replay{bus: b, config: config, group: g, counts: make(map[transport.Partition]*replayCount)}
	if err == nil {
		err = g.prepare(around)
	}
	if err == nil {
		err = r.checkTypes()
	}
	if err != nil {
		b.mu.Lock()
		defer b.mu.Unlock()
		undo()
		return nil, err
	}
	return r, nil
}

// replayedGroup returns the group of a replay's subscriptions, and the middleware around
// them. undo, with mu held, takes back what they say of shared breakers, which are the bus's.
func (b *Bus) replayedGroup(subscriptions []Subscription) (g *group, around []Middleware, undo func(), err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	groups := make(map[string]*group)
	var wrong []error
	undo = func() {}
	for _, s := range subscriptions {
		if s.s == nil {
			wrong = append(wrong, errNoSubscription)
			continue
		}
		if err := b.complete(s.s); err != nil {
			wrong = append(wrong, err)
			continue
		}
		topic, err := b.acceptable(s.s.decl)
		if err == nil {
			name := b.settingsOf(s.s).group
			if groups[name] == nil {
				groups[name] = &group{bus: b, name: name, topics: make(map[string]*groupTopic), replay: true}
			}
			var leave func()
			if leave, err = b.addTo(groups, s.s, topic); err == nil {
				later := undo
				undo = func() { leave(); later() }
			}
		}
		if err != nil {
			wrong = append(wrong, err)
		}
	}
	switch names := slices.Sorted(maps.Keys(groups)); {
	case len(wrong) > 0:
		return nil, nil, undo, errors.Join(wrong...)
	case len(names) == 0:
		return nil, nil, undo, errors.New("no subscription: say what handles the events")
	case len(names) > 1:
		return nil, nil, undo, fmt.Errorf("the subscriptions are of the groups %q: replay one group at a time", names)
	default:
		return groups[names[0]], b.middleware, undo, nil
	}
}

func (c *ReplayConfig) check() error {
	var wrong []error
	if !c.From.IsZero() && !c.To.IsZero() && c.To.Before(c.From) {
		wrong = append(wrong, fmt.Errorf("the window ends before it begins: To is %v, From %v", c.To, c.From))
	}
	if c.MaxFailures < 0 || c.MaxEvents < 0 {
		wrong = append(wrong, fmt.Errorf("MaxFailures is %d and MaxEvents %d: use positive numbers, or zero for the default", c.MaxFailures, c.MaxEvents))
	}
	return errors.Join(wrong...)
}

// checkTypes refuses types that nothing handles: most likely they are misspelt.
func (r *replay) checkTypes() error {
	var wrong []error
	for _, typ := range r.config.Types {
		handled := false
		for _, t := range r.group.topics {
			handled = handled || t.of(typ) != nil
		}
		if !handled {
			wrong = append(wrong, fmt.Errorf("no subscription handles %q, which Types has", typ))
		}
	}
	return errors.Join(wrong...)
}

// After returns the configuration that goes on where the replay of a report
// ended, up to the same end. What was handled beyond a failed or unfinished event
// of another key is handled once more.
func (c ReplayConfig) After(r ReplayReport) ReplayConfig {
	c.FromOffsets, c.ToOffsets = make(map[transport.Partition]int64), make(map[transport.Partition]int64)
	for i := range r.Partitions {
		p := &r.Partitions[i]
		c.FromOffsets[p.Partition], c.ToOffsets[p.Partition] = p.Next, p.To
	}
	// Partitions that were added since are not of that window: of them nothing is read.
	if len(r.Partitions) > 0 {
		c.From, c.To = never, time.Time{}
	}
	return c
}

// never is a time at which nothing was published.
var never = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

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

const defaultMaxFailures = 100

// failed counts an event that has used up its attempts.
func (r *replay) failed(f *engine.Failure) {
	e := r.group.signals.EventOf(f.Record)
	at := transport.Partition{Topic: f.Record.Topic, Partition: f.Record.Partition}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counts[at].Failed++
	if len(r.failures) < cmp.Or(r.config.MaxFailures, defaultMaxFailures) {
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
