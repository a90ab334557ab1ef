package group

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/eventbus-go/eventbus/kafka/internal/cluster"
	"github.com/eventbus-go/eventbus/transport"
)

// watchStored reads what the group handled lately when the member has joined, and then keeps it
// stored. It returns when the member has left.
func (m *membership) watchStored() {
	for failures := 0; m.ctx.Err() == nil; {
		m.mu.Lock()
		// Read changed under the same lock: a change after this check ends the wait.
		in, changed := m.generation >= 0, m.changed
		m.mu.Unlock()
		var err error
		// Only a member notices everything that changes from here on.
		if in {
			err = m.syncStored(m.ctx)
		}
		// News ends the wait; the age is for a carrier that changes without news, because its
		// topic was created, say.
		wait := storedAge
		if err != nil {
			m.logFailure(err)
			wait = cluster.RetryCoordinator(err, failures)
			failures++
		} else {
			failures = 0
		}
		timer := time.NewTimer(wait)
		news := m.types.news
		if err != nil {
			changed, news = nil, nil // not before the time to retry
		}
		select {
		case <-timer.C:
		case <-changed:
		case <-news:
		case <-m.ctx.Done():
		}
		timer.Stop()
	}
}

// syncStored reads what is stored, unless the member has since it joined, and stores what it
// knows if it owns the partition that carries it.
func (m *membership) syncStored(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lookPatience)
	defer cancel()
	h := m.types
	h.mu.Lock()
	recalled := h.stored.recalled
	h.mu.Unlock()
	// From all commits, as the carrier may have changed, and from the coordinator, which has
	// what the last owner wrote.
	if !recalled {
		commits, err := m.client.Committed(ctx, m.cfg.Group, nil)
		if err != nil {
			return fmt.Errorf("reading which types group %q handled lately: %w", m.cfg.Group, err)
		}
		h.recall(commits, time.Now())
	}
	carrier, found := m.typesCarrier()
	// Without the time, and as if there were no other metadata: what the group knows now.
	_, content := h.encodeStored(0, time.Time{})
	// Before acquiring h.mu: the fetcher may wait for the membership's mutex, and its holder for
	// h.mu.
	owns := found && contains(m.fetch.Owned(), carrier)
	h.mu.Lock()
	l := &h.stored
	if !owns || l.carrier != carrier {
		l.carrier, l.stale = carrier, true
		if !owns {
			h.mu.Unlock()
			return nil
		}
	}
	// saved belongs to the last carrier; stale is set when the carrier changes.
	done := l.refused || !l.stale && l.saved == content
	// Cleared before storing, so that an assignment meanwhile is not missed.
	l.stale = false // unless a partition begins from now on
	h.mu.Unlock()
	if done {
		return nil
	}
	if err := m.storeTypes(ctx, carrier); err != nil {
		h.mu.Lock()
		l.stale = true
		h.mu.Unlock()
		return fmt.Errorf("storing which types group %q handled lately: %w", m.cfg.Group, err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	l.saved = content
	return nil
}

// typesCarrier returns the partition that carries the types: the first partition of a retry
// topic, whose metadata is mostly empty, if a member of this library owns it, otherwise one of
// another topic. All members agree, except briefly after a change.
func (m *membership) typesCarrier() (p transport.Partition, found bool) {
	m.mu.Lock()
	orphans, subscribed := m.companions.orphans, m.companions.subscribed
	m.mu.Unlock()
	for _, topic := range append(m.companions.topics(), m.topics...) {
		t := m.client.KnownTopic(topic)
		if t == nil || t.Err != nil || subscribed[topic] {
			continue
		}
		// Members of other libraries write no types, so skip partitions that go with theirs.
		for n := range t.Partitions {
			p := transport.Partition{Topic: topic, Partition: int32(n)}
			if !slices.ContainsFunc(orphans, func(o orphan) bool { return o.Partition == p }) {
				return p, true
			}
		}
	}
	return p, false
}

// storeTypes stores the types with the commit on the partition that carries them. If that has
// no commit yet, its first one will carry them.
func (m *membership) storeTypes(ctx context.Context, carrier transport.Partition) error {
	select {
	case m.commits <- struct{}{}: // no other commit comes between reading and storing
		defer func() { <-m.commits }()
	case <-ctx.Done():
		return ctx.Err()
	}
	commits, err := m.client.CommittedOn(ctx, m.cfg.Group, []transport.Partition{carrier})
	if err != nil {
		return err
	}
	// Each topic is begun with commits for all of its partitions, so a commit is missing only
	// if it was deleted since.
	c, committed := commits[carrier]
	if !committed {
		return nil
	}
	// A mark is at the end of the metadata: remove it first, and restore it last.
	unmarked, id := unmark(c.Metadata)
	marked := unmarked != c.Metadata
	rest, was, _ := splitTypes(unmarked)
	text, content := m.types.encodeStored(len(rest), time.Now())
	// Don't write if only the time differs.
	was.At = time.Time{}
	if string(was.AppendStored(nil, typesSize)) == content {
		return nil
	}
	if c.Metadata = joinTypes(rest, text, markedSize-markSize); marked {
		c.Metadata = mark(c.Metadata, id)
	}
	// Not by its epoch, which a commit that was read lacks.
	owns := func(p transport.Partition, _ uint64) bool { return contains(m.fetch.Owned(), p) }
	failed := make(map[transport.Partition]error)
	m.storeAll(ctx, []transport.Commit{c}, owns, failed)
	// If the types are refused, the offset is stored already.
	if m.types.tooLarge(failed) || errors.Is(failed[carrier], transport.ErrFenced) {
		return nil // permanent, or the next owner's business
	}
	return failed[carrier]
}
