package catalog

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/eventbus-go/eventbus/internal/jsonschema"
)

// What it means that a field begins to hold personal data, that it no longer does, and
// that a new field does.
const (
	personalAdded   = "readers store and log the field as what it was: they may have to erase it now"
	personalRemoved = "the events that the topic keeps still hold personal data"
	personalField   = "readers that keep whole events now keep personal data"
)

// schemas compares the schemas of a type's data, which are in the same language: Avro,
// Protobuf or JSON Schema.
func (c *comparison) schemas(path string, old, now *Event) {
	// Both are compact, so equal schemas mostly have equal bytes.
	if bytes.Equal(old.Schema, now.Schema) || old.earlierOf(now) || now.earlierOf(old) {
		return
	}
	switch {
	case old.Schema == nil:
		c.add(path, "schema-added", Safe, "", "schema", "the older catalogue knew no schema to compare with", "")
		return
	case now.Schema == nil:
		c.add(path, "schema-removed", Undecided, "schema", "", "what the data looks like is not known any more", "Declare the topic with a codec that knows its schema, or allow it with a reason")
		return
	}
	// The content types are equal: event returns early if they differ.
	switch now.ContentType {
	case avroMedia:
		c.avro(path, old.Schema, now.Schema)
		return
	case protobufMedia:
		c.protobuf(path, old.Schema, now.Schema)
		return
	}
	was, is := new(schemaDocument), new(schemaDocument)
	if decode(old.Schema, &was.root) != nil || decode(now.Schema, &is.root) != nil || !was.understood() || !reflect.DeepEqual(was.root["$schema"], is.root["$schema"]) {
		// Different drafts can't be compared: a keyword may mean different things in
		// them.
		c.add(path, "schema-changed", Undecided, "", "", "the schema is of a language that is not understood here", "Let the schema registry check it (eventbus schemas check), and allow it with a reason")
		return
	}
	s := schemaComparison{comparison: c, old: was, now: is, seen: make(map[[2]string]bool)}
	s.compare(path+"#", was.root, is.root)
}

// earlierOf reports whether e is now as an earlier version of this package wrote it:
// the schema differs only in what that version left out. The examples must be equal,
// since they show changes of map keys that the earlier schema does not.
func (e *Event) earlierOf(now *Event) bool {
	return bytes.Equal(e.Example, now.Example) && (e.Example != nil || e.ContentType == avroMedia) && leftOut(e.Schema, now.Schema)
}

// schemaDocument is a parsed schema with its definitions, within which references
// are resolved.
type schemaDocument struct{ root map[string]any }

// draft7 is the draft of JSON Schema that registries support.
const draft7 = "http://json-schema.org/draft-07/schema#"

// understood reports whether the schema's draft is known here.
func (d *schemaDocument) understood() bool {
	return d.root["$schema"] == jsonschema.Draft || d.root["$schema"] == draft7
}

// target returns the schema that a reference within the document leads to.
func (d *schemaDocument) target(name string) (map[string]any, bool) {
	if name == "#" {
		return d.root, true
	}
	// Only references to definitions and to the whole schema are followed, since
	// internal/jsonschema writes no others.
	def, inside := definition(name)
	for _, keyword := range definitions {
		if defs, _ := d.root[keyword].(map[string]any); inside && defs[def] != nil {
			target, ok := defs[def].(map[string]any)
			return target, ok
		}
	}
	return nil, false
}

// deepestReference bounds how many references are followed one after another.
const deepestReference = 32

// definitions are the keywords for definitions in draft 2020-12 and in draft-07.
var definitions = []string{"$defs", "definitions"}

// definition returns the name of the definition that a reference leads to, and reports
// whether it leads to one.
func definition(reference string) (name string, inside bool) {
	for _, keyword := range definitions {
		if name, inside = strings.CutPrefix(reference, "#/"+keyword+"/"); inside {
			return name, true
		}
	}
	return "", false
}

