package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/eventbus-go/eventbus/bench/internal/peer"
)

// campaign measures every peer on every workload, round by round. Within a round the peers run
// in a shuffled order, so that other load on the machine affects all of them alike, and ratios
// are taken within the round.
type campaign struct {
	// cluster has the brokers, workloads and peers are what is measured on them.
	cluster   *cluster
	workloads []workload
	peers     []string
	// rounds is how often the peers with a claim are measured.
	rounds int
	// others is the number of rounds for the other clients.
	others int
	// quick asks for small sizes; seed decides the order within rounds.
	quick bool
	seed  uint64
	// until is the time after which no measurement begins; zero means no bound.
	until time.Time
	// log has what was already measured; progress gets a line for each measurement.
	log      *measurementLog
	progress io.Writer
	// filled has the topics that consumers read, by the stem of their
	// workloads.
	filled map[string]string
	// measure runs a task; tests replace the child process.
	measure func(context.Context, task) (measurement, error)
}

// run measures what the log does not have yet. It returns how many measurements
// are still missing, because the time was up or because they failed.
func (c *campaign) run(ctx context.Context) (missing int, err error) {
	tasks := c.tasks()
	for i, t := range tasks {
		// A running measurement is finished; only the next one is not started.
		if !c.until.IsZero() && time.Now().After(c.until) {
			return missing + len(tasks) - i, nil
		}
		m, err := c.one(ctx, t)
		// An interrupted measurement is neither a result nor a failure of the peer.
		if ctx.Err() != nil {
			return missing + len(tasks) - i, ctx.Err()
		}
		// A failed measurement is logged, and the campaign goes on with the next.
		if err != nil {
			m = measurement{Peer: t.Peer, Workload: t.Workload, Round: t.Round, Error: err.Error()}
			missing++
		}
		// Without a log a campaign can't be resumed, so its error ends this one.
		if err := c.log.add(m); err != nil {
			return missing, err
		}
		fmt.Fprintf(c.progress, "[%d/%d] %s round %d, %s: %s\n", i+1, len(tasks), t.Workload, t.Round, t.Peer, m)
	}
	return missing, nil
}

// String returns the measurement in a line.
// Workloads without latencies have no percentiles in it.
func (m measurement) String() string {
	if m.Error != "" {
		return "FAILED: " + m.Error
	}
	s := fmt.Sprintf("%.0f ev/s, %.2f µs CPU, %.1f allocs, %.0f MB", m.Rate, m.CPU, m.Allocs, m.RSS)
	if m.P50 > 0 {
		s += fmt.Sprintf(", p50 %.0f µs, p99 %.0f µs", m.P50, m.P99)
	}
	return s
}

// tasks returns what is to be measured and not in the log. Its order depends on
// the seed alone, so an interrupted campaign continues in the same order.
func (c *campaign) tasks() []task {
	var tasks []task
	// Rounds are the outer loop: a campaign that is cut short has every workload, in fewer
	// rounds.
	for round := 1; round <= c.rounds; round++ {
		for _, w := range c.workloads {
			// Clone, since workloads share their lists of peers.
			names := slices.DeleteFunc(slices.Clone(w.peers), func(name string) bool {
				return !slices.Contains(c.peers, name) || round > c.others && !claimed(w.name, name)
			})
			// Use a generator for each workload and round, so that leaving out others does not
			// change the order.
			random := rand.New(rand.NewPCG(c.seed, mix(w.name, round)))
			random.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
			for _, name := range names {
				// Check after the shuffle, so that finished measurements do not change the
				// order of the rest.
				if !c.log.has(name, w.name, round) {
					tasks = append(tasks, task{Peer: name, Workload: w.name, Round: round, Quick: c.quick})
				}
			}
		}
	}
	return tasks
}

// mix returns a number that depends on a name and a round. Seeds of different
// workloads must differ, or the order of the peers would be the same in each.
func mix(name string, round int) uint64 {
	h := fnv.New64a()
	_, _ = io.WriteString(h, name)
	_ = binary.Write(h, binary.LittleEndian, int64(round))
	return h.Sum64()
}

