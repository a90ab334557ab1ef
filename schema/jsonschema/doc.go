// Package jsonschema is the codec for events in JSON with a JSON Schema, with or
// without a schema registry. It encodes and decodes as eventbus.JSON does.
//
// Readers of other versions need no care: fields that they don't know are passed
// over, and missing ones stay zero.
package jsonschema
