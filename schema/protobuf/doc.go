// Package protobuf provides the codec for events in Protocol Buffers, with or without
// a schema registry.
//
// The schema is the file that declares T's message, as the generated code contains it.
// Files that it imports are references between schemas, by their import paths. It is
// registered in binary form, as Confluent's Python client does. If the registry has
// the .proto text, use registry.UseLatest.
//
// Messages that protoc-gen-go-vtproto also generates, with its features marshal,
// unmarshal and size, are encoded and decoded by their own methods, in about half the
// time. Two things differ then: maps are written in any order, so one event may have
// several encodings, and strings that are not UTF-8 are not refused. Messages that can
// contain their own type are still decoded by Google's runtime, which bounds the depth of
// what it reads.
package protobuf