// one runs a task. A publisher's topic is its own, created before and deleted after
// it; consumers of one workload share a topic.
func (c *campaign) one(ctx context.Context, t task) (measurement, error) {
	i := slices.IndexFunc(c.workloads, func(w workload) bool { return w.name == t.Workload })
	// Tasks are made from these workloads, so i is valid.
	w := c.workloads[i]
	t.Settings = w.settings(c.cluster.addresses)
	// A consumer's topic stays for the next peer, until end.
	if w.kind == consume || w.kind == starting {
		if err := c.fill(ctx, &t, w); err != nil {
			return measurement{}, err
		}
		if w.kind == starting {
			return c.measureStart(ctx, t, w)
		}
		return c.measureAt(ctx, t, w)
	}
	topic := t.Settings.Topic()
	if err := c.cluster.create(ctx, topic, w.partitions); err != nil {
		return measurement{}, err
	}
	// ctx may have ended; the topic would take disk space from the next
	// measurement.
	defer c.cluster.remove(context.WithoutCancel(ctx), topic)
	return c.measureAt(ctx, t, w)
}

// measureStart measures a start with all topics in place: with this library, the new group has
// two topics of its own.
func (c *campaign) measureStart(ctx context.Context, t task, w workload) (measurement, error) {
	for _, suffix := range []string{".dlq", ".retry"} {
		own := t.Settings.Topic() + "." + t.Settings.Group + suffix
		if err := c.cluster.create(ctx, own, w.partitions); err != nil {
			return measurement{}, err
		}
		defer c.cluster.remove(context.WithoutCancel(ctx), own)
	}
	return c.measureAt(ctx, t, w)
}

// measureAt measures at the workload's distance from the broker.
func (c *campaign) measureAt(ctx context.Context, t task, w workload) (measurement, error) {
	if w.roundTrip == 0 {
		return c.measure(ctx, t)
	}
	// Use a new proxy for each measurement, without connections of other clients.
	p, err := openProxy(w.roundTrip)
	if err != nil {
		return measurement{}, err
	}
	defer p.close()
	t.Settings.Brokers = []string{p.address()}
	return c.measure(ctx, t)
}

// fill writes the topic that the workload's consumers read, once per campaign,
// and puts its name into the task.
func (c *campaign) fill(ctx context.Context, t *task, w workload) error {
	if stem, ok := c.filled[w.stem()]; ok {
		// Keep the task's group, so that every consumer reads the whole topic.
		t.Settings.Stem = stem
		return nil
	}
	if err := c.cluster.create(ctx, t.Settings.Topic(), w.partitions); err != nil {
		return err
	}
	// Let a child write the topic, so that filling leaves nothing in this process.
	filling := *t
	filling.Fill = true
	if _, err := c.measure(ctx, filling); err != nil {
		c.cluster.remove(context.WithoutCancel(ctx), t.Settings.Topic())
		return fmt.Errorf("filling the topic: %w", err)
	}
	if c.filled == nil {
		c.filled = make(map[string]string)
	}
	c.filled[w.stem()] = t.Settings.Stem
	return nil
}

// end deletes the topics that consumers read.
func (c *campaign) end(ctx context.Context) {
	for _, stem := range c.filled {
		c.cluster.remove(ctx, peer.Settings{Stem: stem}.Topic())
	}
}

// settings returns the settings of one measurement, with a topic and a group of
// its own.
func (w workload) settings(brokers []string) peer.Settings {
	// Random, so that it has no events of an earlier campaign on the same brokers.
	own := fmt.Sprintf("%s-%012x", strings.ToLower(w.name), rand.Uint64()>>16)
	return peer.Settings{
		Brokers: brokers, Stem: own, Group: own,
		Publishers:  w.goroutines,
		Prompt:      w.kind == endToEnd,
		Window:      window,
		Compression: w.compression,
		BatchBytes:  w.batch,
		Slow:        w.handling > 0,
	}
}
