// Package produce is the idempotent producer: records gather in batches per
// partition, one sender per broker carries them, and what fails is judged by
// whether the broker can have written it.
//
// The way of a record:
//
//	producer.go   Producer: Produce, Flush, Close
//	topic.go      the topic's partitions, and which one a record goes to
//	credit.go     the memory that records wait for
//	partition.go  a partition's queue, order and sequence numbers
//	batch.go      a batch under construction
//	waiting.go    batches that wait for linger or for a leader
//	sender.go     one goroutine per broker
//	request.go    a Produce request
//	encode.go     its bytes, without copying batches
//
// What can go wrong:
//
//	errors.go     which errors a partition recovers from
//	failure.go    a response with errors: again, split, refused or unknown
//	leader_watch.go  brokers that are silent: another leader, and what the gate learns
//	id.go         producer ids and epochs
package produce
