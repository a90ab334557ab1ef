package jsonsame

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/eventbus-go/eventbus/internal/errtree"
)

// DecodeFault returns an error that says why data can't be decoded into a value of
// the type that pointer points to. Its text shows nothing of the data, which must
// not reach logs: encoding/json quotes it, and so do the errors of the types' own
// methods. err stays available to errors.As.
func DecodeFault(pointer reflect.Type, data []byte, err error) error {
	if kind, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		// The value is like "number 12.50"; its digits are data.
		value, _, _ := strings.Cut(kind.Value, " ")
		return errtree.Worded(within(kind.Field, fmt.Sprintf("a JSON %s can't be decoded into %s", value, kind.Type)), err)
	}
	// The offset is not data and shows where to look.
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		what := "it is not valid JSON"
		if syntax.Error() == "unexpected end of JSON input" {
			what = "the JSON is cut off"
		}
		return errtree.Worded(what+" at byte "+strconv.FormatInt(syntax.Offset, 10), err)
	}
	// Other errors come from a type's own method and don't name the field, so search for
	// it.
	path, t := refused(pointer.Elem(), data, 0)
	text := fmt.Sprintf("the value can't be decoded into %s (%T)", t, err)
	if _, ok := errors.AsType[*time.ParseError](err); ok {
		text = "the time is not in RFC 3339"
	}
	return errtree.Worded(within(path, text), err)
}

// within puts the path of a field before a text, if there is one.
func within(path, text string) string {
	if path == "" {
		return text
	}
	return fmt.Sprintf("field %q: %s", path, text)
}

// mostNested bounds how deep refused looks: structs may embed each other, and pointers may
// point to their own type.
// A path of that depth is long enough to find the field by.
const mostNested = 10

// refused returns the path and the type of the first field of t that does not take
// its part of data, as far as structs lead to it.
func refused(t reflect.Type, data []byte, depth int) (path string, at reflect.Type) {
	for i := 0; i < mostNested && t.Kind() == reflect.Pointer && !hasOwnForm(t.Elem()); i++ { // bounded, for type P *P
		t = t.Elem()
	}
	var members map[string]json.RawMessage
	// Anything but an object is refused as a whole.
	if t.Kind() != reflect.Struct || hasOwnForm(t) || depth > mostNested || json.Unmarshal(data, &members) != nil {
		return "", t
	}
	// Each field is decoded again, by itself. That may be slow: it runs only after decoding
	// has failed.
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-" && options == "", !f.IsExported() && !f.Anonymous:
			continue
		case f.Anonymous && name == "":
			if p, inner := refused(f.Type, data, depth+1); p != "" {
				return p, inner
			}
			continue
		case name == "":
			name = f.Name
		}
		// Names match in any case, as in encoding/json.
		for member, raw := range members {
			if !strings.EqualFold(member, name) {
				continue
			}
			var text string
			// With the option string, the text in the quotes decides.
			if strings.Contains(options, "string") && json.Unmarshal(raw, &text) == nil {
				raw = json.RawMessage(text)
			}
			if json.Unmarshal(raw, reflect.New(f.Type).Interface()) != nil {
				if p, inner := refused(f.Type, raw, depth+1); p != "" {
					return name + "." + p, inner
				}
				return name, f.Type
			}
		}
	}
	return "", t
}
