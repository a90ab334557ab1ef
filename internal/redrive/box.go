package redrive

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/eventbus-go/eventbus/internal/letter"
	"github.com/eventbus-go/eventbus/internal/scan"
	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/transport"
)

// Box is a dead-letter topic as it was when it was opened: the letters in its
// log, and what was decided about them. It is used by one goroutine.
type Box struct {
	Topic string
	// First and End bound the offsets that the log has in each partition,
	// [First, End). Letters that arrive later are not part of the box.
	First, End map[transport.Partition]int64

	cluster *kafka.Transport
	id      transport.TopicID
	ledgers map[transport.Partition]*Ledger
	// unkept holds the partitions whose ledger is newer than its copy in
	// GroupKept.
	unkept map[transport.Partition]bool
}

// ErrNoBox is the error of a topic that is not a dead-letter topic.
var ErrNoBox = errors.New("it is not a dead-letter topic: their names end in " + letter.DeadSuffix)

// OpenBox opens a dead-letter topic: it reads the bounds of the log and the
// ledgers, and no letter.
func OpenBox(ctx context.Context, cluster *kafka.Transport, topic string) (*Box, error) {
	if !strings.HasSuffix(topic, letter.DeadSuffix) {
		return nil, fmt.Errorf("topic %s: %w", topic, ErrNoBox)
	}
	infos, err := cluster.Admin().Topics(ctx, topic)
	switch {
	case err != nil:
		return nil, err
	case infos[0].Err != nil:
		return nil, fmt.Errorf("topic %s: %w", topic, infos[0].Err)
	}
	b := &Box{Topic: topic, cluster: cluster, id: infos[0].ID}
	partitions := make([]transport.Partition, infos[0].Partitions)
	for i := range partitions {
		partitions[i] = transport.Partition{Topic: topic, Partition: int32(i)} //nolint:gosec // a partition fits
	}
	if b.First, err = cluster.Admin().Offsets(ctx, transport.Earliest(), partitions...); err != nil {
		return nil, err
	}
	if b.End, err = cluster.Admin().Offsets(ctx, transport.Latest(), partitions...); err != nil {
		return nil, err
	}
	return b, b.reload(ctx)
}

// reload reads the ledgers. The one with the higher revision counts, of the
// commit and of its copy.
func (b *Box) reload(ctx context.Context) error {
	commits, err := b.cluster.Admin().Committed(ctx, Group, b.Topic)
	if err != nil {
		return err
	}
	kept, err := b.cluster.Admin().Committed(ctx, GroupKept, b.Topic)
	if err != nil {
		return err
	}
	b.ledgers = make(map[transport.Partition]*Ledger, len(b.End))
	b.unkept = make(map[transport.Partition]bool)
	for p := range b.End {
		l, err := ReadLedger(commits[p], b.id)
		if err != nil {
			return err
		}
		copied, err := ReadLedger(kept[p], b.id)
		if err != nil {
			return err
		}
		switch {
		case copied.revision > l.revision:
			// The brokers have forgotten the commit, as they do with groups
			// without members.
			l = copied
		case copied.revision < l.revision:
			// The process that decided last ended before it made the copy.
			b.unkept[p] = true
		}
		l.Pass(b.First[p])
		b.ledgers[p] = l
	}
	return nil
}

// Ledger returns the decisions about a partition's letters. It belongs to the
// box.
func (b *Box) Ledger(p transport.Partition) *Ledger { return b.ledgers[p] }

// Count returns how many letters of the topic are in a state.
func (b *Box) Count(s State) (n int64) {
	for p, l := range b.ledgers {
		n += l.Count(s, b.End[p])
	}
	return n
}

// See is called with a letter and its state, both valid until it returns.
// foreign is nil for a dead letter; else it says why the record is not one, and
// l has the record alone.
type See func(l *letter.Letter, s State, foreign error) error

// Each calls see with every letter from the offsets in from on, in the order of
// each partition. An error of see ends it and is returned; scan.ErrEnough ends
// it without an error.
func (b *Box) Each(ctx context.Context, from map[transport.Partition]int64, see See) error {
	return scan.Each(ctx, b.cluster, from, b.End, func(r *transport.Record) error {
		l, foreign := letter.Read(r)
		p := transport.Partition{Topic: r.Topic, Partition: r.Partition}
		return see(l, b.ledgers[p].State(r.Offset), foreign)
	})
}

// All returns where to begin in order to read every letter.
func (b *Box) All() map[transport.Partition]int64 { return maps.Clone(b.First) }

// Undecided returns where to begin in order to read every letter that is open
// or in quarantine. Letters that are done may lie in between.
func (b *Box) Undecided() map[transport.Partition]int64 {
	from := make(map[transport.Partition]int64, len(b.ledgers))
	for p, l := range b.ledgers {
		from[p] = l.Base
	}
	return from
}

// decide commits the ledgers of the changed partitions and writes the records,
// in one transaction. Decisions without records take a transaction too: it
// fences a replay that is running, whose ledgers would overwrite these.
func (b *Box) decide(ctx context.Context, x *kafka.Transactor, changed map[transport.Partition]bool, records []transport.Record) error {
	commits := make([]transport.Commit, 0, len(changed))
	for _, p := range slices.SortedFunc(maps.Keys(changed), transport.Partition.Compare) {
		b.ledgers[p].revision++
		c, err := b.ledgers[p].Commit(p)
		if err != nil {
			return err
		}
		commits = append(commits, c)
	}
	if len(records) > 0 {
		if err := x.Produce(ctx, records...); err != nil {
			return err
		}
	}
	if err := x.SendOffsets(ctx, Group, commits...); err != nil {
		return err
	}
	if err := x.Commit(ctx); err != nil {
		return err
	}
	// Only now, after the commit: a copy of a decision that was rolled back
	// would count.
	for p := range changed {
		b.unkept[p] = true
	}
	return nil
}

// keep copies the changed ledgers to GroupKept. The copy is not part of the
// transaction, and may come late from a process that was suspended and fenced:
// it then loses against the higher revision in Group.
func (b *Box) keep(ctx context.Context) error {
	commits := make([]transport.Commit, 0, len(b.unkept))
	for p := range b.unkept {
		c, err := b.ledgers[p].Commit(p)
		if err != nil {
			return err
		}
		commits = append(commits, c)
	}
	if err := kafka.NewAdmin(b.cluster).KeepOffsets(ctx, GroupKept, commits...); err != nil {
		return err
	}
	clear(b.unkept)
	return nil
}

// transactor returns a transactional producer for this topic. Another process
// that had one is fenced. It compresses: a letter at the size limit was stored
// compressed, and would not fit otherwise.
func (b *Box) transactor(ctx context.Context) (*kafka.Transactor, error) {
	return kafka.NewTransactor(ctx, b.cluster, Group+"."+b.Topic, kafka.TransactorConfig{Compression: "gzip"})
}
