package transport

import (
	"cmp"
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
	Key   string
	Value []byte
}

// Record is one record of a log, as it is written or as it was read.
//
// A nil Key is no key; an empty one is a key. A nil Value is a tombstone; an
// empty one is not.
type Record struct {
	Topic     string
	Partition int32 // AnyPartition when written without a choice of one
	Offset    int64 // read only
	Key       []byte
	Value     []byte
	Headers   []Header
	// Time is the record's timestamp, in whole milliseconds. The zero Time is
	// replaced by the producer's clock when written.
	Time time.Time
	// LeaderEpoch is that of the batch the record was read from, −1 if unknown.
	LeaderEpoch int32
}

// Size is about what the record takes in memory and on the wire, in bytes,
// before compression. Bounds in bytes are counted in it.
func (r *Record) Size() int {
	n := 70 + len(r.Key) + len(r.Value)
	for i := range r.Headers {
		n += len(r.Headers[i].Key) + len(r.Headers[i].Value) + 4
	}
	return n
}

// Header returns the value of the last header with that key.
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
	Topic     string
	Partition int32
}

// String is "topic/3".
func (p Partition) String() string { return p.Topic + "/" + strconv.Itoa(int(p.Partition)) }

// Compare orders partitions by topic, then by number: it is negative if p comes
// before q, positive if after, and 0 if they are one.
func (p Partition) Compare(q Partition) int {
	return cmp.Or(strings.Compare(p.Topic, q.Topic), cmp.Compare(p.Partition, q.Partition))
}

// Position is the place of a record that was written.
type Position struct {
	Partition
	Offset int64
	Time   time.Time
}

// TopicID is the identity of a topic through renames and re-creations (KIP-516).
// The zero TopicID is "unknown".
type TopicID [16]byte
