package transport

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
)

// AnyPartition in Record.Partition lets the producer choose: by the murmur2 hash
// of the key as Kafka's Java client computes it, or, for a nil key, one
// partition after another, each filled for one batch.
const AnyPartition int32 = -1

// Header is one record header. Keys may repeat; order is kept.
type Header struct {
	// Key is the header's name. Of a record that was read it may lie in borrowed
	// memory, like the value: strings.Clone it to keep it past Batch.Release.
	Key string
	// Value is the header's value. Nil is Kafka's null, and stays apart from empty.
	Value []byte
}

// Record is one record of a log, as it is written or as it was read. Of a record that
// was read, Key, Value and Headers are borrowed until Batch.Release, and must not be
// changed.
//
// A nil Key is no key; an empty one is a key. A nil Value is a tombstone; an
// empty one is not.
type Record struct {
	// Topic is the topic's full name.
	Topic string
	// Partition is the partition's number, or AnyPartition to let the producer choose.
	Partition int32
	// Offset is set on records that were read, and ignored on records to be written.
	Offset int64
	// Key decides the partition, and identifies the record to compaction.
	Key []byte
	// Value is the payload.
	Value []byte
	// Headers may repeat a key.
	Headers []Header
	// Time is the record's timestamp, in whole milliseconds; zero for a record
	// that was written without one. A producer replaces zero by its clock.
	Time time.Time
	// LeaderEpoch is that of the batch the record was read from, −1 if unknown.
	LeaderEpoch int32
	// Excess, if not nil, says what a record that was read lacks because all of it
	// would have taken too much memory. Such a record must not be handled as an event.
	Excess *Excess
}

// Excess says what is missing from a record that is too large for a consumer's memory,
// such as one with millions of empty headers. It is an error that says so in words.
type Excess struct {
	// Bytes is the record's size in its log, decompressed.
	Bytes int
	// Headers is how many headers the record has in its log; Record.Headers has the
	// first of them, at most 64. −1 if they could not be counted.
	Headers int
	// Value reports whether the value is missing: Record.Value is empty then. The key
	// is missing too if it alone is too large.
	Value bool
}

// Error says what was too large and what is missing.
func (e *Excess) Error() string {
	switch {
	case e.Value:
		return fmt.Sprintf("the record of %d bytes is too large to be read: its value is left out here", e.Bytes)
	case e.Headers < 0:
		return fmt.Sprintf("the record of %d bytes is too large to be read: headers are left out here", e.Bytes)
	}
	return fmt.Sprintf("the record of %d bytes has %d headers, too many to be read: all but the first are left out here", e.Bytes, e.Headers)
}

// What a Record and a Header take themselves, in bytes on a 64-bit machine.
const (
	recordBytes = 144
	headerBytes = 40
)

// Size returns how many bytes the record takes in memory, with its keys, values and the
// structures that refer to them. Bounds in bytes are counted in it. A record takes less
// on the wire.
func (r *Record) Size() int {
	n := recordBytes + headerBytes*len(r.Headers) + len(r.Key) + len(r.Value)
	for i := range r.Headers {
		n += len(r.Headers[i].Key) + len(r.Headers[i].Value)
	}
	return n
}

// Header returns the value of the last header with that key, and whether there is one.
func (r *Record) Header(key string) ([]byte, bool) {
	for i := len(r.Headers) - 1; i >= 0; i-- {
		if r.Headers[i].Key == key {
			return r.Headers[i].Value, true
		}
	}
	return nil, false
}

// Partition names one partition of one topic.
type Partition struct {
	// Topic is the topic's full name.
	Topic string
	// Partition is the partition's number, from 0.
	Partition int32
}

// String returns "topic/3".
//
//go:noinline
func (p Partition) String() string { return p.Topic + "/" + strconv.Itoa(int(p.Partition)) }

// Compare orders partitions by topic, then by number. It returns a negative number if
// p comes before q, a positive one if after, and 0 if they are equal.
func (p Partition) Compare(q Partition) int {
	return cmp.Or(strings.Compare(p.Topic, q.Topic), cmp.Compare(p.Partition, q.Partition))
}

// SortPartitions sorts partitions by topic, then by number.
func SortPartitions(partitions []Partition) { sort.Sort(byTopic(partitions)) }

// SortedPartitions returns the partitions of a sequence, sorted.
func SortedPartitions(partitions iter.Seq[Partition]) []Partition {
	sorted := slices.Collect(partitions)
	SortPartitions(sorted)
	return sorted
}

// byTopic implements sort.Interface. Of slices.SortFunc a program would link another
// 20 kB.
type byTopic []Partition

func (p byTopic) Len() int           { return len(p) }
func (p byTopic) Less(i, k int) bool { return p[i].Compare(p[k]) < 0 }
func (p byTopic) Swap(i, k int)      { p[i], p[k] = p[k], p[i] }

// Position is the place of a record that was written.
type Position struct {
	Partition
	// Offset is the record's offset, −1 if it is not known to be written.
	Offset int64
	// Time is the timestamp that the log has for the record, in whole milliseconds.
	Time time.Time
}

// TopicID is the identity of a topic: one that is deleted and created again under the
// same name has another (KIP-516). The zero TopicID is "unknown".
type TopicID [16]byte
