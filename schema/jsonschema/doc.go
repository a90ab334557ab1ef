// Package jsonschema provides the codec for events in JSON with a JSON Schema, with or
// without a schema registry. It encodes and decodes as eventbus.JSON does.
//
// The schema is written by hand, or taken from the catalogue of a topic in plain JSON.
// Registries support draft-07 best; Apicurio can't compare the newer 2020-12. Content is
// open unless the schema closes it, and should stay so: every field added to a closed
// schema breaks its readers.
//
// With registry.Validate each event is checked before it is published, at about the
// cost of decoding it again. Events are not checked when they are read: a reader
// should not fail on a mistake that does not affect it.
//
// Other versions of the schema need no special treatment: unknown fields are skipped, and
// missing ones stay zero.
package jsonschema
