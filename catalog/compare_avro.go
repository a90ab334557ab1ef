package catalog

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/eventbus-go/eventbus/internal/avroschema"
	"github.com/eventbus-go/eventbus/internal/jsonschema"
)

// avroMedia and protobufMedia are the content types whose schemas are compared by the
// rules of their own languages.
const (
	avroMedia     = "application/avro"
	protobufMedia = "application/protobuf"
)

// avroComparison compares two schemas. seen has the pairs of types that it has
// visited, since types may contain themselves.
type avroComparison struct {
	*comparison
	old, now *avroschema.Schema
	seen     map[[2]string]bool
}

// avro compares two Avro schemas of a type's data.
func (c *comparison) avro(path string, old, now json.RawMessage) {
	var a, b any
	if decode(old, &a) != nil || decode(now, &b) != nil {
		c.add(path, "schema-changed", Undecided, "", "", "one of the schemas is not JSON", "Allow it with a reason")
		return
	}
	s := avroComparison{comparison: c, seen: make(map[[2]string]bool)}
	var was, is avroschema.Type
	s.old, was = avroschema.New(a)
	s.now, is = avroschema.New(b)
	known := len(c.changes)
	s.compare(path+"#", was, is)
	if unnamed(a) || unnamed(b) {
		s.unnamedLayout(path+"#", was, is, known)
	}
}

// Avro readers resolve the writer's schema against their own, and fail if they can't
// (Avro specification, "Schema Resolution").
const (
	avroOld = "a reader that was built with the old schema"
	avroNew = "a reader of the events that the topic still keeps"
)

// compare compares two types and what they contain. Paths consist of the schema's own
// keywords: #/fields/total/fields/cents.
func (c *avroComparison) compare(path string, a, b avroschema.Type) {
	// Only named types can contain themselves, so only their pairs are remembered.
	if a.Name != "" && b.Name != "" {
		pair := [2]string{a.Name, b.Name}
		if c.seen[pair] {
			return
		}
		c.seen[pair] = true
	}
	// Of two different kinds, only promotion matters.
	if a.Kind != b.Kind {
		c.retyped(path, a, b)
		return
	}
	switch {
	case a.Name == b.Name:
	// Readers compare only the unqualified names ("Schema Resolution").
	case a.Name[strings.LastIndexByte(a.Name, '.')+1:] == b.Name[strings.LastIndexByte(b.Name, '.')+1:]:
		c.add(path, "namespace-changed", Dangerous, a.Name, b.Name, "the record's name is a part of subjects in the registry: a new one begins a new history", "Keep the namespace, or register the schema at its new subject beforehand")
	default:
		c.add(path, "record-renamed", Breaking, a.Name, b.Name, avroOld+" takes data of "+a.Name+" alone", "Keep the name")
	}
	// To Avro, unknown attributes are metadata, but generators and readers may use
	// their own.
	known := []string{"type", "name", "namespace", "doc", "aliases", avroschema.References, avroschema.Unnamed}
	switch a.Kind {
	case "record", "error":
		known = append(known, "fields")
		c.fields(path, a, b)
	case "enum":
		known = append(known, "symbols", "default")
		c.symbols(path, a.Props, b.Props)
	case "array":
		known = append(known, "items")
		c.compare(path+"/items", c.old.Read(a.Props["items"], a.Namespace), c.now.Read(b.Props["items"], b.Namespace))
	case "map":
		known = append(known, "values")
		c.compare(path+"/values", c.old.Read(a.Props["values"], a.Namespace), c.now.Read(b.Props["values"], b.Namespace))
	case "union":
		known = append(known, "branches")
		c.branches(path, a, b)
	// These contain no other types; their attributes are compared below.
	case "fixed", "null", "boolean", "int", "long", "float", "double", "bytes", "string":
	default:
		if !reflect.DeepEqual(a.Props, b.Props) {
			c.add(path, "schema-changed", Undecided, a.Kind, b.Kind, "the type is not understood here", "Allow it with a reason")
		}
	}
	c.aliases(path, a.Props, b.Props, false)
	if word(a.Props["doc"]) != word(b.Props["doc"]) {
		c.add(path, "doc-changed", Safe, textOf(a.Props["doc"]), textOf(b.Props["doc"]), "for people only", "")
	}
	for _, key := range changedKeys(a.Props, b.Props, known) {
		place, o, n := path+"/"+key, word(a.Props[key]), word(b.Props[key])
		switch key {
		// These attributes decide what the bytes mean.
		case "size", "logicalType", "precision", "scale":
			c.add(place, "format-changed", Breaking, o, n, avroOld+" reads the bytes as something else", newField)
		default:
			c.add(place, "keyword-changed", Undecided, o, n, "what this attribute means to readers is not known here", "Allow it with a reason")
		}
	}
}

