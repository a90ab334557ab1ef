// Package redrive reads dead letters, remembers what an operator decided about each, and
// brings them back to the group that failed. The command-line tool and the console share
// it.
//
// An order is a Job: which letters, what to do with them, how fast, by whom and why. Jobs
// and decisions are records of one compacted topic, Topic. A replay writes them in the
// transaction that writes the events to the retry topic. So however a job ends, even by a
// crash, each event has either been brought back and is recorded as such, or neither; and
// any process can resume the job.
//
// One process at a time decides about a dead-letter topic. It claims the topic by a
// transactional id, which fences off its predecessor, and renews a lease, so that others
// ask before they claim.
//
//	client.go       Client: topics, dry runs, lists of jobs
//	job.go          an order, and the job that it becomes
//	run.go          running and resuming jobs
//	stop.go         how a job ends early
//	watch.go        taking up jobs that nobody runs
//	walk.go         a walk through a box, which carries out a job
//	pace.go         the rate of events
//	session.go      claims, and transactions under them
//	box.go          a dead-letter topic: its letters, and the decisions about them
//	filter.go       choosing letters, by state, cause, key, type, place and time
//	fingerprint.go  the cause of a letter
//	cause.go        letters grouped by their cause
//	state.go        the decisions
//	ledger.go       the decisions about the letters of one partition
//	topic.go        Topic: its description, and when it is refused
//	book.go         the content of Topic
//	record.go       the form of its records
//	commit.go       ledgers of earlier versions, in commits
package redrive
