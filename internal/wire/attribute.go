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

// field returns where an attribute of type string lies in ev, nil for those that
// are no such field: specversion, time and other extensions.
func field(ev *Event, name string) *string {
	switch name {
	case id:
		return &ev.ID
	case source:
		return &ev.Source
	case typ:
		return &ev.Type
	case subject:
		return &ev.Subject
	case dataContentType:
		return &ev.DataContentType
	case dataSchema:
		return &ev.DataSchema
	case correlationID:
		return &ev.CorrelationID
	case causationID:
		return &ev.CausationID
	case traceParent:
		return &ev.TraceParent
	case traceState:
		return &ev.TraceState
	}
	return nil
}

// Reserved tells whether name belongs to an attribute that has a place of its
// own, so that no other extension may use it.
func Reserved(name string) bool {
	switch name {
	case specVersion, timestamp, data, dataBase64:
		return true
	}
	return field(new(Event), name) != nil
}

// ValidName tells whether name follows CloudEvents 3 "Naming conventions":
// lower-case ASCII letters and digits, at least one.
func ValidName(name string) bool {
	for i := range len(name) {
		if c := name[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}

// isAttribute tells whether a header key stands for an attribute. Keys are lower
// case in the binding; producers that write CE_Id or Ce_Id are understood.
func isAttribute(key string) bool {
	return len(key) > len(prefix) && key[0]|0x20 == 'c' && key[1]|0x20 == 'e' && key[2] == '_'
}

// attributeName returns the attribute that a header key stands for.
func attributeName(key string) (string, bool) {
	if !isAttribute(key) {
		return "", false
	}
	name := key[len(prefix):]
	for i := range len(name) {
		if c := name[i]; c >= 'A' && c <= 'Z' {
			return strings.ToLower(name), true
		}
	}
	return name, true
}

// isContentType tells whether a header key is content-type, in any case.
func isContentType(key string) bool {
	return key == contentType || len(key) == len(contentType) && strings.EqualFold(key, contentType)
}

// Owned tells whether a header key is one that encoding writes for attributes,
// so that it can't be a plain header.
func Owned(key string) bool { return isAttribute(key) || isContentType(key) }