// changedKeys returns the keys whose values differ between two objects, except those
// in but. They are sorted, so that equal documents give equal lists of changes.
func changedKeys(a, b map[string]any, but []string) (keys []string) {
	all := make(map[string]any, len(a)+len(b))
	maps.Copy(all, a)
	maps.Copy(all, b)
	for _, key := range slices.Sorted(maps.Keys(all)) {
		if !slices.Contains(but, key) && !reflect.DeepEqual(a[key], b[key]) {
			keys = append(keys, key)
		}
	}
	return keys
}

// promoted lists, for each type of a writer, the other types that readers can read it
// as.
var promoted = map[string][]string{"int": {"long", "float", "double"}, "long": {"float", "double"}, "float": {"double"}, "string": {"bytes"}, "bytes": {"string"}}

// retyped adds the change of a type's kind. Readers promote numbers in one direction
// only, so either the old or the new readers fail.
func (c *avroComparison) retyped(path string, a, b avroschema.Type) {
	from, to := a.Kind, b.Kind
	// forth says that new readers can read old events; back, that old readers can read
	// new ones.
	forth, back := slices.Contains(promoted[from], to), slices.Contains(promoted[to], from)
	// A logical type decides what the bytes mean: a decimal is not text.
	if !reflect.DeepEqual(a.Props["logicalType"], b.Props["logicalType"]) {
		forth, back = false, false
	}
	switch {
	case forth && back:
		c.add(path, "field-retyped", Dangerous, from, to, "the bytes are the same, and readers of each type take them", "See that the bytes are text in UTF-8")
	case forth:
		c.add(path, "field-widened", Breaking, from, to, avroOld+" can't make "+withArticle(from)+" of "+withArticle(to), newField)
	default:
		c.add(path, "field-retyped", Breaking, from, to, avroOld+" can't read "+withArticle(to)+", nor the new one the old events", newField)
	}
}

// fieldsOf returns the fields of a record by name.
func fieldsOf(t avroschema.Type) map[string]map[string]any {
	all := make(map[string]map[string]any)
	list, _ := t.Props["fields"].([]any)
	for _, f := range list {
		if field, ok := f.(map[string]any); ok {
			all[word(field["name"])] = field
		}
	}
	return all
}

// fields compares records by the names of their fields. Their order does not matter,
// since readers take it from the writer's schema.
func (c *avroComparison) fields(path string, a, b avroschema.Type) {
	was, is := fieldsOf(a), fieldsOf(b)
	renamed := make(map[string]bool)
	for _, name := range slices.Sorted(maps.Keys(was)) {
		field, place := was[name], path+"/fields/"+name
		if now := is[name]; now != nil {
			c.field(place, field, now, a.Namespace, b.Namespace)
			continue
		}
		// The old schema's default counts, since old readers miss the field.
		_, spared := field["default"]
		level, why := Breaking, avroOld+" finds no "+name+" and has no default for it"
		if spared {
			level, why = Dangerous, avroOld+" takes its default for every event"
		}
		// An alias helps new readers of old events, but not old readers of new ones.
		rule, to := "field-removed", ""
		for _, other := range slices.Sorted(maps.Keys(is)) {
			if aliases, _ := is[other]["aliases"].([]any); was[other] == nil && slices.Contains(aliases, any(name)) {
				rule, to = "field-renamed", other
				renamed[other] = true
				c.compare(place, c.old.Read(field["type"], a.Namespace), c.now.Read(is[other]["type"], b.Namespace))
			}
		}
		c.add(place, rule, level, name, to, why, "Keep the field until nobody reads it, or declare a new version of the topic")
	}
	for _, name := range slices.Sorted(maps.Keys(is)) {
		if was[name] != nil || renamed[name] {
			continue
		}
		if is[name][jsonschema.Personal] == true {
			c.add(path+"/fields/"+name, "personal-data-added", Dangerous, "", "personal", personalField, "Tell the readers")
		}
		// The new schema's default counts: new readers use it for old events.
		if _, ok := is[name]["default"]; ok {
			c.add(path+"/fields/"+name, "field-added", Safe, "", name, "readers pass over fields that they don't know, and take the default for older events", "")
		} else {
			c.add(path+"/fields/"+name, "required-field-added", Breaking, "", name, avroNew+" meets events without it", "Give it a default")
		}
	}
}

