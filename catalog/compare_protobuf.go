package catalog

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// protobufSchema is the schema that package schema/protobuf returns: the name of the
// message, and the files that declare it and the types that it contains, in the JSON
// form of descriptors. Google's own files are left out.
type protobufSchema struct {
	Message string         `json:"message"`
	Files   []protobufFile `json:"files"`

	// Filled by index, by full name.
	messages map[string]protobufMessage
	enums    map[string]protobufEnum
}

// protobufFile is FileDescriptorProto. It and the types below have the parts of
// google/protobuf/descriptor.proto that affect data, unlike source positions or
// reserved names.
type protobufFile struct {
	Package     string            `json:"package"`
	Syntax      string            `json:"syntax"`
	Edition     string            `json:"edition"`
	MessageType []protobufMessage `json:"messageType"`
	EnumType    []protobufEnum    `json:"enumType"`
	Options     struct {
		Features json.RawMessage `json:"features"` // of an edition
	} `json:"options"`
}

// protobufMessage is DescriptorProto. Nested types are in the scope of their message.
type protobufMessage struct {
	Name       string            `json:"name"`
	Field      []protobufField   `json:"field"`
	NestedType []protobufMessage `json:"nestedType"`
	EnumType   []protobufEnum    `json:"enumType"`
	OneofDecl  []struct {
		Name string `json:"name"`
	} `json:"oneofDecl"`
	ReservedRange []struct {
		Start int32 `json:"start"`
		End   int32 `json:"end"` // exclusive
	} `json:"reservedRange"`
	Options json.RawMessage `json:"options"`
}

// protobufField is FieldDescriptorProto. Types and labels are the names of its enums;
// OneofIndex is a pointer, since 0 is the first oneof of the message.
type protobufField struct {
	Name           string          `json:"name"`
	Number         int32           `json:"number"`
	Label          string          `json:"label"`
	Type           string          `json:"type"`
	TypeName       string          `json:"typeName"`
	JSONName       string          `json:"jsonName"`
	DefaultValue   string          `json:"defaultValue"`
	OneofIndex     *int            `json:"oneofIndex"`
	Proto3Optional bool            `json:"proto3Optional"`
	Options        json.RawMessage `json:"options"`
}

// protobufEnum is EnumDescriptorProto. Two names may share a number (allow_alias).
type protobufEnum struct {
	Name  string `json:"name"`
	Value []struct {
		Name   string `json:"name"`
		Number int32  `json:"number"`
	} `json:"value"`
}

// index fills the maps of messages and enums. Full names begin with a dot, like
// references to them.
func (s *protobufSchema) index() {
	s.messages, s.enums = make(map[string]protobufMessage), make(map[string]protobufEnum)
	var add func(scope string, messages []protobufMessage, enums []protobufEnum)
	add = func(scope string, messages []protobufMessage, enums []protobufEnum) {
		for _, e := range enums {
			s.enums[scope+"."+e.Name] = e
		}
		for _, m := range messages {
			s.messages[scope+"."+m.Name] = m
			add(scope+"."+m.Name, m.NestedType, m.EnumType)
		}
	}
	for _, f := range s.Files {
		scope := ""
		if f.Package != "" {
			scope = "." + f.Package
		}
		add(scope, f.MessageType, f.EnumType)
	}
}

// protobufComparison compares two schemas. seen has the pairs of messages that it has
// visited, since messages may contain themselves.
type protobufComparison struct {
	*comparison
	old, now *protobufSchema
	seen     map[[2]string]bool
}

// protobuf compares two Protobuf schemas of a type's data. Messages that the event
// does not contain are ignored.
func (c *comparison) protobuf(path string, old, now json.RawMessage) {
	a, b := new(protobufSchema), new(protobufSchema)
	if json.Unmarshal(old, a) != nil || json.Unmarshal(now, b) != nil || len(a.Files) == 0 || len(b.Files) == 0 {
		c.add(path, "schema-changed", Undecided, "", "", "one of the schemas is not in the form that schema/protobuf gives", "Let the schema registry check it (eventbus schemas check), and allow it with a reason")
		return
	}
	a.index()
	b.index()
	// Protobuf data contains no names, so a renaming is not a break.
	if a.Message != b.Message {
		c.add(path, "message-renamed", Dangerous, a.Message, b.Message, "the bytes are the same, but the name is a part of subjects in the registry, and readers find messages by it", "Keep the name")
	}
	// Files are compared by their place in the list. A file that moved may be reported
	// needlessly.
	for i := range min(len(a.Files), len(b.Files)) {
		if x, y := &a.Files[i], &b.Files[i]; x.Syntax != y.Syntax || x.Edition != y.Edition || string(x.Options.Features) != string(y.Options.Features) {
			c.add(path, "syntax-changed", Undecided, x.Syntax+x.Edition, y.Syntax+y.Edition, "presence and defaults of fields may differ", "Allow it with a reason")
		}
	}
	// The comparison begins at the event's own message, even if it was renamed.
	p := protobufComparison{comparison: c, old: a, now: b, seen: make(map[[2]string]bool)}
	p.messages(path+"#", "."+a.Message, "."+b.Message)
}

