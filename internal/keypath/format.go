package keypath

import (
	"encoding"
	"encoding/hex"
	"fmt"
	"reflect"
	"strconv"
	"time"
)

// keyFormat returns a function that appends a field of type t to a key, or nil
// if such a field can't be part of one. Types with a text form use it: UUIDs,
// times, decimals. Strings, integers and bools are written by their value even
// if they have a String method, because a display name may change and a key must
// not. Sixteen bytes are a UUID.
//
// Floats can't be part of a key: 0.1+0.2 and 0.3 would be two entities.
func keyFormat(t reflect.Type) func(dst []byte, v reflect.Value) ([]byte, error) {
	pointer := reflect.PointerTo(t)
	switch {
	// Time comes first: it has AppendText too, which keeps the zone.
	case t == reflect.TypeFor[time.Time]():
		return appendKeyTime
	case pointer.Implements(textAppender):
		// v is addressable: Append gets values behind the event's pointer.
		return func(dst []byte, v reflect.Value) ([]byte, error) {
			return v.Addr().Interface().(encoding.TextAppender).AppendText(dst)
		}
	case pointer.Implements(TextMarshaler):
		return func(dst []byte, v reflect.Value) ([]byte, error) {
			text, err := v.Addr().Interface().(encoding.TextMarshaler).MarshalText()
			return append(dst, text...), err
		}
	}
	switch t.Kind() {
	case reflect.String:
		return func(dst []byte, v reflect.Value) ([]byte, error) { return append(dst, v.String()...), nil }
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return func(dst []byte, v reflect.Value) ([]byte, error) { return strconv.AppendInt(dst, v.Int(), 10), nil }
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return func(dst []byte, v reflect.Value) ([]byte, error) { return strconv.AppendUint(dst, v.Uint(), 10), nil }
	case reflect.Bool:
		return func(dst []byte, v reflect.Value) ([]byte, error) { return strconv.AppendBool(dst, v.Bool()), nil }
	}
	// Other types are known by their String method, if they have one.
	switch {
	case t.Kind() != reflect.Interface && pointer.Implements(stringer):
		return func(dst []byte, v reflect.Value) ([]byte, error) {
			return append(dst, v.Addr().Interface().(fmt.Stringer).String()...), nil
		}
	case t.Kind() == reflect.Array && t.Len() == 16 && t.Elem().Kind() == reflect.Uint8:
		return appendKeyUUID
	}
	return nil
}

// appendKeyTime appends an instant in UTC, so that one instant in two time zones
// is one key.
func appendKeyTime(dst []byte, v reflect.Value) ([]byte, error) {
	return v.Addr().Interface().(*time.Time).UTC().AppendText(dst)
}

// appendKeyUUID appends 16 bytes as RFC 9562 writes a UUID.
func appendKeyUUID(dst []byte, v reflect.Value) ([]byte, error) {
	b := v.Bytes()
	for i, part := range [][]byte{b[:4], b[4:6], b[6:8], b[8:10], b[10:]} {
		if i > 0 {
			dst = append(dst, '-')
		}
		dst = hex.AppendEncode(dst, part)
	}
	return dst, nil
}
