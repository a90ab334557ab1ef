package registry

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/sr"
)

// Type is a schema's language, by the registry's name.
type Type string

// The types that every registry knows.
const (
	Avro     Type = "AVRO"
	Protobuf Type = "PROTOBUF"
	JSON     Type = "JSON"
)

// Definition is a schema's text and its references.
type Definition struct {
	Type       Type
	Text       string
	References []Reference
}

// Reference names a schema of another subject by the name that the text uses:
// an Avro full name, a Protobuf import path, a JSON Schema $ref.
type Reference struct {
	Name    string
	Subject string
	Version int
}

// Schema is a schema of the registry. Its fields must not be changed.
type Schema struct {
	Definition
	// ID is the registry's number. GUID identifies the schema in any registry; not
	// every registry has GUIDs (Confluent's does from version 8 on).
	ID   int
	GUID string
	// Subject and Version are where it is registered; empty and 0 if it was requested
	// by id.
	Subject string
	Version int
}

// ID identifies a schema: by its number, or by its GUID if that is not zero.
type ID struct {
	Number int
	GUID   [16]byte
}

// String returns the number, or the GUID in its usual form.
func (id ID) String() string {
	if id.GUID == ([16]byte{}) {
		return strconv.Itoa(id.Number)
	}
	g := hex.EncodeToString(id.GUID[:])
	return g[:8] + "-" + g[8:12] + "-" + g[12:16] + "-" + g[16:20] + "-" + g[20:]
}

// parseGUID returns the 16 bytes of a GUID, and reports whether text is one.
func parseGUID(text string) (g [16]byte, ok bool) {
	// Registries write GUIDs with dashes; some tools leave them out.
	plain := strings.ReplaceAll(text, "-", "")
	if len(plain) != 32 {
		return g, false
	}
	_, err := hex.Decode(g[:], []byte(plain))
	return g, err == nil
}

// schemaOf converts an answer.
func schemaOf(s *sr.SubjectSchema) *Schema {
	out := &Schema{ID: s.ID, GUID: s.GUID, Subject: s.Subject, Version: s.Version, Definition: definitionOf(&s.Schema)}
	return out
}

// definitionOf converts a schema of the client.
func definitionOf(s *sr.Schema) Definition {
	d := Definition{Type: Type(s.Type.String()), Text: s.Schema}
	for _, r := range s.References {
		d.References = append(d.References, Reference(r))
	}
	return d
}

// request returns the definition in the client's form.
func (d *Definition) request() (sr.Schema, error) {
	s := sr.Schema{Schema: d.Text}
	if err := s.Type.UnmarshalText([]byte(d.Type)); err != nil {
		return s, fmt.Errorf("a schema of type %q: write AVRO, PROTOBUF or JSON", d.Type)
	}
	for _, r := range d.References {
		s.References = append(s.References, sr.SchemaReference(r))
	}
	return s, nil
}

// same reports whether two texts are one schema but for white space and the order of
// keys.
func (d *Definition) same(other *Definition) bool {
	return d.Type == other.Type && d.compact() == other.compact()
}

// compact is a text without the white space that does not matter, and JSON with its keys
// sorted: files are indented, and registries write Avro in an order of their own.
func (d *Definition) compact() string {
	var v any
	decoder := json.NewDecoder(strings.NewReader(d.Text))
	decoder.UseNumber() // a default stays as it was written
	if d.Type != Protobuf && decoder.Decode(&v) == nil && !decoder.More() {
		// What was decoded can be encoded.
		sorted, _ := json.Marshal(v)
		return string(sorted)
	}
	return strings.Join(strings.Fields(d.Text), " ")
}
