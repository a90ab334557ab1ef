// Package engine runs one consumer group: it takes batches from a transport, passes their
// records to handlers, and commits what is finished. It knows records, keys and offsets;
// events, codecs and middleware are its caller's business.
//
// # The path of a record
//
//	Poll → intake (intake.go) routes it to a subscription, or skips it
//	     → lane (lane.go): the queue of one key of one partition
//	     → ready (ready.go): lanes whose head may run, fair across partitions
//	     → worker (worker.go): one attempt
//	     → outcome (outcome.go): finished, parked for a retry, or dead-lettered
//	     → tracker (tracker.go): the watermark moves
//	     → commit (commit.go): about once a second, on revoke and on close
//
// A record whose type no subscription here handles may be held for another member of the group
// (foreign.go, hold.go). shared.go has what partitions, subscriptions and workers share; none
// of them knows the Engine.
//
// # What waits for what
//
// At most one record of a lane is running, parked or being dead-lettered; the
// rest of the lane waits behind it, and nothing else does. A parked lane is an
// entry in a heap with one timer (park.go) or in a breaker's queue (gate.go); no
// goroutine waits for it.
//
// # Memory
//
// Records stay in the memory into which the transport fetched them, and a batch is released
// once its last record is finished. Records that park are copied out, and so are those that
// still wait when most of their batch is finished (item.go). Partitions that hold too much are
// paused (bounds.go, flow.go).
//
// # Locks
//
// partition.mu guards a partition's lanes, items, tracker and counts; subscription.mu its ready
// queues and workers; gate.mu, parking.mu and letters.mu their queues; worker.mu the attempt
// that it shows. While holding partition.mu, one of the others may be acquired; while holding
// flowMu, which puts pauses in order, Engine.mu and partition.mu may be; no other pair may be
// held together. None is held while a handler runs. Of the transport, Alive must be called with
// none held, Pause and Resume are called with flowMu held, and a batch's Release with
// partition.mu held.
package engine
