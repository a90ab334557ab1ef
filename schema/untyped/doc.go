// Package untyped reads events whose Go type is not known, as tools do: their data as
// JSON, by the schema that they name.
//
// Schemas and data are strangers': what a small value could make of memory is bounded,
// and what can't be read is an error.
//
// The files: reader.go (which schema, and what it was), avro.go, protobuf.go.
package untyped
