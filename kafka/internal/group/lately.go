package group

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/eventbus-go/eventbus/internal/grouptypes"
	"github.com/eventbus-go/eventbus/kafka/internal/balance"
	"github.com/eventbus-go/eventbus/kafka/internal/cluster"
	"github.com/eventbus-go/eventbus/kafka/internal/fetch"
	"github.com/eventbus-go/eventbus/transport"
)

// What the group handled lately outlives its members in the metadata of one commit:
// the types that members handle, and those without a handler with the time since
// when. A member reads it once it has joined, and until then it knows of no type that
// nobody handles it. So a type that only members handled which are gone is held for
// it, even if no present member ever saw them.
//
// One partition carries it, and its owner alone writes it, with every commit of that
// partition and whenever it changes: two writers of a partition could move its offset
// back. A member reads it from the commits of all partitions, because the carrier may
// have been another before.
const (
	typesOpens = " types="
	// typesSize bounds it, in characters: what the flow control of package engine
	// leaves free of a commit's metadata. That is room for 180 types.
	typesSize = 1024
	// latelyAge is how soon a change is written that nothing signals: of the partition
	// that carries it.
	latelyAge = 5 * time.Second
)

// lately is the state of that. It is guarded by heardTypes.mu.
type lately struct {
	// recalled is set once the member has read what was stored, after it has joined.
	recalled bool
	carrier  transport.Partition // whose commits carry the types; zero for none
	// saved is what the carrier's commit has of the types, without the time of
	// writing; stale says that this is not known.
	saved string
	stale bool
	// refused says that the brokers take no metadata of that size.
	refused bool
}

// joinTypes and splitTypes put types behind a commit's metadata, in front of a mark,
// and split them off. Metadata that has nothing of the kind is left as it is.
func joinTypes(metadata, types string, limit int) string {
	if types == "" || len(metadata)+len(typesOpens)+len(types) > limit {
		return metadata
	}
	return metadata + typesOpens + types
}

func splitTypes(metadata string) (rest string, t balance.Types, ok bool) {
	at := strings.LastIndex(metadata, typesOpens)
	if at < 0 {
		return metadata, t, false
	}
	raw, err := markID.DecodeString(metadata[at+len(typesOpens):])
	if err != nil {
		return metadata, t, false
	}
	if t, ok = balance.ReadStored(raw); !ok {
		return metadata, t, false
	}
	return metadata[:at], t, true
}

// stored returns the types as a commit carries them beside other metadata of a size,
// and without the time of writing, to compare.
func (h *heardTypes) stored(beside int, now time.Time) (text, content string) {
	t := balance.Types{Live: h.book.Live(), Gone: h.book.Gone()}
	chars := min(typesSize, markedSize-markSize-beside) - len(typesOpens)
	room := max(base64.RawURLEncoding.DecodedLen(max(chars, 0)), 0)
	content = string(t.AppendStored(nil, room))
	t.At = now
	return markID.EncodeToString(t.AppendStored(nil, room)), content
}

// carry puts the types behind the metadata of a commit of the partition that carries
// them, which has no mark yet.
func (h *heardTypes) carry(c *transport.Commit) {
	h.mu.Lock()
	carries := h.lately.carrier == c.Partition && h.lately.recalled && !h.lately.refused
	h.mu.Unlock()
	if carries {
		types, _ := h.stored(len(c.Metadata), time.Now())
		c.Metadata = joinTypes(c.Metadata, types, markedSize-markSize)
	}
}

// tooLarge reports whether a commit failed because of the types in its metadata, and
// no later commit has any then.
func (h *heardTypes) tooLarge(failed map[transport.Partition]error) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	l := &h.lately
	if l.refused || !errors.Is(failed[l.carrier], transport.ErrMetadataTooLarge) {
		return false
	}
	l.refused = true
	return true
}

// lost notes that the member is out of the group: when it is in again, others may
// have come and left.
func (h *heardTypes) lost() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lately.recalled = false
}

// assigned notes that partitions begin, whose commits may be new.
func (h *heardTypes) assigned() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lately.stale = true
	fetch.Signal(h.news)
}