// resolve follows a reference within the document, also to another reference. Keywords
// beside one, which draft 2020-12 allows, override those of its target. name is the
// references with those keywords, or "" if there is none. Callers must not change the
// result: it may share the document's memory.
func (d *schemaDocument) resolve(s map[string]any) (resolved map[string]any, name string) {
	for range deepestReference {
		next, at := d.follow(s)
		if at == "" {
			break
		}
		s, name = next, name+at
	}
	return s, name
}

// follow is resolve for one reference.
func (d *schemaDocument) follow(s map[string]any) (resolved map[string]any, name string) {
	name, ok := s["$ref"].(string)
	if !ok {
		return s, ""
	}
	target, found := d.target(name)
	if !found {
		return s, "" // the keyword stays, and a change of it is undecided
	}
	// Cloned, since there may be other references to the target.
	resolved = maps.Clone(target)
	if resolved == nil {
		resolved = make(map[string]any)
	}
	if len(s) > 1 {
		beside := maps.Clone(s)
		delete(beside, "$ref")
		maps.Copy(resolved, beside)
		name += fmt.Sprint(" ", beside)
	}
	return resolved, name
}

// schemaComparison compares two schemas of one type, field by field.
type schemaComparison struct {
	*comparison
	old, now *schemaDocument
	// seen has the pairs of references that were compared or are being compared, since
	// types may contain themselves.
	seen map[[2]string]bool
}

// Phrases that several changes share.
const (
	readerOld = "a reader that was built with the old schema"
	readerNew = "a reader of the events that the topic still keeps"
	newField  = "Add a field beside it and keep both until nobody reads the old one, or declare a new version of the topic"
)

// understood lists the keywords that are compared; a change of any other is undecided.
var understood = []string{
	"$schema", "$defs", "definitions", "title", "type", "description", "properties", "required", "items", "additionalProperties", "format", "enum", "const", "contentEncoding",
	"minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "anyOf", jsonschema.Personal,
}

// compare compares two schemas at one place: whether they allow null, their types and,
// if the types agree, their keywords.
func (s *schemaComparison) compare(path string, a, b map[string]any) {
	a, refA := s.old.resolve(a)
	b, refB := s.now.resolve(b)
	a, nullA, choiceA := nullable(s.old, a)
	b, nullB, choiceB := nullable(s.now, b)
	switch {
	// Null is compared separately: a field that allows null still has its type.
	case nullB && !nullA:
		s.add(path, "null-added", Dangerous, "", "null", readerOld+" may not expect null", "Leave the field out in place of null: omitempty")
	case nullA && !nullB:
		s.add(path, "null-removed", Dangerous, "null", "", readerNew+" still meets null", "Take null for an empty value when reading")
	}
	// Only pairs of references, with the keywords beside them, can recur. A schema without
	// references is finite.
	if refA, refB = cmp.Or(choiceA, refA), cmp.Or(choiceB, refB); refA != "" && refB != "" {
		pair := [2]string{refA, refB}
		if s.seen[pair] {
			return
		}
		s.seen[pair] = true
	}
	// The keywords of different types can't be compared.
	if s.types(path, a, b) {
		s.keywords(path, a, b)
	}
}

// nullable reports whether a schema allows null beside something else, and returns it
// without null. It knows the two forms that internal/jsonschema writes: a list of
// types, and anyOf of a reference and null. name is that reference, as resolve returns
// it. nullable does not change s.
func nullable(d *schemaDocument, s map[string]any) (rest map[string]any, null bool, name string) {
	if types, ok := s["type"].([]any); ok && slices.Contains(types, any("null")) {
		// Cloned, since DeleteFunc works in place.
		others := slices.DeleteFunc(slices.Clone(types), func(t any) bool { return t == "null" })
		rest = maps.Clone(s)
		rest["type"] = any(others)
		if len(others) == 1 {
			rest["type"] = others[0]
		}
		return rest, true, ""
	}
	if choices, ok := s["anyOf"].([]any); ok && len(choices) == 2 {
		first, _ := choices[0].(map[string]any)
		second, _ := choices[1].(map[string]any)
		// In the form that is written null comes second, with no other keywords.
		if first != nil && second != nil && second["type"] == "null" && len(second) == 1 {
			rest, name := d.resolve(first)
			rest = maps.Clone(rest)
			beside := maps.Clone(s)
			delete(beside, "anyOf")
			maps.Copy(rest, beside)
			if name != "" && len(beside) > 0 {
				name += fmt.Sprint(" ", beside)
			}
			return rest, true, name
		}
	}
	return s, false, ""
}

