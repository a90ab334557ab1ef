// Package avro provides the codec for events in Avro, with or without a schema
// registry.
//
// A schema is written by hand or made from the Go type by [SchemaFor]. Fields are
// matched by the tag `avro:"name"`. Package github.com/twmb/avro encodes and decodes,
// including logical types (decimal, uuid, timestamps, dates).
//
// Data is read with the schema that it was written with, resolved against the codec's
// own (Avro 1.12, "Schema Resolution"): fields that the writer did not know get their
// defaults, fields that the reader does not know are skipped, and data that can't be
// resolved is an error that names the field.
package avro
