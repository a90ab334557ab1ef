// Package untyped reads events whose Go type is not known, for tools: their data as JSON,
// by the schema that they name.
//
// A service that knows its types uses the codecs of the sibling packages. They are
// faster, and resolve what was written against what the service declares. This package
// shows data as it was written, by its writer's schema only.
//
// Schemas and data are untrusted: the memory that a small value could take is bounded,
// and what can't be read is an error. Texts are not escaped: that is up to the program
// that shows them.
//
// The files: reader.go (which schema, and what it was), avro.go, protobuf.go, fields.go
// (which fields there are, and which are personal).
package untyped
