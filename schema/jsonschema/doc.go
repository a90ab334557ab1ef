// Package jsonschema is the codec for events in JSON with a JSON Schema, with or
// without a schema registry. It encodes and decodes as eventbus.JSON does.
//
// The schema is written by hand, or taken from the catalogue of a topic in plain JSON.
// Registries know draft-07 best; Apicurio can't compare the newer 2020-12. Content is
// open unless the schema closes it, and should stay so: each field that is added to a
// closed schema breaks its readers.
//
// With registry.Validate each event is checked before it is published, at about the
// cost of decoding it once more. Events are not checked when they are read, since a
// reader that refuses what it can use would stop for others' mistakes.
//
// Readers of other versions need no care: fields that they don't know are passed
// over, and missing ones stay zero.
package jsonschema