// recall takes in what is stored in commits. Of several the last that was written
// says which types were handled at the end; what another has was handled until it was
// written.
func (h *heardTypes) recall(commits map[transport.Partition]transport.Commit, now time.Time) {
	var last balance.Types
	var gone []grouptypes.Gone
	ended := func(t *balance.Types) {
		for _, id := range t.Live {
			gone = append(gone, grouptypes.Gone{ID: id, At: t.At})
		}
	}
	for _, c := range commits {
		metadata, _ := unmark(c.Metadata)
		_, t, ok := splitTypes(metadata)
		if !ok {
			continue
		}
		gone = append(gone, t.Gone...)
		if t.At.After(last.At) {
			last, t = t, last
		}
		ended(&t)
	}
	h.book.Recall(last.Live, gone, now)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lately.recalled, h.lately.stale = true, true
}

// watchLately reads what the group handled lately when the member has joined, and
// then keeps it stored. It returns when the member has left.
func (m *membership) watchLately() {
	for failures := 0; m.ctx.Err() == nil; {
		m.mu.Lock()
		in, changed := m.generation >= 0, m.changed
		m.mu.Unlock()
		var err error
		if in {
			err = m.keepLately(m.ctx)
		}
		wait := latelyAge
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
			changed, news = nil, nil // not before the time to try again
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

// keepLately reads what is stored, if the member has not since it joined, and stores
// what it knows, if it owns the partition that carries it.
func (m *membership) keepLately(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lookPatience)
	defer cancel()
	h := m.types
	h.mu.Lock()
	recalled := h.lately.recalled
	h.mu.Unlock()
	if !recalled {
		commits, err := m.client.Committed(ctx, m.cfg.Group, nil)
		if err != nil {
			return fmt.Errorf("reading which types group %q handled lately: %w", m.cfg.Group, err)
		}
		h.recall(commits, time.Now())
	}
	carrier, found := m.typesCarrier()
	_, content := h.stored(0, time.Time{})
	h.mu.Lock()
	l := &h.lately
	if owns := found && contains(m.fetch.Owned(), carrier); !owns || l.carrier != carrier {
		l.carrier, l.stale = carrier, true
		if !owns {
			h.mu.Unlock()
			return nil
		}
	}
	done := l.refused || !l.stale && l.saved == content
	l.stale = false // unless a partition begins from now on
	h.mu.Unlock()
	if done {
		return nil
	}
	if err := m.saveLately(ctx, carrier); err != nil {
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

// typesCarrier returns the partition that carries the types: the first of a retry
// topic, whose metadata is mostly empty, if a member of this library owns it, or else
// of another topic. All members see the same, but for a while after a change.
func (m *membership) typesCarrier() (p transport.Partition, found bool) {
	m.mu.Lock()
	orphans, subscribed := m.companions.orphans, m.companions.subscribed
	m.mu.Unlock()
	for _, topic := range append(m.companions.topics(), m.topics...) {
		t := m.client.KnownTopic(topic)
		if t == nil || t.Err != nil || subscribed[topic] {
			continue
		}
		for n := range t.Partitions {
			p := transport.Partition{Topic: topic, Partition: int32(n)}
			if !slices.ContainsFunc(orphans, func(o orphan) bool { return o.Partition == p }) {
				return p, true
			}
		}
	}
	return p, false
}

// saveLately stores the types with what is committed on the partition that carries
// them. A partition without a commit is left to its first one.
func (m *membership) saveLately(ctx context.Context, carrier transport.Partition) error {
	select {
	case m.commits <- struct{}{}: // no other commit comes between reading and storing
		defer func() { <-m.commits }()
	case <-ctx.Done():
		return ctx.Err()
	}
	commits, err := m.client.Committed(ctx, m.cfg.Group, []string{carrier.Topic})
	if err != nil {
		return err
	}
	c, committed := commits[carrier]
	if !committed {
		return nil
	}
	unmarked, id := unmark(c.Metadata)
	marked := unmarked != c.Metadata
	rest, was, _ := splitTypes(unmarked)
	text, content := m.types.stored(len(rest), time.Now())
	was.At = time.Time{}
	if string(was.AppendStored(nil, typesSize)) == content {
		return nil
	}
	if c.Metadata = joinTypes(rest, text, markedSize-markSize); marked {
		c.Metadata = mark(c.Metadata, id)
	}
	owns := func(p transport.Partition, _ uint64) bool { return contains(m.fetch.Owned(), p) }
	failed := make(map[transport.Partition]error)
	m.storeAll(ctx, []transport.Commit{c}, owns, failed)
	if m.types.tooLarge(failed) || errors.Is(failed[carrier], transport.ErrFenced) {
		return nil // for good, or it is for the next owner
	}
	return failed[carrier]
}
