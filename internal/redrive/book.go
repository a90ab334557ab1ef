package redrive

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/eventbus-go/eventbus/internal/scan"
	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/transport"
)

// book is the contents of Topic, as far as they have been read. It is used by one goroutine at
// a time.
type book struct {
	cluster *kafka.Transport
	id      transport.TopicID
	exists  bool
	next    int64     // the offset to read on from
	read    time.Time // when the last refresh began
	size    int       // of all keys and values in memory
	boxes   map[string]*entries
}

// entries are the records about one box, by what their keys name. They may include records
// about a deleted topic of the same name; see ledger.
type entries struct {
	partitions map[int32]partitionRecord
	pages      map[int32]map[int64]storedPage
	jobs       map[string]*Job
	jobBytes   map[string]int // size of each job as stored
	// fences has the nonces of the last claims, the latest last.
	fences []string
	// wrong has the reasons why nothing may be decided about the box, by the key of the record.
	wrong map[string]error
}

// storedPage is a page with the id of the dead-letter topic that it is about.
type storedPage struct {
	id transport.TopicID
	*page
}

// maxBook bounds what the records of Topic take in memory. Pages for a hundred
// million letters take a quarter of it.
const maxBook = 128 << 20

// maxFences bounds fences. A process that finds its own claim followed by others knows that it
// was fenced.
const maxFences = 16

// boxOverhead is what the maps of entries take.
const boxOverhead = 512

// refresh reads what was committed since the last time. Readers see only transactions that have
// ended, so a process that was killed within one can delay this by transactionTimeout.
func (b *book) refresh(ctx context.Context) error {
	began := time.Now()
	info, exists, err := describe(ctx, b.cluster)
	if err != nil {
		return err
	}
	// A topic that was deleted and created again starts without decisions; the markers then
	// show that some are missing.
	if !exists || info.ID != b.id || b.boxes == nil {
		*b = book{cluster: b.cluster, id: info.ID, boxes: make(map[string]*entries)}
	}
	if b.exists = exists; !exists {
		b.read = began
		return nil
	}
	first, end, err := b.edges(ctx)
	if err != nil {
		return err
	}
	to := end[ledgerPartition]
	// An unclean election removed records that were read; others will take their offsets.
	if to < b.next {
		*b = book{cluster: b.cluster, id: b.id, exists: true, boxes: make(map[string]*entries)}
	}
	from := max(b.next, first[ledgerPartition])
	err = scan.Each(ctx, b.cluster, map[transport.Partition]int64{ledgerPartition: from}, end, func(r *transport.Record) error {
		// Even if the scan fails later: applying a record twice changes nothing.
		b.next = r.Offset + 1
		return b.apply(r)
	})
	if err != nil {
		return fmt.Errorf("reading topic %s: %w", Topic, err)
	}
	// Markers of transactions lie between the last record and the end.
	b.next, b.read = max(b.next, to), began
	return nil
}

// edges returns the first and the next offset of the log of Topic, which exists. If it was just
// created, some brokers may not know it yet, so edges waits for a while.
func (b *book) edges(ctx context.Context) (first, end map[transport.Partition]int64, err error) {
	for began := time.Now(); ; {
		if first, err = b.cluster.Admin().Offsets(ctx, transport.Earliest(), ledgerPartition); err == nil {
			end, err = b.cluster.Admin().Offsets(ctx, transport.Latest(), ledgerPartition)
		}
		if !errors.Is(err, transport.ErrTopicMissing) || time.Since(began) > settling || sleep(ctx, 20*time.Millisecond) != nil {
			return first, end, err
		}
	}
}

// apply adds one record. It ignores records that are not this package's. One of its own that
// can't be read makes the box unusable.
func (b *book) apply(r *transport.Record) error {
	at, ours := parseKey(r.Key)
	if !ours {
		return nil
	}
	e := b.boxes[at.topic]
	if e == nil {
		e = &entries{
			partitions: make(map[int32]partitionRecord), pages: make(map[int32]map[int64]storedPage),
			jobs: make(map[string]*Job), jobBytes: make(map[string]int), wrong: make(map[string]error),
		}
		b.boxes[at.topic] = e
		b.size += len(at.topic) + boxOverhead
	}
	// Count the difference: a record may replace another, or be refused.
	before := e.size(at)
	// A later record under a key repairs what an earlier one broke.
	delete(e.wrong, string(r.Key))
	err := error(nil)
	switch {
	case r.Excess != nil:
		err = r.Excess
	case r.Value == nil:
		e.remove(at)
	default:
		err = e.take(at, r.Value)
	}
	if err != nil {
		e.remove(at)
		e.wrong[string(r.Key)] = fmt.Errorf("record %s@%d: %w", ledgerPartition, r.Offset, err)
	}
	b.size += e.size(at) - before
	if b.size > maxBook {
		return fmt.Errorf("its records take more than %d MB of memory: see who writes to it", maxBook>>20)
	}
	return nil
}

