package keypath

import (
	"errors"
	"reflect"
	"slices"
	"strings"

	"github.com/eventbus-go/eventbus/internal/declare"
)

// keySeparator stands between the parts of a key of several fields, keyEscape
// before either of them within a part.
const (
	keySeparator = '|'
	keyEscape    = '\\'
)

// Func appends the key of *v to dst. An error says that this event has none
// though its topic has keys: a nil pointer on the way, a failing MarshalText.
type Func[T any] func(dst []byte, v *T) ([]byte, error)

// partitionKeyer is implemented by events that make their own key.
type partitionKeyer interface{ PartitionKey() string }

// ErrNilEvent is the error of an event that is a nil pointer.
var ErrNilEvent = errors.New("the event is a nil pointer")

// Compile determines the source of T's keys once, at NewTopic, so that
// reflection costs nothing per event. A nil Func means that T has no keys.
func Compile[T any](key func(T) string, wrong *declare.Faults) (Func[T], string) {
	if key != nil {
		return func(dst []byte, v *T) ([]byte, error) { return append(dst, key(*v)...), nil }, "function"
	}
	t := reflect.TypeFor[T]()
	if f := methodKey[T](t); f != nil {
		return f, "method PartitionKey"
	}
	refuseOtherPartitionKey(t, wrong)
	fields, path := TaggedFields(t, wrong)
	if len(fields) == 0 {
		return nil, "none"
	}
	// A single field is the key as it is, without escapes, so that other clients
	// can make it.
	if len(fields) == 1 {
		part := fields[0].Append
		return func(dst []byte, v *T) ([]byte, error) { return part(dst, reflect.ValueOf(v).Elem()) }, "field " + path
	}
	return func(dst []byte, v *T) (_ []byte, err error) {
		root := reflect.ValueOf(v).Elem()
		for i := range fields {
			if i > 0 {
				dst = append(dst, keySeparator)
			}
			from := len(dst)
			if dst, err = fields[i].Append(dst, root); err != nil {
				return dst, err
			}
			dst = escapeKeyPart(dst, from)
		}
		return dst, nil
	}, "fields " + path
}

// methodKey returns a Func that calls PartitionKey, with a value or a pointer
// receiver.
func methodKey[T any](t reflect.Type) Func[T] {
	keyer := reflect.TypeFor[partitionKeyer]()
	switch {
	case t.Kind() == reflect.Pointer && t.Implements(keyer):
		return func(dst []byte, v *T) ([]byte, error) {
			if reflect.ValueOf(v).Elem().IsNil() {
				return dst, ErrNilEvent
			}
			return append(dst, any(*v).(partitionKeyer).PartitionKey()...), nil
		}
	case reflect.PointerTo(t).Implements(keyer):
		return func(dst []byte, v *T) ([]byte, error) {
			return append(dst, any(v).(partitionKeyer).PartitionKey()...), nil
		}
	}
	return nil
}

// refuseOtherPartitionKey adds a fault for a PartitionKey method with another
// signature. Ignoring it would leave the events without a key, and so without
// order.
func refuseOtherPartitionKey(t reflect.Type, wrong *declare.Faults) {
	if t.Kind() != reflect.Pointer {
		t = reflect.PointerTo(t)
	}
	if m, ok := t.MethodByName("PartitionKey"); ok {
		wrong.Add("Key", "is not set and the method PartitionKey of %s is %s: write PartitionKey() string", t.Elem(), strings.Replace(m.Type.String(), t.String(), "", 1))
	}
}

// escapeKeyPart escapes the separators and escapes in dst[from:], so that the
// keys of ("a|b", "c") and ("a", "b|c") differ.
func escapeKeyPart(dst []byte, from int) []byte {
	for i := from; i < len(dst); i++ {
		if dst[i] == keySeparator || dst[i] == keyEscape {
			dst = slices.Insert(dst, i, keyEscape)
			i++
		}
	}
	return dst
}
