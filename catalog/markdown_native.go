package catalog

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/eventbus-go/eventbus/internal/avroschema"
	"github.com/eventbus-go/eventbus/internal/jsonschema"
)

// row is a line of a table of fields.
func row(path, typ, there, doc string) string {
	return fmt.Sprintf("| %s | %s | %s | %s |\n", plain(path), plain(typ), there, plain(doc))
}

// avroRows lists the fields of an Avro record, those of records inside it by a path.
func avroRows(root any) (rows []string) {
	s, whole := avroschema.New(root)
	// A union with null is how Avro says that a value may be missing, so the table shows
	// the other type. Other unions are shown as such.
	var list func(t avroschema.Type, outer string, depth int)
	list = func(t avroschema.Type, outer string, depth int) {
		fields, _ := t.Props["fields"].([]any)
		for _, f := range fields {
			field, _ := f.(map[string]any)
			inner, there := s.Read(field["type"], t.Namespace), "yes"
			// Null is first where the default is null, and last where it is another value.
			if branches, ok := inner.Props["branches"].([]any); ok && len(branches) == 2 && (branches[0] == "null" || branches[1] == "null") {
				there = "may be null"
				if branches[0] == "null" {
					inner = s.Read(branches[1], inner.Namespace)
				} else {
					inner = s.Read(branches[0], inner.Namespace)
				}
			}
			path, doc := outer+word(field["name"]), ""
			if text, ok := field["doc"].(string); ok {
				doc = text
			}
			if field[jsonschema.Personal] == true {
				doc = personalDoc(doc)
			}
			rows = append(rows, row(path, avroWord(inner), there, doc))
			// Records within arrays are listed as those within fields are.
			if path += "."; inner.Kind == "array" {
				path, inner = strings.TrimSuffix(path, ".")+"[].", s.Read(inner.Props["items"], inner.Namespace)
			}
			if depth < deepestRow {
				list(inner, path, depth+1)
			}
		}
	}
	list(whole, "", 0)
	return rows
}

// avroWord is what people call a type.
func avroWord(t avroschema.Type) string {
	if logical, ok := t.Props["logicalType"].(string); ok {
		return logical
	}
	if t.Kind == "enum" {
		symbols, _ := t.Props["symbols"].([]any)
		return "one of " + strings.Trim(fmt.Sprint(symbols), "[]")
	}
	return t.Kind
}

// protobufRows lists the fields of a message, those of messages inside it by a path.
func protobufRows(text json.RawMessage) (rows []string) {
	s := new(protobufSchema)
	if json.Unmarshal(text, s) != nil {
		return nil
	}
	s.index()
	// proto3 can't tell an empty value from none but for messages, for choices and for
	// fields that are marked as optional.
	var list func(message, outer string, depth int)
	list = func(message, outer string, depth int) {
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
			rows = append(rows, row(path, typ, there, fmt.Sprintf("Number %d.", f.Number)))
			if depth < deepestRow {
				list(f.TypeName, path+".", depth+1)
			}
		}
	}
	list("."+s.Message, "", 0)
	return rows
}
