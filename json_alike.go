package eventbus

import (
	"bytes"
	"encoding"
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
)

// jsonLike says whether both decoders give one type the same meaning.
type jsonLike struct {
	alike bool
	times bool // it holds a time.Time
}

// jsonTypes remembers jsonLike by type.
var jsonTypes sync.Map

var (
	jsonNumber      = reflect.TypeFor[json.Number]()
	timeType        = reflect.TypeFor[time.Time]()
	jsonUnmarshaler = reflect.TypeFor[json.Unmarshaler]()
	unmarshalerFrom = reflect.TypeFor[jsonv2.UnmarshalerFrom]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// jsonAlike tells whether the new decoder may read data into a value of type t:
// what it accepts then, encoding/json accepts too, with the same result.
func jsonAlike(t reflect.Type, data []byte) bool {
	known, ok := jsonTypes.Load(t)
	if !ok {
		like := jsonLike{alike: true}
		like.look(t, make(map[reflect.Type]bool))
		known, _ = jsonTypes.LoadOrStore(t, like)
	}
	like := known.(jsonLike)
	return like.alike && (!like.times || !escapesTime(data))
}

// look searches what the two decoders take differently: json.Number, methods and
// struct tags that only the new one knows, names that only one of them allows,
// the option string (the new one takes "+5" for a number). Both leave types that
// decode themselves alone.
func (l *jsonLike) look(t reflect.Type, seen map[reflect.Type]bool) {
	if seen[t] {
		return
	}
	seen[t] = true
	pointer := reflect.PointerTo(t)
	switch {
	case t == timeType:
		l.times = true
		return
	case t == jsonNumber, pointer.Implements(unmarshalerFrom):
		l.alike = false
		return
	case pointer.Implements(jsonUnmarshaler), pointer.Implements(textUnmarshaler):
		return
	}
	switch t.Kind() {
	case reflect.Map:
		l.look(t.Key(), seen)
		l.look(t.Elem(), seen)
	case reflect.Pointer, reflect.Slice, reflect.Array:
		l.look(t.Elem(), seen)
	case reflect.Struct:
		for i := range t.NumField() {
			f := t.Field(i)
			if f.Anonymous || f.IsExported() {
				l.alike = l.alike && alikeField(f)
				l.look(f.Type, seen)
			}
		}
	}
}

// alikeField looks at the tag, and at embedded fields that are no struct.
func alikeField(f reflect.StructField) bool {
	if f.Anonymous {
		t := f.Type
		if t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		if t.Kind() != reflect.Struct {
			return false
		}
	}
	name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
	for _, r := range name {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("_-.$", r) {
			return false
		}
	}
	if options == "" {
		return true
	}
	for option := range strings.SplitSeq(options, ",") {
		if option != "omitempty" && option != "omitzero" {
			return false
		}
	}
	return true
}

// escapesTime tells whether data may hold a time with escaped characters, as
// "2024\u002d01\u002d15T10:30:00Z": encoding/json refuses it, since time.Time
// sees the escapes, and the new decoder does not. Encoders never escape them.
func escapesTime(data []byte) bool {
	for {
		i := bytes.Index(data, []byte(`\u00`))
		if i < 0 || len(data) < i+6 {
			return false
		}
		c, err := strconv.ParseUint(string(data[i+4:i+6]), 16, 8)
		if err == nil && bytes.IndexByte([]byte("+,-.0123456789:TZ"), byte(c)) >= 0 {
			return true
		}
		data = data[i+6:]
	}
}