// types reports whether two schemas are of one type, so that their keywords can be
// compared.
func (s *schemaComparison) types(path string, a, b map[string]any) bool {
	// A type is a string or a list of strings, which are compared as text.
	from, to := fmt.Sprint(a["type"]), fmt.Sprint(b["type"])
	if from == to {
		return true
	}
	switch {
	case a["type"] == nil && b["type"] == nil:
		return true
	case a["type"] == nil || b["type"] == nil:
		s.add(path, "type-unknown", Undecided, word(a["type"]), word(b["type"]), "one of the schemas takes any value here", "Give the Go type a method JSONSchema() json.RawMessage, or allow it with a reason")
	default:
		s.add(path, "field-retyped", Breaking, from, to, readerOld+" can't read "+withArticle(to)+", nor the new one the old events", newField)
	}
	return false
}

// textOf returns a text of a schema, empty where there is none.
func textOf(v any) string {
	s, _ := v.(string)
	return s
}

// word returns a value of a schema for people; an absent one takes anything.
func word(v any) string {
	if v == nil {
		return "anything"
	}
	return fmt.Sprint(v)
}

// keywords compares two schemas of one type keyword by keyword, and what they contain.
func (s *schemaComparison) keywords(path string, a, b map[string]any) {
	s.format(path, a, b)
	s.bounds(path, a, b)
	s.values(path, a, b)
	if !reflect.DeepEqual(a["description"], b["description"]) {
		s.add(path, "doc-changed", Safe, textOf(a["description"]), textOf(b["description"]), "for people only", "")
	}
	// The mark is this project's own keyword. Registries and other validators ignore
	// it.
	if !reflect.DeepEqual(a[jsonschema.Personal], b[jsonschema.Personal]) {
		if b[jsonschema.Personal] == true {
			s.add(path, "personal-data-added", Dangerous, "", "personal", personalAdded, "Tell the readers")
		} else {
			s.add(path, "personal-data-removed", Undecided, "personal", "", personalRemoved, "Allow it with a reason")
		}
	}
	s.properties(path, a, b)
	s.inner(path, "items", a, b)
	s.inner(path, "additionalProperties", a, b)
	// anyOf is understood only in the form that nullable handles; any other difference
	// in it is undecided.
	for _, keyword := range slices.Sorted(maps.Keys(merged(a, b))) {
		if (keyword == "anyOf" || !slices.Contains(understood, keyword)) && s.differ(keyword, a, b) {
			fix := "Allow it with a reason"
			if keyword == "propertyNames" && a[keyword] == nil {
				fix = "Where an earlier version left it out, write the catalogue again before the declarations change; or allow it with a reason"
			}
			s.add(path+"/"+keyword, "keyword-changed", Undecided, word(a[keyword]), word(b[keyword]), "what this keyword means to readers is not known here", fix)
		}
	}
}

