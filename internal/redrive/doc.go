// Package redrive reads dead letters, remembers what an operator decided about each, and
// brings them back to the group that failed. The command-line tool and the console share
// it.
//
// An order is a Job: which letters, what to do with them, how fast, by whom and why. Jobs
// and decisions are records of one compacted topic, Topic. A replay writes them in the
// transaction that writes the events to the retry topic. So however a job ends, even by a
// crash, each event either has been brought back and is recorded as such, or neither; and
// any process can resume the job.
//
// One process at a time decides about a dead-letter topic. It claims the topic by a
// transactional id, which fences off its predecessor, and renews a lease, so that others
// ask before they claim.
//
//	client.go       the face: topics, dry runs, lists of jobs
//	job.go          an order, and the job that it becomes
//	run.go          running and resuming jobs
//	stop.go         ending a job before it is done
//	watch.go        resuming jobs that no process runs
//	walk.go         one walk through a box, which carries a job out
//	pace.go         events per second
//	session.go      claims, and transactions under them
//	box.go          a dead-letter topic: its letters, and what was decided
//	filter.go       choosing letters, by state, cause, key, type, place and time
//	fingerprint.go  the cause of a letter
//	cause.go        letters grouped by their cause
//	state.go        the decisions
//	ledger.go       the decisions about the letters of one partition
//	topic.go        Topic, and when it is refused
//	book.go         the contents of Topic, in memory
//	record.go       the form of its records
//	commit.go       ledgers of earlier versions, in commits
package redrive
