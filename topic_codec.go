package eventbus

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"
)

// encode sets in e all that topic, value and settings know; Source and Topic are
// there already where a bus publishes, and the trace comes later. Key and Data may lie in buf, whose content is lost.
// The buffer that comes back is for the next event, when e is not needed any more.
//
// An event of a keyed topic that has no key is refused: written without one it
// would lose its place in the order without a word.
func (t *Topic[T]) encode(ctx context.Context, e *Envelope, v T, s *publishSettings, buf []byte) ([]byte, error) {
	if err := s.err(); err != nil {
		return buf, err
	}
	p := t.values.Get().(*T)
	*p = v
	buf, err := t.encodeValue(ctx, e, p, s, buf)
	var zero T
	*p = zero
	t.values.Put(p)
	return buf, err
}

func (t *Topic[T]) encodeValue(ctx context.Context, e *Envelope, p *T, s *publishSettings, buf []byte) (_ []byte, err error) {
	if t.pointer != nil && reflect.ValueOf(p).Elem().IsNil() {
		return buf, fmt.Errorf("%w: %s: %w", ErrSerialization, t.decl.GoType, errNilEvent)
	}
	s.fill(e, &t.ids)
	e.Type, e.DataContentType, e.DataSchema = t.decl.Typ, t.decl.CodecName, t.decl.DataSchema
	buf = buf[:0]
	switch {
	case s.keyed:
		buf = append(buf, s.key...)
	case t.key != nil:
		if buf, err = t.key(buf, p); err != nil {
			return buf, fmt.Errorf("event of type %s has no key: %w", t.decl.Typ, err)
		}
	}
	key := buf[:len(buf):len(buf)]
	if s.keyed || t.key != nil {
		e.Key = nonNil(key)
	}
	room := buf[len(buf):]
	data, err := t.codec.Encode(ctx, room, e, t.codecValue(p))
	if err != nil {
		return buf, encodeError(t.decl.GoType, err)
	}
	e.Data = nonNil(data)
	if len(data) > cap(room) {
		// It did not fit. What the codec returned may be memory of its own, so
		// the room for the next event is made here.
		return make([]byte, 0, 2*(len(key)+len(data))), nil
	}
	return buf, nil
}

// nonNil keeps empty keys and data apart from none.
func nonNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// fill sets what the options say, and new ids and times where they say nothing.
func (s *publishSettings) fill(e *Envelope, ids *eventIDs) {
	now := time.Now()
	e.ID, e.Time, e.Timestamp = s.id, s.time, now
	if e.ID == "" {
		e.ID = ids.next(now)
	}
	if e.Time.IsZero() {
		e.Time = now.UTC()
	}
	e.Subject, e.CorrelationID, e.CausationID = s.subject, s.correlationID, s.causationID
	// Clipped, so that a header that a codec appends is this event's alone.
	e.Extensions, e.Headers = s.extensions, slices.Clip(s.headers)
}

// decode reads e.Data.
func (t *Topic[T]) decode(ctx context.Context, e *Envelope) (v T, err error) {
	if e.Tombstone {
		return v, decodeError(t.decl.GoType, errors.New("the event is a tombstone, which has no data"))
	}
	p := t.values.Get().(*T)
	if t.pointer != nil {
		reflect.ValueOf(p).Elem().Set(reflect.New(t.pointer))
	}
	if err = t.codec.Decode(ctx, e, t.codecValue(p)); err == nil {
		v = *p
	} else {
		err = decodeError(t.decl.GoType, err)
	}
	var zero T
	*p = zero
	t.values.Put(p)
	return v, err
}

// codecValue is what codecs see: a single pointer, also for a T that is one.
func (t *Topic[T]) codecValue(p *T) any {
	if t.pointer != nil {
		return any(*p)
	}
	return any(p)
}

// appendKey appends the key of v to dst, and returns false if it has none.
func (t *Topic[T]) appendKey(dst []byte, v T) ([]byte, bool) {
	if t.key == nil {
		return dst, false
	}
	p := t.values.Get().(*T)
	*p = v
	out, err := t.key(dst, p)
	var zero T
	*p = zero
	t.values.Put(p)
	if err != nil {
		return dst, false
	}
	return out, true
}
