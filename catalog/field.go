package catalog

import (
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/eventbus-go/eventbus/internal/avroschema"
	"github.com/eventbus-go/eventbus/internal/jsonschema"
)

// Field describes a field of an event's data for people.
type Field struct {
	// Path is the path from the top of the data, such as lines[].sku.
	Path string
	// Type is the type in words.
	Type string
	// Presence says whether the field is always there: yes, no, may be null.
	Presence string
	// Doc is the schema's description of the field.
	Doc string
	// Personal marks personal data.
	Personal bool
}

// deepestField bounds the depth to which nested fields are listed: types may contain
// themselves.
const deepestField = 3

// Fields returns the fields of the data, if its schema is a JSON Schema, an Avro
// schema, or one of package schema/protobuf. It makes them on demand, since wide types
// that contain each other may have very many.
func (e *Event) Fields() iter.Seq[Field] {
	return func(yield func(Field) bool) {
		d := new(schemaDocument)
		switch {
		case e.ContentType == protobufMedia:
			protobufFields(e.Schema, yield)
		case decode(e.Schema, &d.root) != nil:
		case e.ContentType == avroMedia:
			avroFields(d.root, yield)
		default:
			root, _ := d.resolve(d.root)
			_ = d.fields(root, "", 0, yield) && d.items(root, "", 0, yield)
		}
	}
}

// fields yields the fields of an object, sorted by name, each followed by its own
// fields. It reports whether yield wants more, as items does.
func (d *schemaDocument) fields(s map[string]any, outer string, depth int, yield func(Field) bool) bool {
	properties, _ := s["properties"].(map[string]any)
	required := names(s["required"])
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		p, _ := properties[name].(map[string]any)
		// References are resolved, so a type that contains itself appears again at
		// each depth.
		p, _ = d.resolve(p)
		p, null, _ := nullable(d, p)
		f := Field{Path: outer + name, Type: typeName(p), Presence: "yes", Personal: p[jsonschema.Personal] == true}
		if !required[name] {
			f.Presence = "no"
		}
		if null {
			f.Presence += ", may be null"
		}
		f.Doc, _ = p["description"].(string)
		if !yield(f) {
			return false
		}
		if depth == deepestField {
			continue
		}
		if !d.fields(p, f.Path+".", depth+1, yield) || !d.items(p, f.Path, depth+1, yield) {
			return false
		}
	}
	return true
}

// items yields the fields of a list's elements.
func (d *schemaDocument) items(s map[string]any, path string, depth int, yield func(Field) bool) bool {
	items, ok := s["items"].(map[string]any)
	if !ok {
		return true
	}
	items, _ = d.resolve(items)
	items, _, _ = nullable(d, items)
	return d.fields(items, path+"[].", depth, yield)
}

// typeName returns the type of a field in the shortest exact words.
func typeName(p map[string]any) string {
	// The values say more than the type.
	if values, ok := p["enum"].([]any); ok {
		return oneOf(values)
	}
	// int32 or date-time says more than number or string.
	if format, ok := p["format"].(string); ok {
		return format
	}
	if p["contentEncoding"] != nil {
		return "bytes in base64"
	}
	return word(p["type"])
}

func oneOf(values []any) string { return "one of " + strings.Trim(fmt.Sprint(values), "[]") }

// avroFields yields the fields of an Avro record, with those of nested records under a path.
func avroFields(root any, yield func(Field) bool) {
	s, whole := avroschema.New(root)
	// A union with null means that a value may be missing, so the list shows the other
	// type. Other unions are shown as unions.
	var list func(t avroschema.Type, outer string, depth int) bool
	list = func(t avroschema.Type, outer string, depth int) bool {
		fields, _ := t.Props["fields"].([]any)
		for _, f := range fields {
			field, _ := f.(map[string]any)
			inner, there := s.Read(field["type"], t.Namespace), "yes"
			// Null comes first if the default is null, and last if the default is
			// another value.
			if branches, ok := inner.Props["branches"].([]any); ok && len(branches) == 2 && (branches[0] == "null" || branches[1] == "null") {
				there = "may be null"
				if branches[0] == "null" {
					inner = s.Read(branches[1], inner.Namespace)
				} else {
					inner = s.Read(branches[0], inner.Namespace)
				}
			}
			path := outer + word(field["name"])
			doc, _ := field["doc"].(string)
			if !yield(Field{path, avroWord(inner), there, doc, field[jsonschema.Personal] == true}) {
				return false
			}
			// Records in arrays are listed like records in fields.
			if path += "."; inner.Kind == "array" {
				path, inner = strings.TrimSuffix(path, ".")+"[].", s.Read(inner.Props["items"], inner.Namespace)
			}
			if depth < deepestField && !list(inner, path, depth+1) {
				return false
			}
		}
		return true
	}
	list(whole, "", 0)
}

// avroWord returns the name of a type for people.
func avroWord(t avroschema.Type) string {
	if logical, ok := t.Props["logicalType"].(string); ok {
		return logical
	}
	if t.Kind == "enum" {
		symbols, _ := t.Props["symbols"].([]any)
		return oneOf(symbols)
	}
	return t.Kind
}

// protobufFields yields the fields of a message, with those of nested messages under a path.
func protobufFields(text json.RawMessage, yield func(Field) bool) {
	s := new(protobufSchema)
	if json.Unmarshal(text, s) != nil {
		return
	}
	s.index()
	// proto3 distinguishes an empty value from a missing one only for messages,
	// oneofs, and fields marked as optional.
	var list func(message, outer string, depth int) bool
	list = func(message, outer string, depth int) bool {
		fields := s.messages[message].Field
		for i := range fields {
			f := &fields[i]
			path, typ, there := outer+f.JSONName, typeWord(f.Type), "yes, or empty"
			if f.TypeName != "" {
				typ = strings.TrimPrefix(f.TypeName, ".")
			}
			switch {
			case f.Label == "LABEL_REQUIRED":
				there = "yes"
			case f.Label == "LABEL_REPEATED":
				path += "[]"
			case f.Proto3Optional || f.OneofIndex != nil || f.Type == "TYPE_MESSAGE":
				there = "no"
			}
			if !yield(Field{Path: path, Type: typ, Presence: there, Doc: fmt.Sprintf("Number %d.", f.Number)}) {
				return false
			}
			if depth < deepestField && !list(f.TypeName, path+".", depth+1) {
				return false
			}
		}
		return true
	}
	list("."+s.Message, "", 0)
}
