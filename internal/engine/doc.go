// Package engine runs one consumer group: it takes batches from a transport,
// runs their records through handlers, and commits what is finished. It knows
// records, keys and offsets; events, codecs and middleware are its caller's.
//
// # The way of a record
//
//	Poll → intake (intake.go) routes it to a subscription, or skips it
//	     → lane (lane.go): the queue of one key of one partition
//	     → ready (subscription.go): lanes whose head may run, fair over partitions
//	     → worker (worker.go): one attempt
//	     → settle (settle.go): finished, parked for a retry, or dead-lettered
//	     → tracker (tracker.go): the watermark moves
//	     → commit (commit.go): about once a second, on revoke and on close
//
// # Who waits for what
//
// At most one record of a lane is running, parked or being dead-lettered; the
// rest of the lane waits behind it, and nothing else does. A parked lane is an
// entry in a heap with one timer (park.go); no goroutine waits for it.
//
// # Locks
//
// partition.mu guards a partition's lanes, tracker and counts; subscription.mu
// its ready queue; parking.mu the heap. None of them is held while another is
// taken, but for partition.mu → subscription.mu and partition.mu → parking.mu,
// and none is held while a handler or the transport runs.
package engine
