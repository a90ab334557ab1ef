package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/eventbus-go/eventbus/chaos/internal/cluster"
)

// campaign runs segments, one after another, on one cluster.
type campaign struct {
	settings settings
	cluster  *cluster.Cluster
	results  *results
	// out gets one line of JSON for each segment, notes what people read meanwhile.
	out   io.Writer
	notes io.Writer
	// failed are the names of scenarios that failed.
	failed []string
}

// patience bounds one segment, without the time of a soak.
const patience = 8 * time.Minute

// segment runs one scenario with one seed. A scenario that fails is recorded,
// and the next one runs; an error is one of the campaign itself, and ends it.
func (c *campaign) segment(ctx context.Context, s scenario, seed uint64) error {
	// The time is bounded: a scenario that hangs must not keep the others from
	// running.
	within, cancel := context.WithTimeout(ctx, patience+s.soak)
	defer cancel()
	// The schedule comes from the seed alone, so a failure can be repeated.
	actions := s.schedule(seed, c.settings.quick)
	// s is this call's copy: the next seed gets the full load again.
	if c.settings.quick && s.plan != nil {
		s.load.Events = s.sizedLoad(actions)
	}
	_, _ = fmt.Fprintf(c.notes, "== %s, seed %d: %s\n", s.name, seed, s.about)
	dir, err := filepath.Abs(filepath.Join(c.settings.root, ".cache", "chaos",
		fmt.Sprintf("%s-%d", strings.ReplaceAll(s.name, " ", "-"), seed)))
	if err != nil {
		return err
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	// A failed scenario may have left brokers down.
	if err := c.cluster.Whole(within); err != nil {
		return err
	}
	t, err := newStage(within, c.settings.root, c.cluster, s, dir, seed, c.settings.quick, c.notes)
	if errors.Is(err, errUnreachable) {
		_, _ = fmt.Fprintln(c.notes, "  skipped:", err)
		return nil
	}
	if err != nil {
		return err
	}
	r, wrong := t.run(within, actions)
	// An interrupted campaign leaves no result that looks like a failure.
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if r == nil {
		r = &result{}
	}
	r.Scenario, r.Seed = s.name, seed
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	// The line is printed even for a failure: its figures show what failed.
	_, _ = fmt.Fprintln(c.out, string(line))
	if len(wrong) > 0 {
		c.failed = append(c.failed, s.name)
		for _, w := range wrong {
			_, _ = fmt.Fprintln(c.notes, "  FAILED:", w)
		}
		c.cluster.SaveLogs(dir)
		_, _ = fmt.Fprintln(c.notes, "  ledger and logs are in", dir)
		return c.results.append(r)
	}
	if !c.settings.keep {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	return c.results.append(r)
}

// run runs the scenario and judges it. It returns the result, and everything that is wrong,
// as sentences.
func (t *stage) run(ctx context.Context, actions []action) (*result, []string) {
	// Last of all: evidence still reads the topics.
	defer t.clear()
	if t.scenario.run != nil {
		r, err := t.scenario.run(ctx, t)
		if err != nil {
			return r, []string{err.Error()}
		}
		return r, nil
	}
	// The pulse runs beside the scenario, and distinguishes a busy host from a faulty
	// library.
	began, pulse := time.Now(), startPulse()
	err := t.open(ctx)
	if err == nil {
		err = t.perform(ctx, actions)
	}
	if err == nil {
		err = t.published(ctx)
	}
	if err == nil {
		// The group gets time to handle what is left; only after that is something
		// lost.
		within, cancel := context.WithTimeout(ctx, drainPatience)
		err = t.drained(within)
		cancel()
	}
	if err == nil && t.scenario.after != nil {
		err = t.scenario.after(ctx, t)
	}
	played := time.Since(began)
	late, latest := pulse.end()
	var wrong []string
	// Whatever failed, end the processes and judge what there is: its figures often say why.
	if err := errors.Join(err, t.close()); err != nil {
		wrong = append(wrong, err.Error())
	}
	// Everything has ended: nothing writes into the ledger or the log any more.
	e, err := t.evidence(ctx)
	if err != nil {
		return nil, append(wrong, err.Error())
	}
	f := judge(e)
	r := &result{
		Published: f.published, Acked: f.acked, Handled: f.handled, Lost: f.lost, Duplicates: f.duplicates,
		Disorder: f.disorder, DeadLettered: f.dead, MaxStall: seconds(f.stall), Recovery: seconds(f.recovery), PeakRSS: float64(int(t.rss())),
		Denied: f.denied,
	}
	// A publisher that is killed can't record the outcomes of what it had sent.
	if slices.ContainsFunc(actions, func(a action) bool { return a.verb == killPublisher }) {
		f.silent = 0
	}
	r.Silent = f.silent
	t.say("%s: %d refused, %d of unknown outcome, %.3f %% repeated, healthy keys' age p99 %s; timers of the host were late by %s (p99), %s (most)",
		played.Round(time.Second), f.refused, f.unknown, 100*float64(f.duplicates)/float64(max(f.handled, 1)), f.p99.Round(time.Millisecond),
		late.Round(time.Millisecond), latest.Round(time.Millisecond))
	if f.eldest > 0 {
		t.say("what was repeated had been finished %s before its owner was killed, at most", f.eldest.Round(time.Millisecond))
	}
	if t.busy = busy(late, latest); t.busy {
		t.say("the host was busy: bounds on times are %d times as long", busyFactor)
	}
	wrong = append(wrong, t.verdict(e, f, actions)...)
	if t.scenario.soak > 0 {
		wrong = append(wrong, t.growth(e, r)...)
	}
	return r, wrong
}

// commitLag bounds how long before a kill a repeated event may have been handled. The
// acknowledged commits decide which events may be repeated; this only checks that there are
// commits: one a second, each taking as long as it may.
const commitLag = 12 * time.Second

// verdict returns everything in which the finding falls short of what the
// scenario demands.
func (t *stage) verdict(e *evidence, f *finding, actions []action) (wrong []string) {
	s := &t.scenario
	// fault records one shortfall. All are reported, not only the first.
	fault := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	// These hold in every scenario; what follows depends on what the scenario did.
	if f.lost > 0 {
		fault("%d lost", f.lost)
	}
	if f.disorder > 0 {
		fault("%d out of order (%d of them at once)", f.disorder, f.overlaps)
	}
	if f.copies > 0 {
		fault("%d in the log more than once", f.copies)
	}
	if f.denied > 0 {
		fault("%d in the log though the publisher was told that they are not", f.denied)
	}
	if f.silent > 0 {
		fault("%d published without any outcome", f.silent)
	}
	if s.clean && f.duplicates > 0 {
		fault("%d handled again, though nobody was killed", f.duplicates)
	}
	if !s.clean && !s.rereads && f.unexplained > 0 {
		fault("%d handled again by an owner that was not killed", f.unexplained)
	}
	if f.uncovered > 0 {
		fault("%d started again though a commit that covers them had been acknowledged", f.uncovered)
	}
	if bound := t.bound(commitLag); f.eldest > bound {
		fault("what was repeated had been finished %s before its owner was killed: more than %s", f.eldest, bound)
	}
	// Until the cluster has deposed a lost broker no client can go on, so that time does not
	// count.
	if bound := t.bound(s.stall(actions)) + t.fencing; f.stall > bound {
		fault("partition %d stood still for %s until %s, more than %s",
			f.stalled, f.stall.Round(time.Millisecond), f.stallEnd.UTC().Format("15:04:05.000"), bound.Round(time.Millisecond))
	}
	// Without a fault the whole of the ledger is the window.
	if s.flowing > 0 {
		from, to := t.faultFrom, t.faultTo
		if from == 0 {
			from, to = e.entries[0].at, e.entries[len(e.entries)-1].at
		}
		offers, ends := flow(e, from, to)
		share := float64(ends) / float64(max(offers, 1))
		t.say("healthy keys meanwhile: %d offered, %d handled (%.2f %%)", offers, ends, 100*share)
		if share < 0.99 {
			fault("healthy keys' throughput was %.2f %% of what was offered", 100*share)
		}
		if bound := t.bound(s.flowing); f.p99 > bound {
			fault("healthy keys' p99 age was %s, more than %s", f.p99, bound)
		}
	}
	if s.judge != nil {
		wrong = append(wrong, s.judge(t, e)...)
	}
	if s.joining > 0 {
		wrong = append(wrong, t.joinGaps(e)...)
	}
	// Single violations are printed only with a failed verdict.
	if len(wrong) > 0 {
		wrong = append(wrong, f.wrong...)
	}
	return wrong
}

// evidence collects what the scenario left behind: the ledger, and the log as
// another client reads it.
func (t *stage) evidence(ctx context.Context) (*evidence, error) {
	entries, err := readLedger(t.ledger())
	if err != nil {
		return nil, err
	}
	e := &evidence{entries: entries, heals: t.heals, ends: t.ends, rereads: t.scenario.rereads}
	// Keys that are meant to fail or to wait say nothing about the flow of the others.
	if n := t.scenario.crew.Poison; n > 0 {
		e.exempt = func(key uint32) bool { return key%n == 0 }
	}
	if n := t.scenario.crew.Failing; n > 0 {
		e.exempt = func(key uint32) bool { return key%n == 0 }
	}
	if t.scenario.crew.Dependent || t.scenario.types {
		e.exempt = isDependent
	}
	e.intruders = intruders(entries)
	if e.log, err = readLog(ctx, t.cluster, t.topic.topic(), t.topic.Partitions, e.intruders); err != nil {
		return nil, err
	}
	e.dead, err = readLetters(ctx, t.cluster, t.topic.letters(), letterPartitions)
	return e, err
}