// merged returns a map with the keys of both maps, for callers that need only the
// keys.
func merged[V any](a, b map[string]V) map[string]V {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

// widths has the number of bits of each number format. Unsigned formats count one bit
// more, so that each fits into the next wider signed format but not into the signed
// one of the same size.
var widths = map[string]int{"int8": 8, "int16": 16, "int32": 32, "int64": 64, "int": 64, "uint8": 9, "uint16": 17, "uint32": 33, "uint64": 65, "uint": 65, "uintptr": 65,
	"float32": 32, "float64": 64}

// format compares the formats of two fields of one type, and how bytes are written as
// text. A wider integer hurts old readers only when a large number is sent.
func (s *schemaComparison) format(path string, a, b map[string]any) {
	from, to := a["format"], b["format"]
	if !reflect.DeepEqual(from, to) {
		// The width is 0 without a format, or if it is not a number's.
		x, y := widths[word(from)], widths[word(to)]
		switch {
		case from == nil && isFloat(b):
			s.add(path, "format-unknown", Safe, word(from), word(to), "catalogues of earlier versions did not say which floats numbers are", "")
		case x > 0 && y == x:
			s.add(path, "format-changed", Safe, word(from), word(to), "the same numbers fit", "")
		case x > 0 && y > x:
			s.add(path, "format-widened", Dangerous, word(from), word(to), readerOld+" fails on numbers that are too large for it", "Keep the numbers small until all readers know the new type")
		case x > 0 && y > 0:
			s.add(path, "format-narrowed", Breaking, word(from), word(to), readerNew+" fails on numbers that are too large for it", newField)
		case from == nil:
			s.add(path, "format-narrowed", Breaking, "", word(to), readerNew+" meets values of no such format", newField)
		default:
			s.add(path, "format-changed", Breaking, word(from), word(to), readerOld+" expects the old format", newField)
		}
	}
	if !reflect.DeepEqual(a["contentEncoding"], b["contentEncoding"]) {
		s.add(path, "encoding-changed", Breaking, word(a["contentEncoding"]), word(b["contentEncoding"]), readerOld+" decodes the text in another way", newField)
	}
}

// values compares const and enum. An added value hurts old readers; a removed one
// hurts readers of old events.
func (s *schemaComparison) values(path string, a, b map[string]any) {
	if !reflect.DeepEqual(a["const"], b["const"]) {
		s.add(path, "const-changed", Breaking, word(a["const"]), word(b["const"]), readerOld+" expects one value alone", newField)
	}
	from, hasFrom := a["enum"].([]any)
	to, hasTo := b["enum"].([]any)
	switch {
	case hasFrom && !hasTo:
		s.add(path, "enum-removed", Breaking, word(a["enum"]), "", readerOld+" meets values that it does not know", newField)
		return
	case !hasFrom && hasTo:
		s.add(path, "enum-set", Breaking, "", word(b["enum"]), readerNew+" meets values that are none of them", newField)
		return
	}
	for _, v := range to {
		if !lists(from, v) {
			s.add(path, "enum-value-added", Breaking, "", word(v), readerOld+" does not know the value", "Let all readers take unknown values first")
		}
	}
	for _, v := range from {
		if !lists(to, v) {
			s.add(path, "enum-value-removed", Breaking, word(v), "", readerNew+" still meets the value", "Keep the value for reading")
		}
	}
}

// lists reports whether a list contains a value, which may itself be a list or an object.
func lists(all []any, value any) bool {
	return slices.ContainsFunc(all, func(v any) bool { return reflect.DeepEqual(v, value) })
}

// inner compares the schema of elements, or of a map's values.
func (s *schemaComparison) inner(path, keyword string, a, b map[string]any) {
	x, isX := a[keyword].(map[string]any)
	y, isY := b[keyword].(map[string]any)
	switch {
	// The keywords may also be booleans, which allow anything or nothing.
	case isX && isY:
		s.compare(path+"/"+keyword, x, y)
	case keyword == "additionalProperties" && b[keyword] == false && a[keyword] != false:
		s.add(path, "closed", Breaking, "open", "closed", readerNew+" refuses fields that it does not know, and every added field is a break from now on", "Leave it open")
	case s.differ(keyword, a, b):
		s.add(path+"/"+keyword, "keyword-changed", Undecided, word(a[keyword]), word(b[keyword]), "one of the schemas takes any value here", "Allow it with a reason")
	}
}
