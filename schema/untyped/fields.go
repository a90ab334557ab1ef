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

// mark is the property that marks personal data in JSON Schemas and Avro fields, as in
// catalogues.
const mark = "x-eventbus-personal"

// fields is a JSON Schema that only says which fields data has, and which are
// personal.
type fields = map[string]any

// plain returns the schema of a value without fields.
func plain() fields { return fields{"type": "string"} }

// definition returns a reference to a named type, since types may contain themselves.
func definition(name string) fields { return fields{"$ref": "#/$defs/" + name} }

// personal marks a schema, or a reference, as personal.
func personal(s fields) fields {
	s[mark] = true
	return s
}

// tagged reports whether properties mark personal data, with this framework's property
// or Confluent's tag.
func tagged(props map[string]any) bool {
	tags, _ := props["confluent:tags"].([]any)
	return props[mark] == true || slices.ContainsFunc(tags, func(tag any) bool {
		text, _ := tag.(string)
		return strings.EqualFold(text, "PII")
	})
}

// jsonFields returns the JSON Schema itself, with a mark added wherever it is tagged.
func jsonFields(text string) fields {
	var s fields
	if json.Unmarshal([]byte(text), &s) != nil {
		return nil // true and false are schemas too, without fields
	}
	// encoding/json bounds the depth of schemas.
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

// avroFields describes the JSON of EncodeJSON, which does not wrap union values.
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
		// References may have the namespace or, within it, omit it.
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

// whole returns a copy of a schema with the definitions that it refers to. It is a
// copy because s may be one of them.
func whole(s fields, defs map[string]any) fields {
	s = maps.Clone(s)
	s["$defs"] = defs
	return s
}

// protobufFields describes the JSON of protojson for a message.
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
		defs[name] = fields{"type": "object", "properties": properties} // before its fields, which may be of the same type
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
			// Protobuf's own option for fields that must not be shown.
			if options, ok := f.Options().(*descriptorpb.FieldOptions); ok && options.GetDebugRedact() {
				s = personal(s)
			}
			properties[f.JSONName()] = s
		}
		return definition(name)
	}
	return whole(of(root), defs)
}

// wellKnown returns the schema of Google's messages with a special JSON form. Those
// that can contain anything get an empty schema.
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
