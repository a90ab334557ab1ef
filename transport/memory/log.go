package memory

import (
	"cmp"
	"slices"
	"time"

	"github.com/eventbus-go/eventbus/internal/lease"
	"github.com/eventbus-go/eventbus/transport"
)

// log is one partition: the records with offsets in [start, end). The cluster's mutex guards
// it. Only truncate lets offsets be reused, so entries stay sorted. A log outlives its topic
// for readers that have found it: they notice that the topic has another log.
type log struct {
	transport.Partition
	start, end  int64
	entries     []entry // by rising offset, with gaps left by compaction
	leaderEpoch int32
	holds       int        // number of HoldFetches in force
	followers   []follower // the assignments and readers' positions on this log
}

// follower is a place where a log is read: a consumer's assignment or a reader's position. Its
// methods are called with the cluster's mutex held. unfollow must be called when it ends, or
// the log keeps it alive.
type follower interface {
	// wake makes the reader look for records again.
	wake()
	// reposition moves a place that is no longer in the log.
	reposition()
	// noteFetch records the time of the last fetch; it is called before something ends fetching.
	noteFetch()
}

// unfollow removes a follower.
func (l *log) unfollow(f follower) {
	l.followers = slices.DeleteFunc(l.followers, func(o follower) bool { return o == f })
}

// entry is a record and its position in the order of appending of the whole cluster.
type entry struct {
	transport.Record
	order uint64
}

// append copies r to the end of the log. The caller keeps r and may change it afterwards.
func (l *log) append(r *transport.Record, at time.Time, order uint64) transport.Position {
	one := []transport.Record{*r}
	lease.Copy(one) // never released: records in the log stay
	one[0].Topic, one[0].Partition = l.Topic, l.Partition.Partition
	one[0].Offset, one[0].Time, one[0].LeaderEpoch = l.end, at, l.leaderEpoch
	l.entries = append(l.entries, entry{one[0], order})
	l.end++
	// Consumers look once the caller releases the mutex.
	l.wakeReaders()
	return transport.Position{Partition: l.Partition, Offset: one[0].Offset, Time: at}
}

// wakeReaders makes everything that reads the log look again.
func (l *log) wakeReaders() {
	for _, f := range l.followers {
		f.wake()
	}
}

// index returns the index in entries of the first record at or after an offset, or
// len(entries). After compaction that record's offset may be greater.
func (l *log) index(offset int64) int {
	i, _ := slices.BinarySearchFunc(l.entries, offset, func(e entry, o int64) int { return cmp.Compare(e.Offset, o) })
	return i
}

// read returns the records from an offset on, one and then more up to limit bytes, and the
// offset of the next read. At the end of the log there may be none. The records share the log's
// memory, so the caller must copy them before lending them.
func (l *log) read(from int64, limit int) (records []transport.Record, next int64) {
	i := l.index(from)
	j := i
	for size := 0; j < len(l.entries); j++ {
		size += l.entries[j].Size()
		if j > i && size > limit {
			break
		}
	}
	records = make([]transport.Record, j-i)
	for k := range records {
		records[k] = l.entries[i+k].Record
	}
	// next is the offset of the first record left, not one past the last record taken: there is
	// nothing to wait for in a gap left by compaction.
	next = l.end
	if j < len(l.entries) {
		next = l.entries[j].Offset
	}
	return records, next
}

// batch is read with the result as a Batch, and its size in bytes. The records are lent in
// memory of their own: a borrower that keeps or changes them past Release must not affect the
// log.
func (l *log) batch(from int64, limit int) (b *transport.Batch, size int) {
	records, next := l.read(from, limit)
	lent := lease.Of(records)
	for i := range records {
		size += records[i].Size()
	}
	b = &transport.Batch{
		Partition:     l.Partition,
		From:          from,
		Next:          next,
		Records:       records,
		LastStable:    l.end,
		HighWatermark: l.end,
	}
	b.Release = func() { lent.Release() }
	return b, size
}

// resolve returns the offset of a start position.
func (l *log) resolve(s transport.Start) int64 {
	if s.IsLatest() {
		return l.end
	}
	at, timed := s.Time()
	if !timed {
		return l.start
	}
	// The first by offset whose time is not before at, as Kafka's ListOffsets does: the times of a
	// producer need not rise with the offsets.
	for _, e := range l.entries {
		if !e.Time.Before(at) {
			return e.Offset
		}
	}
	return l.end
}

// deleteBefore removes the records before an offset, as retention does.
func (l *log) deleteBefore(offset int64) {
	l.entries = slices.Delete(l.entries, 0, l.index(offset))
	l.start = offset
}

// truncate removes the records from an offset on, as an unclean leader election does. The new
// leader has a new epoch, by which a consumer that remembers its last record's epoch can notice
// (KIP-320).
func (l *log) truncate(end int64) {
	l.entries = slices.Delete(l.entries, l.index(end), len(l.entries))
	l.end = end
	l.leaderEpoch++
}

// compact keeps the last record of each key, and all records without a key. Offsets and the end
// stay as they are: a compacted log has gaps. A tombstone is kept like any other record.
func (l *log) compact() {
	last := make(map[string]int64)
	for _, e := range l.entries {
		if e.Key != nil {
			last[string(e.Key)] = e.Offset
		}
	}
	l.entries = slices.DeleteFunc(l.entries, func(e entry) bool {
		return e.Key != nil && last[string(e.Key)] != e.Offset
	})
}
