// Package keypath finds the struct fields that make an event's key and formats
// them: those with the tag eventbus:"key". Keys decide partitions, so the format
// of each type never changes.
//
//	compile.go where the keys of a type come from
//	fields.go  finding the fields, and appending one to a key
//	format.go  the text form of each type
package keypath

import (
	"encoding"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/eventbus-go/eventbus/internal/declare"
	"github.com/eventbus-go/eventbus/internal/errtree"
)

// keyTag is the name of the struct tag that marks the parts of a key.
const keyTag = "eventbus"

// TaggedFields returns the tagged fields of a struct in the order of the key's
// parts, also from nested structs and behind pointers, and their names as the
// declaration shows them. Faults of the tags are added to wrong. Reflection on the
// type happens here, once per topic, and not at each publish.
func TaggedFields(t reflect.Type, wrong *declare.Faults) (fields []Field, path string) {
	w := keyWalk{wrong: wrong, open: make(map[reflect.Type]bool)}
	// A step is nil where a pointer is followed first.
	var steps [][]int
	if t.Kind() == reflect.Pointer {
		t, steps = t.Elem(), append(steps, nil)
	}
	if t.Kind() != reflect.Struct {
		return nil, ""
	}
	w.walk(t, "", append(steps, nil))
	if w.tags > mostTags {
		wrong.Add("Key", "more than %d fields are tagged as key: set Key", mostTags)
	}
	if len(w.found) > 1 {
		w.order()
	}
	names := make([]string, len(w.found))
	for i := range w.found {
		names[i] = w.found[i].name
	}
	return w.found, strings.Join(names, "|")
}

// keyWalk gathers the tagged fields of a type.
type keyWalk struct {
	// found are the fields in the order of the struct.
	found []Field
	wrong *declare.Faults
	// open has the structs that the walk is in, to end recursion.
	open map[reflect.Type]bool
	// tags counts the tagged fields so far.
	tags int
}

// mostTags bounds the tagged fields that are looked at. Structs that contain each other
// have a field at very many paths, each of which counts.
const mostTags = 32

// walk gathers the fields of a struct that steps lead to: a slice of field
// indices for each stretch without a pointer. A struct inside itself is entered
// once, so recursive types end. Structs that lead to no tagged field are not
// entered, since the number of paths through them may be exponential.
func (w *keyWalk) walk(t reflect.Type, outer string, steps [][]int) {
	w.open[t] = true
	defer delete(w.open, t)
	barren := maps.Clone(w.open)
	for i := 0; i < t.NumField() && w.tags <= mostTags; i++ {
		f := t.Field(i)
		name := outer + f.Name
		// Clones, since fields share the steps that lead to their struct.
		here := slices.Clone(steps)
		last := len(here) - 1
		here[last] = append(slices.Clone(here[last]), i)
		ft := f.Type
		if ft.Kind() == reflect.Pointer {
			ft, here = ft.Elem(), append(here, nil)
		}
		// Do not visit the fields of a tagged struct: the tag makes the whole
		// struct one part.
		if tag, ok := f.Tag.Lookup(keyTag); ok {
			w.tags++
			w.take(f, ft, name, tag, here)
		} else if entered(&f) {
			if looked := maps.Clone(barren); leads(ft, looked) {
				w.walk(ft, name+".", here)
			} else {
				barren = looked
			}
		}
	}
}

// leads reports whether a struct that is not in seen has a tagged field, itself or in
// such structs inside it. It adds those that it visits to seen.
func leads(t reflect.Type, seen map[reflect.Type]bool) bool {
	if seen[t] {
		return false
	}
	seen[t] = true
	for i := range t.NumField() {
		f := t.Field(i)
		if _, tagged := f.Tag.Lookup(keyTag); tagged {
			return true
		}
		if entered(&f) && leads(element(f.Type), seen) {
			return true
		}
	}
	return false
}

// entered reports whether the fields of a field's struct count.
func entered(f *reflect.StructField) bool {
	return element(f.Type).Kind() == reflect.Struct && (f.IsExported() || f.Anonymous)
}

