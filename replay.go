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
	window "github.com/eventbus-go/eventbus/internal/replay"
	"github.com/eventbus-go/eventbus/internal/telemetry"
	"github.com/eventbus-go/eventbus/transport"
)

// ReplayConfig says which events a replay reads. The zero value selects everything that the
// topics hold.
type ReplayConfig struct {
	// From and To bound the window by the time at which events were published. In each
	// partition the window begins with the first event at or after From, and ends before the
	// first one at or after To. A zero From is the start of the log. A zero To, or one in the
	// future, is the end of the log when Replay is called, so a replay always ends.
	From, To time.Time
	// FromOffsets and ToOffsets bound the window by offsets instead, in the partitions that
	// they name. ToOffsets are exclusive.
	FromOffsets, ToOffsets map[transport.Partition]int64
	// Keys, if not empty, limits the replay to the events of these keys. It may be long, and
	// is read once, when the replay begins.
	Keys []string
	// Types, if not empty, limits the replay to these CloudEvents types, each of which a
	// subscription must handle. Tombstones have no type.
	Types []string
	// DryRun counts the events that would be handled, and calls no handler.
	DryRun bool
	// DeadLetter also writes an event whose attempts are used up to the group's dead-letter
	// topic. The event is not finished until that write is acknowledged.
	DeadLetter bool
	// MaxEvents, if not 0, refuses a window with more events for the handlers. They are
	// counted first, and what is handled is what was counted.
	MaxEvents int64
	// MaxFailures bounds the failures that the report lists; all are counted.
	// Default 100.
	MaxFailures int
}

// Replay runs the handlers of subscriptions, all of one group, over a window of the log. It
// returns when it has reached the end of the window.
//
// Events are handled as the group would handle them: in key order, with the subscriptions'
// own concurrency, retries, timeout and middleware; Delivery.Replay is set. The group does
// not notice: no member joins, no offset is committed, and live buses, including this one,
// continue alongside. There is no order between a key's replayed events and its live ones.
//
// An event whose attempts are used up is reported and, unless config.DeadLetter is set, not
// dead-lettered: most likely the live group has done that before. It is not an error of
// Replay. Events of types without a subscription are ignored.
//
// [Idempotent] drops every event that its inbox knows. To handle events again that the group
// has already handled, give the subscriptions another Group.
//
// If ctx ends, or the bus is drained or closed, no further event is handled, running handlers
// finish within Config.DrainTimeout, and the error says why. The report then covers what was
// done, and [ReplayConfig.After] continues from there. Replay works without Start, and
// several replays may run at once.
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
	r := &replay{bus: b, config: config, keys: keySet(config.Keys), group: g, counts: make(map[transport.Partition]*replayCount)}
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

// checkTypes refuses types that nothing handles: most likely they are misspelled.
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

// After returns the configuration that continues where the reported replay stopped, up to the
// same end. Events of other keys that were handled beyond a failed or unfinished one are
// handled once more.
func (c ReplayConfig) After(r ReplayReport) ReplayConfig {
	c.FromOffsets, c.ToOffsets = make(map[transport.Partition]int64), make(map[transport.Partition]int64)
	for i := range r.Partitions {
		p := &r.Partitions[i]
		c.FromOffsets[p.Partition], c.ToOffsets[p.Partition] = p.Next, p.To
	}
	// Partitions that were added since are not part of that window, so nothing of them is read.
	if len(r.Partitions) > 0 {
		c.From, c.To = window.Never, time.Time{}
	}
	return c
}

// ReplayReport is what a replay did or, in a dry run, would do.
type ReplayReport struct {
	DryRun     bool
	Partitions []ReplayedPartition // all of the topics, by topic and number
	// Failures are the first events whose attempts were used up, in that order.
	Failures []ReplayFailure
}

// ReplayedPartition is one partition of a replay.
type ReplayedPartition struct {
	transport.Partition
	// From and To are the window, [From, To).
	From, To int64
	// Next is the offset below which nothing is left to do: To after a complete replay, From
	// after a dry run.
	Next int64
	// Events counts the events read that the handlers are for, by CloudEvents type.
	// Tombstones count as [ReplayTombstones], records that are not CloudEvents as
	// [ReplayMalformed].
	Events map[string]int64
	// Handled counts the events whose handler returned nil, Failed those whose attempts were
	// used up. Both are 0 in a dry run.
	Handled, Failed int64
	// Removed is how many offsets of the window retention removed meanwhile.
	Removed int64
}

// Keys of ReplayedPartition.Events for events without a type.
const (
	ReplayTombstones = "(tombstone)"
	ReplayMalformed  = "(no CloudEvent)"
)

// ReplayFailure is an event whose attempts were used up.
type ReplayFailure struct {
	transport.Position
	EventID, Type string // empty if the record is not a CloudEvent
	Reason        string // as in a dead letter
	Attempts      int
	Err           error
}

// String returns text such as "topic/3 [10, 20) at 15: 7 events, 4 handled, 1 failed".
func (p ReplayedPartition) String() string {
	var events int64
	for _, n := range p.Events {
		events += n
	}
	return fmt.Sprintf("%s [%d, %d) at %d: %d events, %d handled, %d failed", p.Partition, p.From, p.To, p.Next, events, p.Handled, p.Failed)
}

// String returns the event's name, place and error; never its data.
func (f ReplayFailure) String() string {
	return fmt.Sprintf("%s %q at %s@%d, %s after %d attempts: %v", f.Type, f.EventID, f.Partition, f.Offset, f.Reason, f.Attempts, f.Err)
}

// Events returns how many events of all partitions the handlers are for.
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

// Failed returns how many events of all partitions failed. Failures lists the first of them.
func (r *ReplayReport) Failed() (n int64) {
	for i := range r.Partitions {
		n += r.Partitions[i].Failed
	}
	return n
}

// replayCount counts the events of one partition. The replay's mutex guards it.
type replayCount struct {
	ReplayedPartition
	events map[string]*int64 // pointers, since the names looked up are in fetched memory
}

func (c *replayCount) event(typ string) {
	n := c.events[typ]
	if n == nil {
		n = new(int64)
		c.events[strings.Clone(typ)] = n
	}
	*n++
}

// report returns what was counted so far.
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

// Removed implements window.Progress: it counts offsets of the window that retention removed.
func (r *replay) Removed(p transport.Partition, offsets int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counts[p].Removed += max(offsets, 0)
}

// Moved implements window.Progress: it records the progress of partitions, and reports whether
// all of them have reached the end of the window.
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
