package redrive

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"

	"github.com/eventbus-go/eventbus/internal/letter"
	"github.com/eventbus-go/eventbus/internal/naming"
	"github.com/eventbus-go/eventbus/internal/scan"
	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/transport"
)

// Box is a dead-letter topic as it was when it was opened: the letters in its log and the
// decisions about them. It is used by one goroutine.
type Box struct {
	Topic string
	// First and End bound the offsets that the log has in each partition,
	// [First, End). Letters that arrive later are not part of the box.
	First, End map[transport.Partition]int64

	cluster *kafka.Transport
	info    transport.TopicInfo // as of opening
	ledgers map[transport.Partition]*ledger
}

// ErrNoBox: a topic is not a dead-letter topic.
var ErrNoBox = errors.New("it is not a dead-letter topic: their names end in " + naming.DeadSuffix + ", or dead letters are among their newest records")

// openLog returns a dead-letter topic without its ledgers.
func (c *Client) openLog(ctx context.Context, topic string) (*Box, error) {
	if !mayBeBox(topic) {
		return nil, fmt.Errorf("topic %s: %w", topic, ErrNoBox)
	}
	cluster := c.cluster
	infos, err := cluster.Admin().Topics(ctx, topic)
	switch {
	case err != nil:
		return nil, err
	case infos[0].Err != nil:
		return nil, fmt.Errorf("topic %s: %w", topic, infos[0].Err)
	}
	b := &Box{Topic: topic, cluster: cluster, info: infos[0]}
	partitions := make([]transport.Partition, b.info.Partitions)
	for i := range partitions {
		partitions[i] = transport.Partition{Topic: topic, Partition: int32(i)} //nolint:gosec // a partition fits
	}
	if b.First, err = cluster.Admin().Offsets(ctx, transport.Earliest(), partitions...); err != nil {
		return nil, err
	}
	if b.End, err = cluster.Admin().Offsets(ctx, transport.Latest(), partitions...); err != nil {
		return nil, err
	}
	return b, c.recognize(ctx, b)
}

// newest is how many records of each partition recognize reads.
const newest = 100

