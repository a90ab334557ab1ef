package untyped

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/twmb/avro"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

// mark is the property of JSON Schemas and of Avro's fields that marks personal data, as
// catalogues have it.
const mark = "x-eventbus-personal"

// fields is a JSON Schema as far as it says which fields data has, and which are
// personal. A schema of a value without any says that it is there, and no more.
type fields = map[string]any

// plain is the schema of a value that has no fields.
func plain() fields { return fields{"type": "string"} }

// definition refers to a type that has a name: a type may hold its own kind.
func definition(name string) fields { return fields{"$ref": "#/$defs/" + name} }

// personal marks a schema, or the reference to one.
func personal(s fields) fields {
	s[mark] = true
	return s
}

// tagged reports whether properties mark personal data: by this framework's name, or by
// the tag that Confluent's registry has for it.
func tagged(props map[string]any) bool {
	tags, _ := props["confluent:tags"].([]any)
	return props[mark] == true || slices.ContainsFunc(tags, func(tag any) bool {
		text, _ := tag.(string)
		return strings.EqualFold(text, "PII")
	})
}

// jsonFields returns the JSON Schema itself, with the mark where a registry's tag is.
func jsonFields(text string) fields {
	var s fields
	if json.Unmarshal([]byte(text), &s) != nil {
		return nil // true and false are schemas that have no fields
	}
	// Schemas are as deep as encoding/json reads them, which is bounded.
	var each func(v any)
	each = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for _, inner := range v {
				each(inner)
			}
			if tagged(v) {
				personal(v)
			}
		case []any:
			for _, inner := range v {
				each(inner)
			}
		}
	}
	each(s)
	return s
}

// avroFields describes what EncodeJSON makes of a schema: unions are bare.
func avroFields(root *avro.SchemaNode) fields {
	defs := make(map[string]any)
	var of func(n *avro.SchemaNode) fields
	of = func(n *avro.SchemaNode) (s fields) {
		switch n.Type {
		case "record", "error":
			properties := make(map[string]any)
			s = fields{"type": "object", "properties": properties}
			for i := range n.Fields {
				f := of(&n.Fields[i].Type)
				if tagged(n.Fields[i].Props) {
					f = personal(f)
				}
				properties[n.Fields[i].Name] = f
			}
		case "array":
			s = fields{"type": "array", "items": of(n.Items)}
		case "map":
			s = fields{"type": "object", "additionalProperties": of(n.Values)}
		case "union":
			var all []any
			for i := range n.Branches {
				all = append(all, of(&n.Branches[i]))
			}
			s = fields{"anyOf": all}
		case "null", "boolean", "int", "long", "float", "double", "bytes", "string", "enum", "fixed":
			s = plain()
		default:
			return definition(n.Type) // declared elsewhere
		}
		if tagged(n.Props) {
			s = personal(s)
		}
		// It may be referred to with its namespace or, within that, without.
		if slices.Contains([]string{"record", "error", "enum", "fixed"}, n.Type) {
			defs[n.Name] = s
			if n.Namespace != "" {
				defs[n.Namespace+"."+n.Name] = s
			}
		}
		return s
	}
	return whole(of(root), defs)
}

// whole returns a schema with the definitions that it refers to. It may be one of them,
// and must not contain itself.
func whole(s fields, defs map[string]any) fields {
	s = maps.Clone(s)
	s["$defs"] = defs
	return s
}

// protobufFields describes what protojson makes of a message.
func protobufFields(root protoreflect.MessageDescriptor) fields {
	defs := make(map[string]any)
	var of func(m protoreflect.MessageDescriptor) fields
	of = func(m protoreflect.MessageDescriptor) fields {
		name := string(m.FullName())
		if well, known := wellKnown(name); known {
			return well
		}
		if defs[name] != nil {
			return definition(name)
		}
		properties := make(map[string]any)
		defs[name] = fields{"type": "object", "properties": properties} // before its fields: they may be of its own kind
		all := m.Fields()
		for i := range all.Len() {
			f := all.Get(i)
			value := f
			if f.IsMap() {
				value = f.MapValue()
			}
			s := plain()
			if value.Message() != nil {
				s = of(value.Message())
			}
			switch {
			case f.IsMap():
				s = fields{"type": "object", "additionalProperties": s}
			case f.IsList():
				s = fields{"type": "array", "items": s}
			}
			// The option of Protobuf itself for what is not to be shown.
			if options, ok := f.Options().(*descriptorpb.FieldOptions); ok && options.GetDebugRedact() {
				s = personal(s)
			}
			properties[f.JSONName()] = s
		}
		return definition(name)
	}
	return whole(of(root), defs)
}

// wellKnown returns the schema of a message of Google's that has a form of its own in
// JSON. Those that hold anything have fields that no schema describes.
func wellKnown(name string) (fields, bool) {
	short, ok := strings.CutPrefix(name, "google.protobuf.")
	if !ok {
		return nil, false
	}
	switch short {
	case "Timestamp", "Duration", "FieldMask", "BoolValue", "BytesValue", "DoubleValue", "FloatValue", "Int32Value", "Int64Value", "StringValue", "UInt32Value", "UInt64Value":
		return plain(), true
	case "Any", "Struct", "Value", "ListValue":
		return fields{}, true
	}
	return nil, false
}
