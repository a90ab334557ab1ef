package handshake

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// request identifies a request, which determines how its answer is read.
type request struct {
	kind        kind
	key         kmsg.Key
	version     int16
	correlation int32
}

type kind int8

const (
	none  kind = iota // no answer is due
	plain             // a request with a header
	token             // a SASL token without one
)

// headerSize is the size of a request header up to the client id, plus the size field of the
// frame.
const headerSize = 4 + 2 + 2 + 4

// maxRequest bounds a request of kafka-go's. The largest that it sends here is a SASL token.
const maxRequest = 1 << 20

var errOverlap = errors.New("a request was written before the last one was answered")

// note adds b to the bytes that kafka-go writes, and opens the request that they complete.
func (c *Conn) note(b []byte) error {
	if c.open.kind != none || len(c.answer) > 0 {
		return errOverlap
	}
	c.frame = append(c.frame, b...)
	if len(c.frame) < 4 {
		return nil
	}
	size := int64(binary.BigEndian.Uint32(c.frame))
	switch have := int64(len(c.frame) - 4); {
	case size > maxRequest || have > size:
		return fmt.Errorf("a request of %d bytes was written as one of %d", have, size)
	case have < size:
		return nil
	}
	c.open = c.identify(c.frame)
	c.frame = c.frame[:0]
	return nil
}

// identify returns the request in frame.
func (c *Conn) identify(frame []byte) request {
	var r request
	if len(frame) >= headerSize {
		r.key = kmsg.Key(binary.BigEndian.Uint16(frame[4:]))
		r.version = int16(binary.BigEndian.Uint16(frame[6:]))
		r.correlation = int32(binary.BigEndian.Uint32(frame[8:]))
		r.kind = plain
	}
	// A raw token may consist of any bytes. kafka-go sends Metadata after the last one, with
	// a correlation id that continues its count of exchanges.
	if c.raw && (r.kind != plain || r.key != kmsg.Metadata || r.correlation <= c.last) {
		return request{kind: token}
	}
	c.raw = false
	c.last = r.correlation
	return r
}
