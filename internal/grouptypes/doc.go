// Package grouptypes keeps what a member of a consumer group knows about the types
// of events that the group's members handle.
//
//	id.go    ID: a topic and a type in four bytes
//	book.go  Book: which types are handled now, and which were until when
package grouptypes