// element returns what a pointer type points to, and any other type itself.
func element(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Pointer {
		return t.Elem()
	}
	return t
}

// take adds a tagged field, or a fault that says how to make it one.
func (w *keyWalk) take(f reflect.StructField, t reflect.Type, name, tag string, steps [][]int) {
	order, ok := parseKeyTag(tag)
	format := keyFormat(t)
	switch {
	case !ok:
		w.wrong.Add("Key", "field %s has the tag eventbus:%q: write eventbus:\"key\", or eventbus:\"key=1\" and so on for a key of several fields", name, tag)
	case !f.IsExported():
		w.wrong.Add("Key", "field %s is tagged as key and not exported: export it, or set Key", name)
	case format == nil && t.Kind() == reflect.Struct:
		w.wrong.Add("Key", "field %s is tagged as key and is a struct: tag the fields in it, or give %s a MarshalText", name, t)
	case format == nil:
		w.wrong.Add("Key", "field %s is tagged as key and can't be one, being a %s: use a string, an integer, a bool or a type with MarshalText, or set Key", name, f.Type)
	default:
		w.found = append(w.found, Field{name: name, order: order, index: steps, format: format})
	}
}

// parseKeyTag parses "key", with order 0, and "key=3". It reports whether the
// tag is either.
func parseKeyTag(tag string) (order int, ok bool) {
	if tag == "key" {
		return 0, true
	}
	number, found := strings.CutPrefix(tag, "key=")
	n, err := strconv.Atoi(number)
	return n, found && err == nil && n > 0
}

// order sorts the parts by number. Several parts without numbers are refused:
// the order of the struct's fields would decide, and moving one would silently
// change every key, and so the partition and the order of its events.
func (w *keyWalk) order() {
	// Not slices.SortStableFunc, which adds 14 kB to a program for each large type.
	sort.SliceStable(w.found, func(i, k int) bool { return w.found[i].order < w.found[k].order })
	for i := range w.found {
		switch f := &w.found[i]; {
		case f.order == 0:
			w.wrong.Add("Key", "field %s is one of several that are tagged as key: number them all, eventbus:\"key=1\", eventbus:\"key=2\" and so on", f.name)
		case i > 0 && f.order == w.found[i-1].order:
			w.wrong.Add("Key", "fields %s and %s are both key=%d: give each its own number", w.found[i-1].name, f.name, f.order)
		}
	}
}

// Field is one tagged field, and how it is formatted. It is safe for concurrent
// use.
type Field struct {
	// name is the path of Go names, for errors.
	name string
	// order is the tag's number, 0 if it has none.
	order int
	// index leads to the field, as TaggedFields found it: between two steps lies a
	// pointer.
	index [][]int
	// format appends a value of the field's type.
	format func(dst []byte, v reflect.Value) ([]byte, error)
}

// Append appends the field of the struct v to dst. A nil pointer on the way is
// an error rather than an empty part, which would put unrelated events under one
// key. Errors name the field and not its value, which may be personal data.
func (f *Field) Append(dst []byte, v reflect.Value) ([]byte, error) {
	for i, step := range f.index {
		if i > 0 {
			if v.IsNil() {
				return dst, fmt.Errorf("the key field %s is nil: set it, or publish with WithKey", f.name)
			}
			v = v.Elem()
		}
		if len(step) > 0 {
			v = v.FieldByIndex(step)
		}
	}
	dst, err := f.format(dst, v)
	if err != nil {
		// The text of a user's error may show the key.
		return dst, errtree.Worded(fmt.Sprintf("the key field %s has no text form (%T)", f.name, err), err)
	}
	return dst, nil
}

// TextMarshaler is exported for internal/jsonsame, which looks for the same method.
var (
	TextMarshaler = reflect.TypeFor[encoding.TextMarshaler]()
	textAppender  = reflect.TypeFor[encoding.TextAppender]()
	stringer      = reflect.TypeFor[fmt.Stringer]()
)
