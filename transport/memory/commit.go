package memory

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"unicode/utf16"

	"github.com/eventbus-go/eventbus/transport"
)

// commitment is what a group keeps for a partition.
// topic tells apart the commits on a topic that was deleted and created again with the
// same name; from means something only while recreated is set.
type commitment struct {
	transport.Commit
	topic     transport.TopicID
	recreated bool  // the topic was created again, and no member heard so yet
	from      int64 // then the offset that was committed on the old one
}

// Commit waits while the cluster is disconnected, until ctx ends.
// Each partition is accepted or refused for itself; the error is a *transport.CommitError
// that names those that were refused. It may be called in Revoked, and for that the
// partition counts as assigned until Revoked has returned.
func (m *consumer) Commit(ctx context.Context, commits ...transport.Commit) error {
	c := m.cluster
	c.mu.Lock()
	defer c.mu.Unlock()
	var unreachable error
	// The channel is taken with the mutex held and waited on without it: no change in
	// between is missed.
	for unreachable == nil && !m.gone && !c.cutAt.IsZero() {
		changed := c.nextChange()
		c.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			unreachable = fmt.Errorf("%w: %w", ErrUnreachable, ctx.Err())
		}
		c.mu.Lock()
	}
	// Once per call, and not per partition: RejectCommits counts calls.
	rejected := m.group.rejection()
	failed := make(map[transport.Partition]error)
	for _, commit := range commits {
		var err error
		switch a := m.assigned[commit.Partition]; {
		// The order is that of a broker's client: a closed client sends nothing, a cut
		// connection answers nothing, and a coordinator looks at the member first.
		case m.gone:
			err = fmt.Errorf("consumer: %w", transport.ErrClosed)
		case unreachable != nil:
			err = unreachable
		// The fence: a late commit of an earlier owner would set the group's offset back.
		case a == nil || a.Epoch != commit.Epoch:
			err = fmt.Errorf("%w: not assigned with epoch %d", transport.ErrFenced, commit.Epoch)
		case rejected != nil:
			err = rejected
		case len(utf16.Encode([]rune(commit.Metadata))) > metadataLimit:
			err = fmt.Errorf("%w: at most %d characters", transport.ErrMetadataTooLarge, metadataLimit)
		default:
			// What is stored belongs to no member: Committed and startingAt give it to others.
			commit.Epoch = 0
			m.group.commits[commit.Partition] = commitment{Commit: commit, topic: a.TopicID}
		}
		if err != nil {
			failed[commit.Partition] = err
		}
	}
	c.change()
	if len(failed) > 0 {
		return &transport.CommitError{Partitions: failed}
	}
	return nil
}

// startingAt is where a group starts on a partition. A group that has no commit on
// the topic commits the start of all its partitions first; on a topic that was created
// again since the group's commits, it commits 0.
// If each partition got its start only when it is first assigned, a record could be
// missed that was written before that: with Latest, on a partition that waits for
// its owner. On a topic that was created again, 0 loses nothing.
func (g *group) startingAt(t *topic, p transport.Partition, start transport.Start) transport.Commit {
	started, recreated := false, false
	for q, m := range g.commits {
		if q.Topic == t.name {
			started = started || m.topic == t.id
			recreated = recreated || m.topic != t.id
		}
	}
	if !started {
		for _, l := range t.logs {
			m := commitment{Commit: transport.Commit{Partition: l.Partition, LeaderEpoch: -1}, topic: t.id}
			// Its owner hears of the move by Skipped, once: see recreatedFrom.
			if old, had := g.commits[l.Partition]; had {
				m.recreated, m.from = true, old.Offset
			} else if !recreated {
				m.Offset = l.resolve(start)
			}
			g.commits[l.Partition] = m
		}
		// The old topic may have had more partitions.
		maps.DeleteFunc(g.commits, func(q transport.Partition, m commitment) bool {
			return q.Topic == t.name && m.topic != t.id
		})
	}
	if m, ok := g.commits[p]; ok {
		return m.Commit
	}
	// The partition was added after the group began: nothing in it may be missed, so
	// Start does not apply and the offset is 0.
	return transport.Commit{Partition: p, LeaderEpoch: -1}
}

// recreatedFrom tells, once, that a partition's topic was created again, and what was
// committed on the old one.
// A later owner starts from a commit as any other.
func (g *group) recreatedFrom(p transport.Partition) (from int64, recreated bool) {
	m := g.commits[p]
	if m.recreated {
		m.recreated = false
		g.commits[p] = m
		return m.from, true
	}
	return 0, false
}

// rewind sets a group's offset, if it has one and the topic is there.
// The metadata goes: it is about records beyond the old offset.
func (g *group) rewind(p transport.Partition, offset int64) {
	if t := g.cluster.topics[p.Topic]; t != nil {
		g.commits[p] = commitment{Commit: transport.Commit{Partition: p, Offset: offset, LeaderEpoch: -1}, topic: t.id}
	}
}

// commitRejection is one RejectCommits.
// left counts calls of Commit; negative: without end.
type commitRejection struct {
	left int
	err  error
}

// RejectCommits makes the next n calls of Commit in a group fail with err for every
// partition. A negative n has no end, and 0 ends all that was set before.
func (c *Cluster) RejectCommits(group string, n int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	g := c.groupOf(group)
	if n == 0 {
		g.rejections = nil
		return
	}
	g.rejections = append(g.rejections, &commitRejection{left: n, err: err})
}

// rejection is the one that the next commit meets.
// It counts it down. Rejections take effect one after another, in the order they were set.
func (g *group) rejection() error {
	g.rejections = slices.DeleteFunc(g.rejections, func(r *commitRejection) bool { return r.left == 0 })
	if len(g.rejections) == 0 {
		return nil
	}
	g.rejections[0].left--
	return g.rejections[0].err
}
