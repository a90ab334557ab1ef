// Package redrive reads dead letters, remembers what an operator decided about
// each, and brings them back to the group that failed.
//
// The decisions about a partition are its Ledger, kept in the committed offset
// and metadata of a consumer group of the tool's own. A replay commits the
// ledger in the transaction that writes the events to the retry topic. So
// however a replay ends, by a crash too, each event has either been brought
// back and is known to have been, or neither.
//
//	client.go  the face: topics, jobs
//	job.go     an order, and the job that it becomes
//	box.go     a dead-letter topic with its ledgers: reading letters, storing decisions
//	ledger.go  the decisions about one partition, and their form in a commit
//	filter.go  choosing letters, by state, cause, key, type, place and time
//	cause.go   the fingerprint of an error, and letters grouped by it
//	replay.go  one walk through a box that replays, skips, or puts letters into quarantine
//	pace.go    events per second
package redrive
