// Package avro is the codec for events in Avro, with or without a schema registry.
//
// A schema is written by hand, or made from the Go type by [SchemaFor]. Fields are
// matched by the tag `avro:"name"`; logical types (decimal, uuid, timestamps, dates)
// are github.com/twmb/avro's, which encodes and decodes.
//
// Data is read by the schema that it was written by, resolved against the codec's
// own (Avro 1.12, "Schema Resolution"): fields that the writer did not know have
// their defaults, fields that the reader does not know are passed over, and data
// that can't be resolved is an error which names the field.
package avro