// recognize returns an error if a topic does not have the name of a dead-letter topic and none
// of its newest records is a dead letter: an order about a topic of events could delete
// events. An empty topic passes, since there is nothing to decide about.
func (c *Client) recognize(ctx context.Context, b *Box) error {
	if known, ok := c.recognized.Load(b.Topic); naming.IsDead(b.Topic) || ok && known == b.info.ID {
		return nil
	}
	from, empty := make(map[transport.Partition]int64, len(b.End)), true
	for p, end := range b.End {
		from[p] = max(b.First[p], end-newest)
		empty = empty && from[p] == b.First[p]
	}
	found := false
	err := scan.Each(ctx, b.cluster, from, b.End, func(r *transport.Record) error {
		empty = false
		if found = letter.IsLetter(r); found {
			return scan.ErrEnough
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case found:
		c.recognized.Store(b.Topic, b.info.ID)
	case !empty:
		return fmt.Errorf("topic %s: %w", b.Topic, ErrNoBox)
	}
	return nil
}

// read takes the ledgers from a book, or, if it has none, from the commits of earlier
// versions.
func (b *Box) read(ctx context.Context, from *book) error {
	e, err := from.of(b.Topic)
	if err != nil {
		return err
	}
	b.ledgers = make(map[transport.Partition]*ledger, len(b.End))
	for p := range b.End {
		if l, ok := e.ledger(p.Partition, b.info.ID); ok {
			b.ledgers[p] = l
		}
	}
	if len(b.ledgers) < len(b.End) {
		if err := b.readCommits(ctx); err != nil {
			return err
		}
	}
	// Letters that retention or a purge removed count as done.
	for p, l := range b.ledgers {
		l.Pass(b.First[p])
	}
	return nil
}

// kept reports whether from has the ledgers of all partitions of the box.
func (b *Box) kept(from *book) (bool, error) {
	e, err := from.of(b.Topic)
	if err != nil {
		return false, err
	}
	for p := range b.End {
		if _, ok := e.ledger(p.Partition, b.info.ID); !ok {
			return false, nil
		}
	}
	return true, nil
}

// unmarked reports whether a partition of the box lacks its marker.
func (b *Box) unmarked(ctx context.Context) (bool, error) {
	if len(b.End) == 0 {
		return false, nil // it is gone
	}
	kept, err := b.cluster.Admin().Committed(ctx, GroupKept, b.Topic)
	if err != nil {
		return false, err
	}
	for p := range b.End {
		if !marks(kept[p], b.info.ID) {
			return true, nil
		}
	}
	return false, nil
}

// readCommits reads the ledgers that are missing from commits.
func (b *Box) readCommits(ctx context.Context) error {
	// Ask both groups: the ledgers show which one is newer.
	commits, err := b.cluster.Admin().Committed(ctx, Group, b.Topic)
	if err != nil {
		return err
	}
	kept, err := b.cluster.Admin().Committed(ctx, GroupKept, b.Topic)
	if err != nil {
		return err
	}
	for p := range b.End {
		if b.ledgers[p] != nil {
			continue
		}
		l, err := readCommits(commits[p], kept[p], b.info.ID)
		if err != nil {
			return err
		}
		// The whole ledger must be stored, even an empty one: a ledger that is missing later
		// counts as lost.
		l.moved = true
		b.ledgers[p] = l
	}
	return nil
}

// identity returns the id of the topic in hexadecimal.
func (b *Box) identity() string { return hex.EncodeToString(b.info.ID[:]) }

// Count returns how many letters of the topic are in a state. For Replayed and Skipped it
// counts all since the topic was created.
func (b *Box) Count(s State) (n int64) {
	for p, l := range b.ledgers {
		n += l.Count(s, b.End[p])
	}
	return n
}

// State returns the decision about a letter. Decisions about letters before the first one that
// is open or in quarantine are not stored individually: State returns Decided for them.
func (b *Box) State(p transport.Partition, offset int64) State {
	if l := b.ledgers[p]; l != nil {
		return l.State(offset)
	}
	return Open
}

// See is called with a letter and its state, both valid until it returns. foreign is nil
// for a dead letter; otherwise it says why the record is not one, and l has only the
// record.
type See func(l *letter.Letter, s State, foreign error) error

// Each calls see with every letter from the offsets in from on, in the order of each
// partition. It stops when see returns an error, and returns that error, or nil for
// scan.ErrEnough.
func (b *Box) Each(ctx context.Context, from map[transport.Partition]int64, see See) error {
	return b.each(ctx, from, b.End, see)
}

// each is Each for the letters before the offsets in to.
func (b *Box) each(ctx context.Context, from, to map[transport.Partition]int64, see See) error {
	return scan.Each(ctx, b.cluster, from, to, func(r *transport.Record) error {
		l, foreign := letter.Read(r)
		return see(l, b.State(transport.Partition{Topic: r.Topic, Partition: r.Partition}, r.Offset), foreign)
	})
}

// All returns the offsets from which to read every letter.
func (b *Box) All() map[transport.Partition]int64 { return maps.Clone(b.First) }

// Undecided returns the offsets from which to read every letter that is open or in
// quarantine. Decided letters may lie in between.
func (b *Box) Undecided() map[transport.Partition]int64 {
	from := make(map[transport.Partition]int64, len(b.ledgers))
	for p, l := range b.ledgers {
		from[p] = l.base
	}
	return from
}

// Purgeable says what a Purge would delete.
type Purgeable struct {
	// Letters is how many letters would be deleted; Undecided of them are open or in
	// quarantine.
	Letters, Undecided int64
	// Behind counts decided letters that stay because undecided ones precede them: a
	// log is cut from its front.
	Behind int64

	before map[transport.Partition]int64
}

// Purgeable returns what a Purge would delete from the log: with includingOpen, everything.
func (b *Box) Purgeable(includingOpen bool) Purgeable { return b.purgeable(includingOpen, b.Bounds()) }

// purgeable is Purgeable for the letters before most in each partition.
func (b *Box) purgeable(includingOpen bool, most map[int32]int64) Purgeable {
	what := Purgeable{before: make(map[transport.Partition]int64)}
	for p, end := range b.End {
		l := b.ledgers[p]
		// The base may lie beyond the end of the log, for example after an unclean election.
		to := min(l.base, end)
		waiting := l.Count(Open, end) + l.Count(Quarantined, end)
		if includingOpen {
			what.Undecided += waiting
			to = min(end, most[p.Partition])
		} else {
			what.Behind += max(end-to-waiting, 0)
		}
		if to > b.First[p] {
			what.before[p] = to
			what.Letters += to - b.First[p]
		}
	}
	return what
}
