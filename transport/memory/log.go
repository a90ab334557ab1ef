package memory

import (
	"cmp"
	"slices"
	"time"

	"github.com/eventbus-go/eventbus/internal/lease"
	"github.com/eventbus-go/eventbus/transport"
)

// log is one partition: the records with offsets in [start, end).
type log struct {
	transport.Partition
	start, end  int64
	entries     []entry // by rising offset, with gaps where compaction removed some
	leaderEpoch int32
	holds       int        // fetches wait while there are any
	followers   []follower // the assignments and readers' positions on it
}

// follower is a place at which a log is read. The cluster's mutex is held at each call.
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
func (l *log) append(r *transport.Record, at time.Time, order uint64) transport.Position {
	one := []transport.Record{*r}
	lease.Copy(one) // it never ends: what is in the log stays
	one[0].Topic, one[0].Partition = l.Topic, l.Partition.Partition
	one[0].Offset, one[0].Time, one[0].LeaderEpoch = l.end, at, l.leaderEpoch
	l.entries = append(l.entries, entry{one[0], order})
	l.end++
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
func (l *log) index(offset int64) int {
	i, _ := slices.BinarySearchFunc(l.entries, offset, func(e entry, o int64) int { return cmp.Compare(e.Offset, o) })
	return i
}

// read copies the records from an offset on, at least one and then up to limit
// bytes, and returns where the next read starts. The records share the log's memory.
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
	next = l.end
	if j < len(l.entries) {
		next = l.entries[j].Offset
	}
	return records, next
}

// batch is what read returns as a Batch, with its size in bytes.
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
func (l *log) truncate(end int64) {
	l.entries = slices.Delete(l.entries, l.index(end), len(l.entries))
	l.end = end
	l.leaderEpoch++
}

// compact keeps the last record of each key, and those without a key.
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
