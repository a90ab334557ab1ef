package kafkatest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus/internal/engine"
	"github.com/eventbus-go/eventbus/transport"
)

// Settle waits until the cluster has come to rest: what was published is in the
// log, every group has dealt with all of it (handled, dead-lettered or skipped it),
// and no handler runs. What handlers publish counts too.
//
// It fails the test, and says what is not finished, when nothing has moved for half a
// minute or the test's deadline is near. Retries that wait for their time, running
// handlers, and events that wait for a full batch or a rate limit get all the time
// that the test has; in a bubble, a hundred hours of fake time.
func (c *Cluster) Settle(t testing.TB) {
	t.Helper()
	c.await(t, "not settled", c.unsettled)
}

// Bounds of waiting, and pauses between checks.
const (
	// patience is how long await waits without any progress.
	patience = 30 * time.Second
	// farOff takes the place of patience where time alone may bring progress. In a
	// bubble it costs nothing.
	farOff = 100 * time.Hour
	// margin leaves time before the test's deadline to report what is unfinished.
	margin = 3 * time.Second

	shortestPoll = 100 * time.Microsecond
	longestPoll  = time.Second
)

// unfinished collects what the cluster still has to do, in words for the test.
type unfinished struct {
	what []string
	// expected says that time alone may finish it: a retry waits, a handler runs.
	expected bool
}

// add adds one thing.
func (u *unfinished) add(format string, args ...any) {
	u.what = append(u.what, fmt.Sprintf(format, args...))
}

// await calls look after every signal until nothing is unfinished. Some progress gives
// no signal: a skipped event, or the watermark's step after a handler's return. So
// await also looks again after a pause, which doubles up to longestPoll: it at most
// doubles the time waited, and an hour of fake time costs a few thousand looks.
func (c *Cluster) await(t testing.TB, complaint string, look func(context.Context, *unfinished) error) {
	t.Helper()
	// What is unfinished is compared as text: if it changes, something moved.
	var before string
	moved, pause := time.Now(), shortestPoll
	deadline, _ := deadlineOf(t)
	for {
		// These are taken before the look, so that no change during it is missed.
		own, transports := c.next(), c.transportChanged()
		if c.reportMisuses(t) {
			t.FailNow()
		}
		var u unfinished
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		err := look(ctx, &u)
		cancel()
		if err != nil {
			u.add("%v", err)
		}
		if len(u.what) == 0 {
			// A handler may have misused its events during this look.
			c.reportMisuses(t)
			return
		}
		slices.Sort(u.what)
		now := strings.Join(u.what, "\n\t")
		if now != before {
			before, moved = now, time.Now()
		}
		bound := patience
		if u.expected {
			bound = farOff
		}
		if time.Since(moved) > bound || !deadline.IsZero() && time.Until(deadline) < margin {
			t.Fatalf("kafkatest: %s:\n\t%s", complaint, now)
		}
		timer := time.NewTimer(pause)
		select {
		case <-own:
			pause = shortestPoll
		case <-transports:
			pause = shortestPoll
		case <-timer.C:
			pause = min(2*pause, longestPoll)
		}
		timer.Stop()
	}
}

// transportChanged returns a channel that the next change in memory closes; nil,
// which never fires, for brokers.
func (c *Cluster) transportChanged() <-chan struct{} {
	if c.memory == nil {
		return nil
	}
	return c.memory.Changed()
}

// deadlineOf returns the test's deadline, or zero if there is none, and reports
// whether the test is in a bubble. There Deadline panics, since the bubble's clock has
// nothing to do with the deadline.
func deadlineOf(t testing.TB) (deadline time.Time, bubble bool) {
	defer func() {
		if recover() != nil {
			deadline, bubble = time.Time{}, true
		}
	}()
	if limited, ok := t.(interface{ Deadline() (time.Time, bool) }); ok {
		deadline, _ = limited.Deadline()
	}
	return deadline, false
}

// unsettled adds what is not settled. It looks at the groups between two looks at the
// ends of the logs. If the ends are equal, nothing was published in between, and
// nothing is running that could still publish: what a handler publishes is in the log
// before the handler counts as finished.
func (c *Cluster) unsettled(ctx context.Context, u *unfinished) error {
	for _, p := range c.links.producers() {
		if err := p.Flush(ctx); err != nil {
			return fmt.Errorf("flushing what was published: %w", err)
		}
	}
	ends, err := c.ends(ctx)
	if err != nil {
		return err
	}
	c.progress(ends, u)
	if len(u.what) > 0 {
		return nil
	}
	again, err := c.ends(ctx)
	if err != nil {
		return err
	}
	for p, end := range again {
		if ends[p] != end {
			u.add("%s: events were published meanwhile, up to offset %d", p, end)
		}
	}
	return nil
}

