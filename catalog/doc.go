// Package catalog describes topics for people and tools: which there are, what
// events are on them, where their keys come from, who publishes and handles them.
//
//	catalog.go   Document and its parts; Of declarations, OfBus
//	document.go  Read and WriteTo: the document as JSON, checked
package catalog
