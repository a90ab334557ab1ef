package memory

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"unicode/utf16"

	"github.com/eventbus-go/eventbus/transport"
)

// commitment is a group's commit on a partition. topic distinguishes commits on a topic that was
// deleted and created again with the same name; from is valid only while recreated is set.
type commitment struct {
	transport.Commit
	topic     transport.TopicID
	recreated bool  // the topic was created again, and no member was told yet
	from      int64 // the offset committed on the old topic
}

// Commit waits, until ctx ends, while the cluster is disconnected. Each partition is accepted or
// refused by itself; the error is a *transport.CommitError that names the refused ones. It may be
// called in Revoked: a partition counts as assigned until Revoked has returned.
func (m *consumer) Commit(ctx context.Context, commits ...transport.Commit) error {
	c := m.cluster
	c.mu.Lock()
	defer c.mu.Unlock()
	var unreachable error
	// Get the channel with the mutex held and wait on it without, so that no change in between is
	// missed.
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
	// Once per call, not per partition: RejectCommits counts calls.
	rejected := m.group.rejection()
	failed := make(map[transport.Partition]error)
	for _, commit := range commits {
		var err error
		switch a := m.assigned[commit.Partition]; {
		// In the order of a broker's client: a closed client sends nothing, a cut connection
		// returns nothing, and a coordinator checks the member first.
		case m.gone:
			err = fmt.Errorf("consumer: %w", transport.ErrClosed)
		case unreachable != nil:
			err = unreachable
		// The fence: a late commit of an earlier owner would move the group's offset back.
		case a == nil || a.Epoch != commit.Epoch:
			err = fmt.Errorf("%w: not assigned with epoch %d", transport.ErrFenced, commit.Epoch)
		case rejected != nil:
			err = rejected
		case len(utf16.Encode([]rune(commit.Metadata))) > metadataLimit:
			err = fmt.Errorf("%w: at most %d characters", transport.ErrMetadataTooLarge, metadataLimit)
		default:
			// Stored commits belong to no member: Committed and startingAt return them to others.
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

// startingAt returns where a group starts on a partition. If the group has no commit on the topic,
// it first commits the start of all its partitions; if the topic was created again since the
// group's commits, it commits 0, which loses nothing. Resolving each partition only when it is
// first assigned could miss a record written before that: with Latest, on a partition still
// waiting for its owner.
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
			// Skipped reports the move to its owner, once; see recreatedFrom.
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
	// The partition was added after the group began. None of its records may be missed, so it
	// starts at 0, whatever Start says.
	return transport.Commit{Partition: p, LeaderEpoch: -1}
}

// recreatedFrom reports, once, whether a partition's topic was created again, and what was
// committed on the old one. A later owner starts from the commit like any other.
func (g *group) recreatedFrom(p transport.Partition) (from int64, recreated bool) {
	m := g.commits[p]
	if m.recreated {
		m.recreated = false
		g.commits[p] = m
		return m.from, true
	}
	return 0, false
}

// rewind sets a group's offset if the topic exists. It drops the metadata, which is about records
// beyond the old offset.
func (g *group) rewind(p transport.Partition, offset int64) {
	if t := g.cluster.topics[p.Topic]; t != nil {
		g.commits[p] = commitment{Commit: transport.Commit{Partition: p, Offset: offset, LeaderEpoch: -1}, topic: t.id}
	}
}

// commitRejection is one call of RejectCommits. left counts calls of Commit; negative means no
// limit.
type commitRejection struct {
	left int
	err  error
}

// RejectCommits makes the next n calls of Commit in a group fail with err for every partition. A
// negative n means no limit, and 0 ends all earlier rejections.
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

// rejection returns the error for the next commit, and counts it down. Rejections take effect one
// after another, in the order of the calls.
func (g *group) rejection() error {
	g.rejections = slices.DeleteFunc(g.rejections, func(r *commitRejection) bool { return r.left == 0 })
	if len(g.rejections) == 0 {
		return nil
	}
	g.rejections[0].left--
	return g.rejections[0].err
}