// unassigned adds the partitions that no member has.
func (c *Cluster) unassigned(ctx context.Context, u *unfinished) error {
	partitions, err := c.subscribed(ctx)
	if err != nil {
		return err
	}
	none := make(map[transport.Partition]int64, len(partitions))
	for _, p := range partitions {
		none[p] = 0
	}
	owned := c.groups(u)
	for group, topics := range c.links.groups() {
		for p := range none {
			if _, ok := owned[group][p]; !ok && slices.Contains(topics, p.Topic) {
				u.add("%s: no member of group %s has it", p, group)
			}
		}
	}
	return nil
}

// progress adds the partitions that groups have not finished up to the end of the log.
func (c *Cluster) progress(ends map[transport.Partition]int64, u *unfinished) {
	owned := c.groups(u)
	for group, topics := range c.links.groups() {
		for p, end := range ends {
			if !slices.Contains(topics, p.Topic) {
				continue
			}
			s, ok := owned[group][p]
			switch {
			case !ok && end > 0:
				u.add("%s: no member of group %s has it", p, group)
			case ok && (s.Watermark < end || s.Records > 0 || s.Running > 0):
				u.add("%s, group %s: finished up to offset %d of %d, %d events held, %d handlers running%s",
					p, group, s.Watermark, end, s.Records, s.Running, parked(&s, u))
				u.expected = u.expected || s.Running > 0 || s.Gathered > 0 || s.OldestPaced
			}
		}
	}
}

// waitsForRetry is the engine's name for the state of a key that waits for its next
// attempt.
const waitsForRetry = "retry"

// parked returns a line for each waiting key, and notes in u if time alone may finish
// one.
func parked(s *engine.PartitionSnapshot, u *unfinished) string {
	var b strings.Builder
	for _, key := range s.Parked {
		fmt.Fprintf(&b, "\n\t\tkey %q waits at offset %d: %s after %d attempts: %s", key.Key, key.Offset, key.State, key.Attempts, key.Error)
		u.expected = u.expected || key.State == waitsForRetry
	}
	return b.String()
}

// groups returns the partitions that the test's buses own, by group, and adds the
// buses that are not ready.
func (c *Cluster) groups(u *unfinished) map[string]map[transport.Partition]engine.PartitionSnapshot {
	c.mu.Lock()
	buses := slices.Clone(c.buses)
	c.mu.Unlock()
	owned := make(map[string]map[transport.Partition]engine.PartitionSnapshot)
	for _, bus := range buses {
		look := bus.Operator().Snapshot()
		switch {
		case look.Changing:
			u.add("a bus is being started, drained or closed")
		case look.Ended:
			continue
		}
		for _, g := range look.Groups {
			if !look.Started {
				u.add("group %s: its bus has not been started", g.Name)
				continue
			}
			if owned[g.Name] == nil {
				owned[g.Name] = make(map[transport.Partition]engine.PartitionSnapshot)
			}
			for _, p := range g.Partitions {
				owned[g.Name][p.Partition] = p
			}
		}
	}
	return owned
}

// ends returns the ends of the logs of all topics that groups of the test
// subscribed to.
func (c *Cluster) ends(ctx context.Context) (map[transport.Partition]int64, error) {
	partitions, err := c.subscribed(ctx)
	if err != nil || len(partitions) == 0 {
		return nil, err
	}
	ends, err := c.transport.Admin().Offsets(ctx, transport.Latest(), partitions...)
	if err != nil {
		return nil, fmt.Errorf("asking for the ends of the logs: %w", err)
	}
	return ends, nil
}

// subscribed returns the partitions of the topics that groups subscribed to.
func (c *Cluster) subscribed(ctx context.Context) ([]transport.Partition, error) {
	var names []string
	for _, topics := range c.links.groups() {
		names = append(names, topics...)
	}
	if len(names) == 0 {
		return nil, nil
	}
	// Several groups may have subscribed to one topic.
	slices.Sort(names)
	infos, err := c.transport.Admin().Topics(ctx, slices.Compact(names)...)
	if err != nil {
		return nil, fmt.Errorf("describing the topics: %w", err)
	}
	return partitionsOf(infos), nil
}

// partitionsOf returns all partitions of topics.
func partitionsOf(infos []transport.TopicInfo) (all []transport.Partition) {
	for _, info := range infos {
		for n := range info.Partitions {
			all = append(all, transport.Partition{Topic: info.Name, Partition: n})
		}
	}
	return all
}
