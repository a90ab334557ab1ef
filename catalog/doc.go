// Package catalog describes topics for people and tools: which topics there are, what
// events are on them, where their keys come from, who publishes and handles them.
// A contracts package keeps its document in a file, which a test checks by Golden. The
// admin handler serves that of a running bus, and the console and the eventbus command
// read documents to show, create and compare topics.
//
//	catalog.go   Document and its parts; Of makes one of declarations, OfBus of a bus
//	sample.go    schema, example and keys of a type, found by encoding values of it
//	letters.go   Letters: names that groups chose for dead-letter and retry topics
//	personal.go  marks on the personal fields of a handwritten JSON Schema
//	document.go  Read and WriteTo: the document as JSON, checked
//	change.go    Change and its Level; Allowance, a change that is accepted
//	compare.go, compare_schema.go, compare_properties.go, compare_form.go,
//	compare_avro.go, compare_layout.go, compare_protobuf.go, earlier.go
//	             Compare: what changed, and whom it breaks
//	number.go    numbers in schemas, by their digits
//	golden.go    Golden: the test of a contracts package
//
// Documents made from it:
//
//	asyncapi.go, draft7.go
//	             AsyncAPI 3.1 and 3.0
//	markdown.go, field.go
//	             pages for people; the fields of an event's data
//	backstage.go Backstage's entity file, and the schemas as files
//	merge.go     Merge: the catalogues of several services as one
package catalog
