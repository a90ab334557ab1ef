package wire

import "strings"

// Names of the context attributes (CloudEvents 2 and 3) and of the extensions
// that have a field of their own in Event.
const (
	specVersion     = "specversion"
	id              = "id"
	source          = "source"
	typ             = "type"
	subject         = "subject"
	dataContentType = "datacontenttype"
	dataSchema      = "dataschema"
	timestamp       = "time"
	correlationID   = "correlationid"
	causationID     = "causationid"
	traceParent     = "traceparent"
	traceState      = "tracestate"
	// PartitionKey is the attribute of the partitioning extension.
	PartitionKey = "partitionkey"

	// data and data_base64 are members of the JSON format (3.1), and so no
	// names for attributes.
	data       = "data"
	dataBase64 = "data_base64"
)

// version is the only specversion that is written and read (CloudEvents 3.1.3).
const version = "1.0"

// prefix stands before attribute names in header keys (binding 3.2.3.1).
const prefix = "ce_"

// contentType is the header that maps to datacontenttype in binary mode
// (binding 3.2.1), and names the event format in structured mode (3.3.1).
const contentType = "content-type"

// attributes is a set of attributes: a bit for each that has a field of its own,
// and the lowest bit for any at all. The zero value is empty.
type attributes uint16

// The bits. With numbers instead of names, deciding what to do with a header is
// fast.
const (
	anyAttribute attributes = 1 << iota
	specVersionBit
	idBit
	sourceBit
	typBit
	subjectBit
	dataContentTypeBit
	dataSchemaBit
	timestampBit
	correlationIDBit
	causationIDBit
	traceParentBit
	traceStateBit
)

// attributeBit returns the bit of an attribute, 0 for one without a field.
func attributeBit(name string) attributes {
	switch name {
	case specVersion:
		return specVersionBit
	case id:
		return idBit
	case source:
		return sourceBit
	case typ:
		return typBit
	case subject:
		return subjectBit
	case dataContentType:
		return dataContentTypeBit
	case dataSchema:
		return dataSchemaBit
	case timestamp:
		return timestampBit
	case correlationID:
		return correlationIDBit
	case causationID:
		return causationIDBit
	case traceParent:
		return traceParentBit
	case traceState:
		return traceStateBit
	}
	return 0
}

// field returns a pointer to the string field of ev for an attribute, or nil for
// the attributes that have none: specversion, time and other extensions.
func (a attributes) field(ev *Event) *string {
	switch a {
	case idBit:
		return &ev.ID
	case sourceBit:
		return &ev.Source
	case typBit:
		return &ev.Type
	case subjectBit:
		return &ev.Subject
	case dataContentTypeBit:
		return &ev.DataContentType
	case dataSchemaBit:
		return &ev.DataSchema
	case correlationIDBit:
		return &ev.CorrelationID
	case causationIDBit:
		return &ev.CausationID
	case traceParentBit:
		return &ev.TraceParent
	case traceStateBit:
		return &ev.TraceState
	}
	return nil
}

// field is attributes.field by the attribute's name.
func field(ev *Event, name string) *string { return attributeBit(name).field(ev) }

// add adds an attribute by its bit, and reports whether it was in the set already.
// It returns false for attributes without a field: for those the event's map tells.
func (a *attributes) add(bit attributes) (already bool) {
	already = *a&bit != 0
	*a |= bit | anyAttribute
	return already
}

// knownAttribute returns the attribute that a header key stands for, and its bit, if
// the key is as the binding writes it and the attribute has a field. Nearly all keys
// are, so this saves the slower check.
func knownAttribute(key string) (name string, bit attributes) {
	if len(key) <= len(prefix) || key[:len(prefix)] != prefix {
		return "", 0
	}
	name = key[len(prefix):]
	return name, attributeBit(name)
}

// Reserved reports whether name is an attribute with a field of its own, which
// no other extension may use.
func Reserved(name string) bool {
	switch name {
	case specVersion, timestamp, data, dataBase64:
		return true
	}
	return field(new(Event), name) != nil
}

// ValidName reports whether name follows CloudEvents 3 "Naming conventions":
// lower-case ASCII letters and digits, at least one.
func ValidName(name string) bool {
	for i := range len(name) {
		if c := name[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}

// isAttribute reports whether a header key stands for an attribute. Keys are
// lower case in the binding; CE_Id and Ce_Id of some producers are accepted too.
func isAttribute(key string) bool {
	return len(key) > len(prefix) && key[0]|0x20 == 'c' && key[1]|0x20 == 'e' && key[2] == '_'
}

// attributeName returns the attribute that a header key stands for, in lower case,
// and reports whether it is one.
func attributeName(key string) (string, bool) {
	if !isAttribute(key) {
		return "", false
	}
	name := key[len(prefix):]
	// Most names are in lower case and are returned without a copy.
	for i := range len(name) {
		if c := name[i]; c >= 'A' && c <= 'Z' {
			return string(lowered([]byte(name))), true
		}
	}
	return name, true
}

// lowered turns the capitals of a name into small letters, in place. Names of
// attributes are ASCII; other letters are left as they are, in both modes.
func lowered(name []byte) []byte {
	for i, c := range name {
		if c >= 'A' && c <= 'Z' {
			name[i] = c | 0x20
		}
	}
	return name
}

// isContentType reports whether a header key is content-type, in any case.
func isContentType(key string) bool {
	return key == contentType || len(key) == len(contentType) && strings.EqualFold(key, contentType)
}

// Owned reports whether encoding writes a header key for attributes, so that no
// plain header may have it.
func Owned(key string) bool { return isAttribute(key) || isContentType(key) }
