// Package protobuf is the codec for events in Protocol Buffers, with or without a
// schema registry.
//
// The schema is the file that T's message is declared in, as its generated code
// carries it; files that it imports are references between schemas, by their
// import paths. It is registered in its binary form, as Confluent's Python client
// does; for a registry that holds the .proto text, write by registry.UseLatest.
package protobuf