// field compares a field's attributes and its type.
func (c *avroComparison) field(path string, a, b map[string]any, was, is string) {
	for _, key := range changedKeys(a, b, []string{"name", "type", "order", "aliases"}) {
		o, n := word(a[key]), word(b[key])
		// A default may be null, so its presence is checked rather than its value.
		switch _, still := b["default"]; {
		case key == "doc":
			c.add(path, "doc-changed", Safe, textOf(a[key]), textOf(b[key]), "for people only", "")
		case key == "default" && !still:
			c.add(path, "default-removed", Breaking, o, "", avroNew+" can't read those without the field", "Keep the default")
		case key == jsonschema.Personal && b[key] == true:
			c.add(path, "personal-data-added", Dangerous, "", "personal", personalAdded, "Tell the readers")
		case key == jsonschema.Personal:
			c.add(path, "personal-data-removed", Undecided, "personal", "", personalRemoved, "Allow it with a reason")
		case key == "default":
			c.add(path, "default-changed", Dangerous, o, n, "events without the field mean something else to new readers", "Keep the default, and write the field always")
		default:
			c.add(path+"/"+key, "keyword-changed", Undecided, o, n, "what this attribute means to readers is not known here", "Allow it with a reason")
		}
	}
	_, spared := b["default"]
	c.aliases(path, a, b, spared)
	c.compare(path, c.old.Read(a["type"], was), c.now.Read(b["type"], is))
}

// aliases compares the former names of a type or a field, by which new readers find it
// in old events. spared says that it has a default.
func (c *avroComparison) aliases(path string, a, b map[string]any, spared bool) {
	was, _ := a["aliases"].([]any)
	is, _ := b["aliases"].([]any)
	for _, alias := range was {
		switch {
		case lists(is, alias) || alias == b["name"]:
		case spared:
			c.add(path, "alias-removed", Dangerous, word(alias), "", avroNew+" takes the default for those that have it as "+word(alias), "Keep the alias as long as the topic keeps events of that name")
		default:
			c.add(path, "alias-removed", Breaking, word(alias), "", avroNew+" does not find it as "+word(alias), "Keep the alias as long as the topic keeps events of that name")
		}
	}
}

// symbols compares enums. A reader that meets a symbol that its own enum lacks uses
// that enum's default, or fails if there is none.
func (c *avroComparison) symbols(path string, a, b map[string]any) {
	was, _ := a["symbols"].([]any)
	is, _ := b["symbols"].([]any)
	// by is the reader's enum.
	lacks := func(rule, symbol, o, n, reader string, by map[string]any) {
		if _, ok := by["default"]; ok {
			c.add(path, rule, Dangerous, o, n, reader+" takes its default for "+symbol, "See that the default is right for it")
		} else {
			c.add(path, rule, Breaking, o, n, reader+" does not know "+symbol, "Give the enum a default first, and wait until all readers have it")
		}
	}
	for _, s := range is {
		if !lists(was, s) {
			lacks("enum-value-added", word(s), "", word(s), avroOld, a)
		}
	}
	for _, s := range was {
		if !lists(is, s) {
			lacks("enum-value-removed", word(s), word(s), "", avroNew, b)
		}
	}
	if word(a["default"]) != word(b["default"]) {
		c.add(path, "default-changed", Dangerous, word(a["default"]), word(b["default"]), "values that readers don't know mean something else", "Keep the default")
	}
}

// branches compares unions by the kinds or names of their branches. The order does not
// matter to readers.
func (c *avroComparison) branches(path string, a, b avroschema.Type) {
	read := func(s *avroschema.Schema, t avroschema.Type) map[string]avroschema.Type {
		all := make(map[string]avroschema.Type)
		list, _ := t.Props["branches"].([]any)
		for _, v := range list {
			branch := s.Read(v, t.Namespace)
			// In a union, only named types may share a kind, so a kind or a name
			// identifies a branch.
			key := branch.Name
			if key == "" {
				key = branch.Kind
			}
			all[key] = branch
		}
		return all
	}
	was, is := read(c.old, a), read(c.now, b)
	for _, key := range slices.Sorted(maps.Keys(was)) {
		if branch, ok := is[key]; ok {
			c.compare(path+"/"+key, was[key], branch)
		} else {
			c.add(path+"/"+key, "choice-removed", Breaking, key, "", avroNew+" still meets "+withArticle(key), "Keep it for reading")
		}
	}
	for _, key := range slices.Sorted(maps.Keys(is)) {
		if _, ok := was[key]; !ok {
			c.add(path+"/"+key, "choice-added", Breaking, "", key, avroOld+" can't read "+withArticle(key), newField)
		}
	}
}
