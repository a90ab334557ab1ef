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

// AnyPartition in Record.Partition lets the producer choose: by the murmur2 hash of the key,
// as Kafka's Java client does, or, for a nil key, one partition after another, changing after
// each batch.
const AnyPartition int32 = -1

// Header is one record header. Keys may repeat; their order is kept.
type Header struct {
	// Key is the header's name. In a record that was read it may be in borrowed memory, like
	// the value: strings.Clone it to keep it past Batch.Release.
	Key string
	// Value is the header's value. Nil is Kafka's null and distinct from empty.
	Value []byte
}

// Record is one record of a log, to be written or as it was read. If it was read, Key, Value
// and Headers are borrowed until Batch.Release and must not be changed.
//
// A nil Key means no key; an empty one is a key. A nil Value is a tombstone; an empty one is
// not.
type Record struct {
	// Topic is the topic's full name.
	Topic string
	// Partition is the partition's number, or AnyPartition to let the producer choose.
	Partition int32
	// Offset is set on records that were read, and ignored on records to be written.
	Offset int64
	// Key chooses the partition, and identifies the record to compaction.
	Key []byte
	// Value is the payload.
	Value []byte
	// Headers may repeat a key.
	Headers []Header
	// Time is the record's timestamp, in whole milliseconds; zero if it was written without
	// one. A producer replaces zero by the current time.
	Time time.Time
	// LeaderEpoch is that of the batch from which the record was read; −1 if unknown.
	LeaderEpoch int32
	// Excess, if not nil, says what is missing from a record that was read, because the whole
	// would have taken too much memory. Such a record must not be handled as an event.
	Excess *Excess
}

// Excess is the error of a record that is too large for a consumer's memory, such as one with
// millions of empty headers. It says what is missing from it.
type Excess struct {
	// Bytes is the record's decompressed size in the log.
	Bytes int
	// Headers is the record's number of headers in the log; −1 if they could not be counted.
	// Record.Headers has the first of them, at most 64.
	Headers int
	// Value reports whether the value is missing; Record.Value is then empty. The key is
	// missing too if it alone is too large.
	Value bool
}

// Error says what was too large and what is missing.
func (e *Excess) Error() string {
	switch {
	case e.Value:
		return fmt.Sprintf("the record of %d bytes is too large to read: its value is omitted", e.Bytes)
	case e.Headers < 0:
		return fmt.Sprintf("the record of %d bytes is too large to read: headers are omitted", e.Bytes)
	}
	return fmt.Sprintf("the record of %d bytes has %d headers, too many to read: all but the first are omitted", e.Bytes, e.Headers)
}

// Sizes of a Record and a Header, in bytes, on a 64-bit machine.
const (
	recordBytes = 144
	headerBytes = 40
)

// Size returns the record's size in memory, in bytes, including keys, values and the
// structures that refer to them. Limits in bytes count this size. On the wire a record is
// smaller.
func (r *Record) Size() int {
	n := recordBytes + headerBytes*len(r.Headers) + len(r.Key) + len(r.Value)
	for i := range r.Headers {
		n += len(r.Headers[i].Key) + len(r.Headers[i].Value)
	}
	return n
}

// Header returns the value of the last header with that key, and whether there is any.
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

// byTopic implements sort.Interface. slices.SortFunc would add 20 kB to a program.
type byTopic []Partition

func (p byTopic) Len() int           { return len(p) }
func (p byTopic) Less(i, k int) bool { return p[i].Compare(p[k]) < 0 }
func (p byTopic) Swap(i, k int)      { p[i], p[k] = p[k], p[i] }

// Position is where a record was written.
type Position struct {
	Partition
	// Offset is the record's offset; −1 if the record is not known to be written.
	Offset int64
	// Time is the record's timestamp in the log, in whole milliseconds.
	Time time.Time
}

// TopicID identifies a topic: a topic that is deleted and created again under the same name
// has another id (KIP-516). The zero TopicID means unknown.
type TopicID [16]byte
