package letter

import (
	"errors"
	"math"
	"strconv"

	"github.com/eventbus-go/eventbus/internal/naming"
	"github.com/eventbus-go/eventbus/internal/wire"
	"github.com/eventbus-go/eventbus/transport"
)

// Redelivered sets the redelivery count and the origin of e from its headers.
// Producers outside can write these headers too; values that are not numbers, or
// below 0, read as 0, since a wrong count must not make an event unreadable.
func Redelivered(e *wire.Event) {
	for i := range e.Headers {
		switch h := &e.Headers[i]; h.Key {
		case Redeliveries:
			e.Redeliveries = int(number(h.Value, mostRedeliveries))
		case OriginTopic:
			e.Origin.Topic = string(h.Value)
		case OriginPartition:
			e.Origin.Partition.Partition = int32(number(h.Value, math.MaxInt32)) //nolint:gosec // bounded
		case OriginOffset:
			e.Origin.Offset = number(h.Value, math.MaxInt64)
		case OriginTime:
			e.Origin.Time, _ = wire.ParseTime(h.Value)
		}
	}
}

// Decode decodes a record in a topic's form, including where it was first read according
// to its headers. An event that came back keeps the id that it had there: a foreign
// record's id may be derived from its position.
func Decode(form *wire.Form, r *transport.Record, e *wire.Event) error {
	var d wire.Decoder
	return DecodeBy(&d, form, r, e)
}

// DecodeBy is Decode with a decoder that has decoded the records before.
func DecodeBy(d *wire.Decoder, form *wire.Form, r *transport.Record, e *wire.Event) error {
	var err error
	if form == nil {
		err = d.Decode(r, e)
	} else {
		var first transport.Record
		err = form.Decode(r, firstRead(form, r, &first), e)
	}
	Redelivered(e)
	return err
}

// firstRead returns the record as it was first read, before it failed, stored in room if it
// differs. It looks only at records of topics that a tool writes for a group, since a foreign
// producer may use headers with these names.
func firstRead(form *wire.Form, r, room *transport.Record) *transport.Record {
	if !form.Redelivered && !naming.IsRetry(r.Topic) {
		return r
	}
	e := wire.Event{Headers: r.Headers}
	if Redelivered(&e); e.Origin.Topic == "" {
		return r
	}
	return placed(r, &e.Origin, room)
}

// placed returns a copy of r at another position, stored in room.
func placed(r *transport.Record, at *transport.Position, room *transport.Record) *transport.Record {
	*room = *r
	room.Topic, room.Partition, room.Offset, room.Time = at.Topic, at.Partition.Partition, at.Offset, at.Time
	return room
}

// Elsewhere reports whether a record was brought back to a group other than this one.
func Elsewhere(r *transport.Record, group string) bool {
	to, ok := r.Header(RedeliveryGroup)
	return ok && string(to) != group
}

// CameBack reports whether a record is an event that came back, by its headers, for
// readers that know no declaration. A dead letter of one has these headers too, but does not count.
func CameBack(r *transport.Record) bool {
	_, counted := r.Header(Redeliveries)
	_, placed := r.Header(OriginTopic)
	return counted && placed && !IsLetter(r)
}

// FirstRead returns the topic that an event was first read from, if its headers say that
// it is in a dead letter or came back, otherwise the topic that it is in.
func FirstRead(e *wire.Event) string {
	r := transport.Record{Headers: e.Headers}
	topic, ok := r.Header(OriginTopic)
	if !ok {
		topic, ok = r.Header(Topic)
	}
	if !ok || len(topic) == 0 {
		return e.Topic
	}
	return string(topic)
}

// IsLetter reports whether a record is a dead letter, by its headers.
func IsLetter(r *transport.Record) bool {
	_, ok := r.Header(Topic)
	return ok
}

// mostRedeliveries bounds a redelivery count, so that adding one can't overflow.
const mostRedeliveries = 1_000_000

// number returns the number in a header, at most most, and 0 if it is not a number or negative.
func number(text []byte, most int64) int64 {
	n, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0
	}
	return min(max(n, 0), most)
}
