// Package untyped reads events without their Go type, for tools. It returns their data
// as JSON, decoded with the schema that they name.
//
// A service that knows its types uses the codecs of the sibling packages. They are
// faster, and resolve data against the service's own schema. This package shows data
// as it was written.
//
// Schemas and data are untrusted: memory is bounded even for a small value that would
// become a large one, and unreadable data is an error. Texts are not escaped; that is
// up to the program that shows them.
//
// The files: reader.go (events and their schemas), avro.go, protobuf.go, fields.go
// (the fields of the data, and which are personal).
package untyped
