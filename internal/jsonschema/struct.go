package jsonschema

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"unicode"
)

// Tags of fields that a schema takes over: `doc:"The customer's number"` describes
// a field, and `data:"personal"` marks one that holds personal data.
const (
	docTag      = "doc"
	dataTag     = "data"
	personalTag = "personal"
)

// Personal marks a property that holds personal data.
const Personal = "x-eventbus-personal"

// field is a field of a struct as encoding/json writes it. Promoted fields appear
// in the struct that embeds them.
type field struct {
	reflect.StructField
	// name is the member's name. tagged says that it comes from the tag.
	name   string
	tagged bool
	// depth is the number of embedded structs around the field.
	depth int
	// addr says whether the field's value is addressable.
	addr bool
	// optional is set if a nil pointer on the way leaves the field out.
	optional bool
	// options are those of the tag, such as omitempty.
	options []string
}

// has reports whether the tag has an option.
func (f *field) has(option string) bool { return slices.Contains(f.options, option) }

// fields returns the schema of a struct: open, since every added field would be a
// break otherwise.
func (w *walk) fields(t reflect.Type, addr bool) object {
	properties, required := make(object), []string{}
	for _, f := range visible(t, addr) {
		s := w.field(&f)
		if doc := f.Tag.Get(docTag); doc != "" {
			s = annotated(s, "description", doc)
		}
		if f.Tag.Get(dataTag) == personalTag {
			s = annotated(s, Personal, true)
		}
		properties[f.name] = s
		// What is always written is required: readers rely on it.
		if !f.optional && !f.omitted() {
			required = append(required, f.name)
		}
	}
	slices.Sort(required)
	// additionalProperties stays away: see above.
	s := object{"type": "object", "properties": properties}
	if len(required) > 0 {
		s["required"] = required
	}
	return s
}

// annotated adds a keyword beside a schema, which is shared only where it is a
// reference.
func annotated(s object, keyword string, value any) object {
	s = maps.Clone(s)
	s[keyword] = value
	return s
}

// field returns the schema of a field's value.
func (w *walk) field(f *field) object {
	t := f.Type
	// The option string puts scalars in quotes, and is ignored for everything else.
	if f.has("string") {
		inner, pointer := t, false
		if t.Name() == "" && t.Kind() == reflect.Pointer {
			inner, pointer = t.Elem(), true
		}
		if quotable(inner) && !selfMarshaling(inner, f.addr || pointer) {
			s := object{"type": "string"}
			if pointer && !f.omitted() {
				s = orNull(s)
			}
			return s
		}
	}
	s := w.of(t, f.addr)
	if f.neverNull() {
		s = notNull(s)
	}
	return s
}

// quotable reports whether the option string applies to a type.
func quotable(t reflect.Type) bool {
	k := t.Kind()
	return k >= reflect.Bool && k <= reflect.Float64 || k == reflect.String
}

// omitted reports whether a value of the field may be left out: struct values are
// never empty (encoding/json, Marshal).
func (f *field) omitted() bool {
	if f.has("omitzero") {
		return true
	}
	if !f.has("omitempty") {
		return false
	}
	switch f.Type.Kind() {
	case reflect.Struct, reflect.Chan, reflect.Func, reflect.Complex64, reflect.Complex128:
		return false
	case reflect.Array:
		return f.Type.Len() == 0
	}
	return true
}

// neverNull reports whether the field is left out where its value would be null.
func (f *field) neverNull() bool {
	t := f.Type
	switch t.Kind() {
	case reflect.Slice, reflect.Map:
	case reflect.Pointer:
		switch t.Elem().Kind() {
		case reflect.Slice, reflect.Map, reflect.Pointer, reflect.Interface:
			return false // what it points to may be null
		}
	default:
		return false
	}
	if f.has("omitempty") {
		return true
	}
	// A method IsZero may call a value zero that is not nil, and the other way
	// round.
	_, custom := t.MethodByName("IsZero")
	return f.has("omitzero") && !custom
}

// visible lists the fields of a struct and of what it embeds as encoding/json does:
// the least nested wins a name, then the tagged one, and two that tie hide each other.
// addr says whether a value of t is addressable.
// They come in the order in which they are declared.
func visible(t reflect.Type, addr bool) []field {
	var found []field
	collect(t, field{addr: addr}, map[reflect.Type]bool{}, &found)
	byName := make(map[string][]field)
	var order []string
	for _, f := range found {
		if byName[f.name] == nil {
			order = append(order, f.name)
		}
		byName[f.name] = append(byName[f.name], f)
	}
	var out []field
	for _, name := range order {
		if f, ok := dominant(byName[name]); ok {
			out = append(out, f)
		}
	}
	return out
}

// dominant returns the field that wins a name, and reports whether one does.
// It may sort all in place.
func dominant(all []field) (best field, ok bool) {
	slices.SortStableFunc(all, func(a, b field) int {
		if a.depth != b.depth {
			return a.depth - b.depth
		}
		if a.tagged != b.tagged {
			if a.tagged {
				return -1
			}
			return 1
		}
		return 0
	})
	// Sorted, only the second one can tie with the first.
	best = all[0]
	return best, len(all) == 1 || all[1].depth != best.depth || all[1].tagged != best.tagged
}

// collect appends the fields of t and of the structs in it without a name of their
// own. open has the types that the walk is in, so that a struct which embeds itself
// ends.
func collect(t reflect.Type, outer field, open map[reflect.Type]bool, found *[]field) {
	if open[t] {
		return
	}
	open[t] = true
	defer delete(open, t)
	for i := range t.NumField() {
		f := field{StructField: t.Field(i), depth: outer.depth, addr: outer.addr, optional: outer.optional}
		inner := f.Type
		if inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		// An unexported embedded struct is entered: its exported fields are
		// promoted.
		if f.Anonymous && !f.IsExported() && inner.Kind() != reflect.Struct || !f.Anonymous && !f.IsExported() {
			continue
		}
		tag := f.Tag.Get("json")
		if tag == "-" {
			continue
		}
		name, options, _ := strings.Cut(tag, ",")
		// encoding/json ignores a name that it does not allow, and keeps the
		// options.
		if !validName(name) {
			name = ""
		}
		f.options = strings.Split(options, ",")
		f.name, f.tagged = name, name != ""
		if name == "" && f.Anonymous && inner.Kind() == reflect.Struct {
			pointer := f.Type.Kind() == reflect.Pointer
			collect(inner, field{depth: f.depth + 1, addr: f.addr || pointer, optional: f.optional || pointer}, open, found)
			continue
		}
		if f.name == "" {
			f.name = f.Name
		}
		*found = append(*found, f)
	}
}

// validName reports whether encoding/json takes a tag's name.
func validName(name string) bool {
	for _, c := range name {
		if !strings.ContainsRune("!#$%&()*+-./:;<=>?@[]^_{|}~ ", c) && !unicode.IsLetter(c) && !unicode.IsDigit(c) {
			return false
		}
	}
	return name != ""
}
