package memory

import (
	"cmp"
	"slices"
	"time"

	"github.com/eventbus-go/eventbus/internal/lease"
	"github.com/eventbus-go/eventbus/transport"
)

// log is one partition: the records with offsets in [start, end).
// The cluster's mutex guards it. Offsets are never given twice but after truncate, so
// entries stay sorted without any sorting. A log outlives its topic for the readers
// that have found it: they notice that it is not the topic's any more.
type log struct {
	transport.Partition
	start, end  int64
	entries     []entry // by rising offset, with gaps where compaction removed some
	leaderEpoch int32
	holds       int        // fetches wait while there are any
	followers   []follower // the assignments and readers' positions on it
}

// follower is a place at which a log is read. The cluster's mutex is held at each call.
// It is a consumer's assignment or a reader's position: the log knows neither, and
// must be told of the end of each by unfollow, or it keeps it alive.
type follower interface {
	// wake has the reader look for records again.
	wake()
	// reposition moves a place that the log no longer has.
	reposition()
	// noteFetch keeps the time of the last fetch before something ends fetching.
	noteFetch()
}

// unfollow removes a follower.
func (l *log) unfollow(f follower) {
	l.followers = slices.DeleteFunc(l.followers, func(o follower) bool { return o == f })
}

// entry is a record and its place in the order in which all records of the
// cluster were appended.
type entry struct {
	transport.Record
	order uint64
}

// append copies r to the end of the log.
// The caller keeps r, and may change it afterwards, as it may with a driver that has
// sent it.
func (l *log) append(r *transport.Record, at time.Time, order uint64) transport.Position {
	one := []transport.Record{*r}
	lease.Copy(one) // it never ends: what is in the log stays
	one[0].Topic, one[0].Partition = l.Topic, l.Partition.Partition
	one[0].Offset, one[0].Time, one[0].LeaderEpoch = l.end, at, l.leaderEpoch
	l.entries = append(l.entries, entry{one[0], order})
	l.end++
	// The consumers look once the caller lets go of the mutex.
	l.wakeReaders()
	return transport.Position{Partition: l.Partition, Offset: one[0].Offset, Time: at}
}

// wakeReaders has everything that reads the log look again.
func (l *log) wakeReaders() {
	for _, f := range l.followers {
		f.wake()
	}
}

// index is the place in entries of the first one at or after an offset.
// It is len(entries) if there is none. After compaction the entry's offset may be greater.
func (l *log) index(offset int64) int {
	i, _ := slices.BinarySearchFunc(l.entries, offset, func(e entry, o int64) int { return cmp.Compare(e.Offset, o) })
	return i
}

// read copies the records from an offset on, at least one and then up to limit
// bytes, and returns where the next read starts. The records share the log's memory.
// At the end of the log there may be none. The caller copies them before it lends them out.
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
	// Next is the offset of the first record that was left, not one past the last that
	// was taken: over what compaction removed there is nothing to wait for.
	next = l.end
	if j < len(l.entries) {
		next = l.entries[j].Offset
	}
	return records, next
}

// batch is what read returns as a Batch, with its size in bytes.
// The records are lent, in memory of their own: what a borrower keeps past Release, or
// writes to, must never be the log's.
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

// resolve is the offset of a start position.
func (l *log) resolve(s transport.Start) int64 {
	if s.IsLatest() {
		return l.end
	}
	at, timed := s.Time()
	if !timed {
		return l.start
	}
	// The first whose time is not before at, by offset and not by time, as Kafka's
	// ListOffsets answers: times of a producer need not rise with the offsets.
	for _, e := range l.entries {
		if !e.Time.Before(at) {
			return e.Offset
		}
	}
	return l.end
}

// deleteBefore removes what lies before an offset, as retention does.
func (l *log) deleteBefore(offset int64) {
	l.entries = slices.Delete(l.entries, 0, l.index(offset))
	l.start = offset
}

// truncate removes what lies at and after an offset, as an unclean leader election
// does. The new leader has a new epoch.
// By the epoch a consumer that remembers the one of its last record can notice, KIP-320.
func (l *log) truncate(end int64) {
	l.entries = slices.Delete(l.entries, l.index(end), len(l.entries))
	l.end = end
	l.leaderEpoch++
}

// compact keeps the last record of each key, and those without a key.
// Offsets and the end stay as they are: a compacted log has gaps and is no shorter.
// A record without a value, a tombstone, is kept as any other.
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
