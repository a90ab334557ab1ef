// Package catalog describes topics for people and tools: which there are, what
// events are on them, where their keys come from, who publishes and handles them.
//
//	catalog.go   Document and its parts; Of declarations, OfBus
//	sample.go    schema, example and keys of a type, by looking at values of it
//	document.go  Read and WriteTo: the document as JSON, checked
//	change.go    Change, levels, allowances
//	compare.go, compare_schema.go
//	             Compare: what changed, and whom it breaks
//	golden.go    Golden: the test of a package of contracts
package catalog
