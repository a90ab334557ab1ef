// Package untyped reads events whose Go type is not known, as tools do: their data as
// JSON, by the schema that they name.
//
// A service that knows its types uses the codecs beside this package. They are faster,
// and resolve what was written against what the service declares; here data is shown
// as it was written, by its writer's schema alone.
//
// Schemas and data are strangers': what a small value could make of memory is bounded,
// and what can't be read is an error. Texts are not made harmless to show: that is up to
// the program that shows them.
//
// The files: reader.go (which schema, and what it was), avro.go, protobuf.go, fields.go (which
// fields there are, and which are personal).
package untyped