// take adds one value.
func (e *entries) take(at place, raw []byte) error {
	switch at.kind {
	case kindPartition:
		var p partitionRecord
		if err := unpack(raw, &p); err != nil {
			return err
		}
		// The bound keeps computations with offsets far from overflow.
		if p.Base < 0 || p.Base > 1<<62 || p.Replayed < 0 || p.Skipped < 0 || len(p.Topic) != 2*len(transport.TopicID{}) {
			return errors.New("it is damaged")
		}
		e.partitions[at.partition] = p
	case kindPage:
		id, p, err := unpackPage(raw)
		if err != nil {
			return err
		}
		if e.pages[at.partition] == nil {
			e.pages[at.partition] = make(map[int64]storedPage)
		}
		e.pages[at.partition][at.page] = storedPage{id, p}
	case kindJob:
		j, err := unpackJob(raw, at)
		if err != nil {
			return err
		}
		e.jobs[at.job], e.jobBytes[at.job] = j, len(raw)
	case kindFence:
		var f fenceRecord
		if err := unpack(raw, &f); err != nil {
			return err
		}
		if len(f.Nonce) > maxKey {
			return errors.New("it is damaged")
		}
		e.fences = append(e.fences, f.Nonce)
		e.fences = e.fences[max(len(e.fences)-maxFences, 0):]
	}
	return nil
}

// remove removes what was stored under a key, if anything.
func (e *entries) remove(at place) {
	switch at.kind {
	case kindPartition:
		delete(e.partitions, at.partition)
	case kindPage:
		delete(e.pages[at.partition], at.page)
	case kindJob:
		delete(e.jobs, at.job)
		delete(e.jobBytes, at.job)
	case kindFence:
		e.fences = nil
	}
}

// size returns roughly what an entry takes in memory.
func (e *entries) size(at place) int {
	const overhead = 64
	wrong := 0
	if e.wrong[string(at.key())] != nil {
		wrong = 2*maxKey + overhead
	}
	switch at.kind {
	case kindPartition:
		if _, ok := e.partitions[at.partition]; ok {
			return 2*overhead + wrong
		}
	case kindPage:
		if _, ok := e.pages[at.partition][at.page]; ok {
			return len(page{}) + overhead + wrong
		}
	case kindJob:
		// Decoded, short values in lists take several times their size in JSON.
		return 4*e.jobBytes[at.job] + overhead + wrong
	}
	return wrong
}

// of returns the entries of a box, and an error if one of them can't be read.
func (b *book) of(topic string) (*entries, error) {
	e := b.boxes[topic]
	if e == nil {
		return &entries{}, nil
	}
	// One is enough to refuse: a letter whose decision is lost could come back twice.
	for _, err := range e.wrong {
		return nil, fmt.Errorf("what was decided about %s: %w", topic, err)
	}
	return e, nil
}

// ledger returns a copy of a partition's ledger, and whether there is one.
func (e *entries) ledger(p int32, id transport.TopicID) (*ledger, bool) {
	stored, ok := e.partitions[p]
	// Without an id there is nothing to compare.
	if !ok || id != (transport.TopicID{}) && stored.Topic != hex.EncodeToString(id[:]) {
		return nil, false
	}
	pages := make(map[int64]*page)
	var stale []int64
	// Pages of an earlier topic of that name are removed with the next decision.
	for n, s := range e.pages[p] {
		if s.id == id {
			pages[n] = s.page
		} else {
			stale = append(stale, n)
		}
	}
	l := newLedger(stored.Base, stored.Replayed, stored.Skipped, pages)
	for _, n := range stale {
		l.change(n)
	}
	return l, true
}

// held returns the job of a box that a live process is running, nil if there is none; of
// several, the one that was renewed last.
func (e *entries) held(live func(*Job) bool) *Job {
	var held *Job
	for _, j := range e.jobs {
		if live(j) && (held == nil || cmp.Or(j.Holder.Renewed.Compare(held.Holder.Renewed), cmp.Compare(j.ID, held.ID)) > 0) {
			held = j
		}
	}
	return held
}
