// Package protosource writes the schema of a Protobuf event as .proto text, for documents:
//
//	text, err := document.AsyncAPI(catalog.AsyncAPIConfig{Protobuf: protosource.Of})
//
// It is separate from package protobuf because services need no printer.
package protosource
