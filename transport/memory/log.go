package memory

import (
	"cmp"
	"slices"
	"time"
	"unsafe"

	"github.com/eventbus-go/eventbus/transport"
)

// log is one partition: the records with offsets in [start, end).
type log struct {
	transport.Partition
	start, end  int64
	entries     []entry // by rising offset, with gaps where compaction removed some
	leaderEpoch int32
	holds       int           // fetches wait while there are any
	readers     []*assignment // who is to be woken by a new record
	outsiders   []*position   // the same of readers outside groups
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
	own(one)
	one[0].Topic, one[0].Partition = l.Topic, l.Partition.Partition
	one[0].Offset, one[0].Time, one[0].LeaderEpoch = l.end, at, l.leaderEpoch
	l.entries = append(l.entries, entry{one[0], order})
	l.end++
	l.wakeReaders()
	return transport.Position{Partition: l.Partition, Offset: one[0].Offset, Time: at}
}

// wakeReaders makes everyone who reads the log look again.
func (l *log) wakeReaders() {
	for _, a := range l.readers {
		a.consumer.wakePoll()
	}
	for _, p := range l.outsiders {
		p.reader.wakePoll()
	}
}

// index is the place in entries of the first one at or after an offset.
func (l *log) index(offset int64) int {
	i, _ := slices.BinarySearchFunc(l.entries, offset, func(e entry, o int64) int { return cmp.Compare(e.Offset, o) })
	return i
}

// read copies the records from an offset on, at least one and then up to limit
// bytes, and returns where the next read starts, and the memory that they lie in.
func (l *log) read(from int64, limit int) (records []transport.Record, next int64, memory []byte) {
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
	return records, next, own(records)
}

// batch is what read returns as a Batch, with its size in bytes.
func (l *log) batch(from int64, limit int) (b *transport.Batch, size int) {
	records, next, memory := l.read(from, limit)
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
	b.Release = scribble(memory, records)
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

// own makes records independent of the memory that they refer to: it copies their
// keys, values and headers into one new buffer, and returns that. Nil stays apart
// from empty.
func own(records []transport.Record) []byte {
	size, count := 0, 0
	for _, r := range records {
		size += len(r.Key) + len(r.Value)
		count += len(r.Headers)
		for _, h := range r.Headers {
			size += len(h.Key) + len(h.Value)
		}
	}
	memory := make([]byte, 0, size)
	headers := make([]transport.Header, 0, count)
	place := func(b []byte) []byte {
		if b == nil {
			return nil
		}
		from := len(memory)
		memory = append(memory, b...)
		return memory[from:len(memory):len(memory)]
	}
	for i := range records {
		r := &records[i]
		r.Key, r.Value = place(r.Key), place(r.Value)
		if r.Headers == nil {
			continue
		}
		from := len(headers)
		for _, h := range r.Headers {
			// The header's key lies in the buffer too, so that Release
			// overwrites all that a driver which decodes in place would overwrite.
			k := place([]byte(h.Key))
			headers = append(headers, transport.Header{Key: unsafe.String(unsafe.SliceData(k), len(k)), Value: place(h.Value)})
		}
		r.Headers = headers[from:len(headers):len(headers)]
	}
	return memory
}
