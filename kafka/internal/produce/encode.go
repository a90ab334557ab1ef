package produce

import (
	"encoding/binary"
	"net"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/kafka/internal/cluster"
	"github.com/eventbus-go/eventbus/transport"
)

// copied is how many bytes of batches are copied into a request. Others are written from where
// they are: one writev costs more than copying little, and less than copying much.
const copied = 64 << 10

// produceRequest is a ProduceRequest whose body is written from the batches of a flight.
type produceRequest struct {
	kmsg.ProduceRequest
	flight *flight
	// gaps are the positions in the frame of batches that were not copied into it.
	gaps    []gap
	scatter bool
	buffers net.Buffers // memory of pieces
}

type gap struct {
	// at is the batch's position in the frame; batch is its bytes, which the partition owns.
	at    int
	batch []byte
}

// frame appends the framed request to b, without the batches if they are large.
func (q *produceRequest) frame(clientID string, b []byte) []byte {
	clear(q.gaps)
	q.gaps = q.gaps[:0]
	q.scatter = q.flight.size > copied
	if !q.scatter {
		b = slices.Grow(b, q.flight.size+256)
	}
	b = q.AppendTo(cluster.AppendHeader(b, q, clientID))
	size := len(b) - 4
	for _, c := range q.gaps {
		size += len(c.batch)
	}
	binary.BigEndian.PutUint32(b, uint32(size))
	return b
}

// pieces returns the frame with the batches in their places, or nil if the frame contains them.
// It refers to the batches' memory, which must not change until it is written.
func (q *produceRequest) pieces(frame []byte) net.Buffers {
	if !q.scatter {
		return nil
	}
	q.buffers = q.buffers[:0]
	from := 0
	for _, c := range q.gaps {
		q.buffers = append(q.buffers, frame[from:c.at], c.batch)
		from = c.at
	}
	q.buffers = append(q.buffers, frame[from:])
	return q.buffers
}

// byID is the first version of Produce that names topics by id (KIP-516). A broker then refuses
// records for a deleted topic even if another topic has its name.
const byID = 13

// mostVersion returns the highest version in which the request can be sent: byID, unless a
// topic's id is unknown.
func (q *produceRequest) mostVersion() int16 {
	for _, c := range q.flight.carried {
		if c.part.topic.layout.Load().id == (transport.TopicID{}) {
			return byID - 1
		}
	}
	return byID
}

// AppendTo writes the body, in versions 3 to 13
// (https://kafka.apache.org/protocol.html#The_Messages_Produce), and records for each batch the
// topic id under which it was sent.
func (q *produceRequest) AppendTo(b []byte) []byte {
	e := encoder{b, q.GetVersion() >= 9}
	e.nullString()
	e.int16(-1) // acknowledged by all in-sync replicas
	e.int32(q.TimeoutMillis)
	carried := q.flight.carried
	topics := 0
	for i, c := range carried {
		if i == 0 || c.part.topic != carried[i-1].part.topic {
			topics++
		}
	}
	e.length(topics)
	for len(carried) > 0 {
		topic := carried[0].part.topic
		n := slices.IndexFunc(carried, func(c flightBatch) bool { return c.part.topic != topic })
		if n < 0 {
			n = len(carried)
		}
		id := topic.layout.Load().id
		if q.GetVersion() >= byID {
			e.b = append(e.b, id[:]...)
		} else {
			e.string(topic.name)
		}
		e.length(n)
		for i := range carried[:n] {
			c := &carried[i]
			c.sentTo = id
			wire := c.batch.wire()
			e.int32(c.part.index)
			e.length(len(wire))
			if q.scatter {
				q.gaps = append(q.gaps, gap{len(e.b), wire})
			} else {
				e.b = append(e.b, wire...)
			}
			e.tags()
		}
		e.tags()
		carried = carried[n:]
	}
	e.tags()
	return e.b
}

// encoder writes fields of requests, in the compact form of flexible versions
// (KIP-482) or the older one.
type encoder struct {
	b       []byte
	compact bool
}

// int16 writes a number of two bytes, in network order like all numbers.
func (e *encoder) int16(v int16) { e.b = binary.BigEndian.AppendUint16(e.b, uint16(v)) }

// int32 writes a number of four bytes.
func (e *encoder) int32(v int32) { e.b = binary.BigEndian.AppendUint32(e.b, uint32(v)) }

// length writes the number of elements of an array, or of bytes. The compact form uses 0 for
// null, and so counts from 1.
func (e *encoder) length(n int) {
	if e.compact {
		e.b = binary.AppendUvarint(e.b, uint64(n)+1)
	} else {
		e.int32(int32(n))
	}
}

// string writes the length of s and its bytes. The only strings are names of topics, of at most
// 249 bytes.
func (e *encoder) string(s string) {
	if e.compact {
		e.length(len(s))
	} else {
		e.int16(int16(len(s)))
	}
	e.b = append(e.b, s...)
}

// nullString writes a null string: an idempotent producer has no transactional id.
func (e *encoder) nullString() {
	if e.compact {
		e.b = append(e.b, 0)
	} else {
		e.int16(-1)
	}
}

// tags writes an empty list of tagged fields.
func (e *encoder) tags() {
	if e.compact {
		e.b = append(e.b, 0)
	}
}
