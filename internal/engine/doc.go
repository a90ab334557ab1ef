// Package engine runs one consumer group: it takes batches from a transport,
// runs their records through handlers, and commits what is finished. It knows
// records, keys and offsets; events, codecs and middleware are its caller's.
//
// # The way of a record
//
//	Poll → intake (intake.go) routes it to a subscription, or skips it
//	     → lane (lane.go): the queue of one key of one partition
//	     → ready (ready.go): lanes whose head may run, fair over partitions
//	     → worker (worker.go): one attempt
//	     → outcome (outcome.go): finished, parked for a retry, or dead-lettered
//	     → tracker (tracker.go): the watermark moves
//	     → commit (commit.go): about once a second, on revoke and on close
//
// A record of a type that no subscription here handles may be held for another member
// of the group (foreign.go, hold.go). What partitions, subscriptions and workers share
// is in shared.go; none of them knows the Engine.
//
// # Who waits for what
//
// At most one record of a lane is running, parked or being dead-lettered; the
// rest of the lane waits behind it, and nothing else does. A parked lane is an
// entry in a heap with one timer (park.go) or in a breaker's queue (gate.go); no
// goroutine waits for it.
//
// # Memory
//
// Records stay in the memory that the transport fetched them into, and a batch
// is released when its last one is finished. What parks is copied out, and so is
// what still waits when most of its batch is finished (item.go). Partitions that
// hold too much are paused (bounds.go, flow.go).
//
// # Locks
//
// partition.mu guards a partition's lanes, items, tracker and counts;
// subscription.mu its ready queues and workers; gate.mu, parking.mu and
// letters.mu their queues; worker.mu the attempt that it shows. Under
// partition.mu one of the others may be taken, under flowMu (which puts pauses
// in order) Engine.mu and partition.mu, and else none under another. None is
// held while a handler runs; of the transport, Alive may be called under none,
// Pause and Resume under flowMu, and a batch's Release under partition.mu.
package engine
