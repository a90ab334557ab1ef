package redrive

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/eventbus-go/eventbus/cmd/eventbus/internal/scan"
	"github.com/eventbus-go/eventbus/internal/letter"
	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/transport"
)

// Box is a dead-letter topic as it was when it was opened: its letters, and what
// was decided about them.
type Box struct {
	Topic string
	// First and End are the letters that the log has, [First, End), of each
	// partition.
	First, End map[transport.Partition]int64

	cluster *kafka.Transport
	id      transport.TopicID
	ledgers map[transport.Partition]*Ledger
	unkept  map[transport.Partition]bool // whose ledgers GroupKept lacks
}

// ErrNoBox says that a topic is none of dead letters.
var ErrNoBox = errors.New("it is no dead-letter topic: their names end in " + letter.DeadSuffix)

// OpenBox opens a dead-letter topic.
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

// reload reads what was decided anew.
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
		case copied.revision > l.revision: // the brokers have forgotten the other
			l = copied
		case copied.revision < l.revision: // whoever decided last was cut off
			b.unkept[p] = true
		}
		l.Pass(b.First[p])
		b.ledgers[p] = l
	}
	return nil
}

// Ledger is what was decided about a partition's letters.
func (b *Box) Ledger(p transport.Partition) *Ledger { return b.ledgers[p] }

// Count is how many letters of the whole topic are in a state.
func (b *Box) Count(s State) (n int64) {
	for p, l := range b.ledgers {
		n += l.Count(s, b.End[p])
	}
	return n
}

// See is told of a letter and of what was decided about it. It is valid until See
// returns. foreign is why the record is no dead letter: it has no story then, or
// a damaged one.
type See func(l *letter.Letter, s State, foreign error) error

// Each calls see with every letter from these offsets on, in each partition's
// order. An error of see ends it, scan.ErrEnough without one.
func (b *Box) Each(ctx context.Context, from map[transport.Partition]int64, see See) error {
	return scan.Each(ctx, b.cluster, from, b.End, func(r *transport.Record) error {
		l, foreign := letter.Read(r)
		p := transport.Partition{Topic: r.Topic, Partition: r.Partition}
		return see(l, b.ledgers[p].State(r.Offset), foreign)
	})
}

// All begins at the first letter of every partition.
func (b *Box) All() map[transport.Partition]int64 { return maps.Clone(b.First) }

// Undecided begins at the first letter of every partition that is open or in
// quarantine.
func (b *Box) Undecided() map[transport.Partition]int64 {
	from := make(map[transport.Partition]int64, len(b.ledgers))
	for p, l := range b.ledgers {
		from[p] = l.Base
	}
	return from
}

// decide stores the ledgers of these partitions, in a transaction of the box:
// a replay that runs is fenced, instead of being forgotten.
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
	for p := range changed {
		b.unkept[p] = true
	}
	return nil
}

// keep copies ledgers to where they are not forgotten. Nothing but a transaction
// changes what holds, so a copy that comes too late, from a process that stood
// still since it was fenced, loses against the higher revision beside it.
func (b *Box) keep(ctx context.Context) error {
	commits := make([]transport.Commit, 0, len(b.unkept))
	for p := range b.unkept {
		c, err := b.ledgers[p].Commit(p)
		if err != nil {
			return err
		}
		commits = append(commits, c)
	}
	if err := b.cluster.KeepOffsets(ctx, GroupKept, commits...); err != nil {
		return err
	}
	clear(b.unkept)
	return nil
}

// transactor is the one of the box. Whoever had it before is fenced. It
// compresses, since letters that were as large as allowed were compressed.
func (b *Box) transactor(ctx context.Context) (*kafka.Transactor, error) {
	return b.cluster.NewTransactor(ctx, Group+"."+b.Topic, kafka.TransactorConfig{Compression: "gzip"})
}