// messages compares two messages field by field, by number.
func (c *protobufComparison) messages(path, was, is string) {
	pair := [2]string{was, is}
	// A pair is compared once, at the first path that leads to it.
	if c.seen[pair] {
		return
	}
	c.seen[pair] = true
	a, knownA := c.old.messages[was]
	b, knownB := c.now.messages[is]
	if !knownA && !knownB && was == is && strings.HasPrefix(was, ".google.protobuf.") {
		return // they never change
	}
	// A missing file would hide changes.
	if !knownA || !knownB {
		c.add(path, "schema-changed", Undecided, was, is, "the message is not among the files of the schema", "Allow it with a reason")
		return
	}
	if string(a.Options) != string(b.Options) {
		c.add(path, "keyword-changed", Undecided, string(a.Options), string(b.Options), "what these options mean to readers is not known here", "Allow it with a reason")
	}
	// Data has only numbers, so a field that keeps its number is the same field.
	old, now := byNumber(a.Field), byNumber(b.Field)
	for _, n := range slices.Sorted(maps.Keys(old)) {
		place := path + "/" + old[n].Name
		if f, ok := now[n]; ok {
			c.field(place, &a, &b, old[n], f)
		} else {
			c.add(place, "field-removed", Breaking, fmt.Sprintf("%s = %d", old[n].Name, n), "", readerOld+" finds it empty", "Keep the field until nobody reads it, and reserve its number then")
		}
	}
	for _, n := range slices.Sorted(maps.Keys(now)) {
		if _, ok := old[n]; ok {
			continue
		}
		f := now[n]
		// Only proto2 has required fields. Readers refuse a message without one.
		switch {
		case a.reserves(n):
			c.add(path+"/"+f.Name, "reserved-number-used", Breaking, "reserved", fmt.Sprintf("%s = %d", f.Name, n), readerNew+" takes another field of that number for it", "Use a number that no field had")
		case f.Label == "LABEL_REQUIRED":
			c.add(path+"/"+f.Name, "required-field-added", Breaking, "", f.Name, readerNew+" refuses those without it", "Make it optional")
		default:
			c.add(path+"/"+f.Name, "field-added", Safe, "", fmt.Sprintf("%s = %d", f.Name, n), "readers pass over fields that they don't know", "")
		}
	}
}

// reserves reports whether a message reserves a number, which a field had once.
func (m *protobufMessage) reserves(number int32) bool {
	for _, r := range m.ReservedRange {
		if number >= r.Start && number < r.End {
			return true
		}
	}
	return false
}

// byNumber returns the fields of a message by number.
func byNumber(fields []protobufField) map[int32]protobufField {
	all := make(map[int32]protobufField, len(fields))
	for _, f := range fields {
		all[f.Number] = f
	}
	return all
}

// alike groups the types with the same encoding: readers of one accept data of
// another, and truncate values that don't fit. Each type has a width; a smaller width
// does not hold all values of a larger one. TYPE_BYTES is wider than TYPE_STRING,
// since bytes need not be text.
var alike = []map[string]int{
	{"TYPE_BOOL": 1, "TYPE_INT32": 32, "TYPE_ENUM": 32, "TYPE_UINT32": 33, "TYPE_INT64": 64, "TYPE_UINT64": 65}, {"TYPE_SINT32": 32, "TYPE_SINT64": 64},
	{"TYPE_SFIXED32": 32, "TYPE_FIXED32": 33}, {"TYPE_SFIXED64": 64, "TYPE_FIXED64": 65}, {"TYPE_STRING": 1, "TYPE_BYTES": 2},
}

// widthsOf returns the widths of two types of one group, or zeros.
func widthsOf(a, b string) (was, is int) {
	for _, group := range alike {
		if group[a] > 0 && group[b] > 0 {
			return group[a], group[b]
		}
	}
	return 0, 0
}

