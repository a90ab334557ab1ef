// Package redrive looks after dead letters: it reads them, remembers what an
// operator decided about each, and brings them back to the group that failed.
//
// What was decided is the Ledger of each partition. It is kept as the committed
// offset, and its metadata, of a group of the tool's own; a replay stores it in
// the transaction that writes the events to the retry topic. So a replay that
// ends anywhere, by a crash too, has brought each event back once or not yet.
package redrive
