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
//	waiting.go    partitions that wait to be tried again, or for a leader
//	sender.go     the workers of one broker
//	request.go    what a worker sends and what comes of it
//	flight.go     Produce requests under way, several to a distant broker
//	under_way.go  batches that are sent before the one before them is answered
//	encode.go     the bytes of a request, without copying batches
//
// What can go wrong:
//
//	errors.go        which errors a partition recovers from
//	failure.go       a response with errors: again, split, refused or unknown
//	leader_watch.go  brokers that are silent: another leader, and what the gate learns
//	id.go            producer ids and epochs
//
// Who has a partition. While it is idle nobody has. The goroutine that adds the first
// record sets busy and passes it on: to a sender's list, one of its workers, the
// waiting ones, and so on. Only the goroutine that has it may touch its head, session and
// sequence number, which takes no lock; what is accepted meanwhile goes to the queue and the open
// batch, under the partition's lock. So a partition has one batch under way at a broker
// near by, and order needs no more than that.
//
// Several under way. Where an answer takes long (farAfter), the worker that has a partition
// sends what comes next on the same connection, up to mostUnderWay batches. The log takes
// them in the order of their sequence numbers or not at all, once it knows the session, so
// the first of a session goes alone. When one fails nothing more of the partition is sent
// until all are answered or the connection is given up; then they are queued again as they
// were, and sent one by one. A batch behind one that is refused is not in the log, and gets
// other numbers under the next epoch (KIP-360): its old request may still be on its way.
//
// What is known of a batch. Before a byte of a request was written it is not in the log.
// From then on it may be (maybeAppended), until a broker answers in a way that excludes
// it, and it is sent again with the same bytes: the broker recognises its sequence
// number. A batch that is refused for its size or its records is rebuilt under the next
// epoch. If the whole may be in the log nevertheless (doubted), it is rebuilt under the same
// number, and the first part finds that out: a log that has the whole refuses it as out of
// order.
//
// When a batch is lost. At its deadline, or after an error that repeating does not
// change, its records fail, and with them all that is queued behind it on the partition:
// a later record must not be in the log where an earlier one is missing. Only the
// records that may be in the log have an unknown outcome. What is accepted afterwards is
// written under the next epoch, which fences the request that was given up, and lets no
// broker take it for a repetition of that.
//
// Deadlines are kept wherever a partition can be: in a sender's list by its expiry
// timer, with a worker by the deadline of the exchange, among the waiting ones by their
// timer. A throttled broker's partitions wait among the latter, so that quotas delay
// records no longer than their delivery time.
package produce