// field compares two fields of one number. Names matter only to people, generated code
// and the JSON form. Everything else decides how readers interpret the bytes.
func (c *protobufComparison) field(path string, in, inNow *protobufMessage, a, b protobufField) {
	if a.Name != b.Name || a.JSONName != b.JSONName {
		c.add(path, "field-renamed", Dangerous, a.Name, b.Name, "the bytes are the same, but the JSON form and the generated code have another name", "Keep the name where somebody uses the JSON form")
	}
	switch was, is := widthsOf(a.Type, b.Type); {
	case a.Type == b.Type:
	case was > is:
		c.add(path, "field-narrowed", Breaking, typeWord(a.Type), typeWord(b.Type), readerNew+" cuts off or refuses values that don't fit", newField)
	case was > 0:
		c.add(path, "field-retyped", Dangerous, typeWord(a.Type), typeWord(b.Type), "readers of each type take the other's bytes, cut off where they don't fit", "Keep values within what both types take until all readers know the new one")
	default:
		c.add(path, "field-retyped", Breaking, typeWord(a.Type), typeWord(b.Type), readerOld+" can't read it, nor the new one the old events", newField)
		return
	}
	if a.Label != b.Label {
		c.add(path, "label-changed", Breaking, typeWord(a.Label), typeWord(b.Label), readerOld+" reads the values otherwise", newField)
	}
	if o, n := a.oneof(in), b.oneof(inNow); o != n {
		c.add(path, "choice-changed", Breaking, o, n, "a value in a oneof clears the others when it is read", newField)
	}
	if a.Proto3Optional != b.Proto3Optional {
		c.add(path, "presence-changed", Dangerous, fmt.Sprint(a.Proto3Optional), fmt.Sprint(b.Proto3Optional), "an empty value and none are told apart by one of them", "See that readers don't ask whether the field is set")
	}
	if a.DefaultValue != b.DefaultValue {
		c.add(path, "default-changed", Dangerous, a.DefaultValue, b.DefaultValue, "events without the field mean something else", "Keep the default, and write the field always")
	}
	if string(a.Options) != string(b.Options) {
		c.add(path, "keyword-changed", Undecided, string(a.Options), string(b.Options), "what these options mean to readers is not known here", "Allow it with a reason")
	}
	switch {
	case a.Type == "TYPE_ENUM" && b.Type == "TYPE_ENUM":
		c.enum(path, c.old.enums[a.TypeName], c.now.enums[b.TypeName])
	case a.TypeName != "" && b.TypeName != "":
		if a.TypeName != b.TypeName {
			c.add(path, "message-renamed", Dangerous, a.TypeName, b.TypeName, "the bytes are the same if the messages are; their names matter to generated code", "Keep the name")
		}
		c.messages(path, a.TypeName, b.TypeName)
	}
}

// oneof returns the name of the oneof that a field is in, or "". The synthetic oneof
// of an optional field of proto3 does not count.
func (f *protobufField) oneof(in *protobufMessage) string {
	if f.OneofIndex == nil || f.Proto3Optional || *f.OneofIndex < 0 || *f.OneofIndex >= len(in.OneofDecl) {
		return ""
	}
	return in.OneofDecl[*f.OneofIndex].Name
}

// typeWord returns a type or a label as .proto files write it.
func typeWord(s string) string {
	_, rest, _ := strings.Cut(s, "_")
	return strings.ToLower(rest)
}

// enum compares values by their numbers. A reader of proto3 keeps an unknown number,
// but its code does not expect it.
func (c *protobufComparison) enum(path string, a, b protobufEnum) {
	was, is := make(map[int32]string), make(map[int32]string)
	for _, v := range a.Value {
		was[v.Number] = v.Name
	}
	for _, v := range b.Value {
		is[v.Number] = v.Name
	}
	for _, n := range slices.Sorted(maps.Keys(was)) {
		name, ok := is[n]
		switch {
		case !ok:
			c.add(path, "enum-value-removed", Breaking, was[n], "", readerNew+" still meets the value", "Keep the value for reading")
		case name != was[n]:
			c.add(path, "enum-value-renamed", Dangerous, was[n], name, "the bytes are the same, but the JSON form and the generated code have another name", "Keep the name where somebody uses the JSON form")
		}
	}
	for _, n := range slices.Sorted(maps.Keys(is)) {
		if _, ok := was[n]; !ok {
			c.add(path, "enum-value-added", Breaking, "", is[n], readerOld+" does not know the value", "Let all readers take unknown values first")
		}
	}
}
