// Package produce is the idempotent producer. Records collect in batches per partition, and one
// sender per broker sends them. When a request fails, what happens next depends on whether the
// broker can have written the records.
//
// The path of a record:
//
//	producer.go   Producer: Produce, Flush, Close
//	topic.go      a topic's partitions, and the choice of one for a record
//	credit.go     the memory that records wait for
//	partition.go  a partition's queue, order and sequence numbers
//	batch.go      a batch under construction
//	waiting.go    partitions that wait for a retry or for a leader
//	sender.go     the workers of one broker
//	request.go    what a worker sends, and how it acts on the response
//	flight.go     Produce requests in flight, several to a distant broker
//	under_way.go  batches sent before the previous one is answered
//	encode.go     the bytes of a request, without copying batches
//
// What can go wrong:
//
//	errors.go        which errors a partition recovers from
//	failure.go       responses with errors: retry, split, refuse, or give up as unknown
//	leader_watch.go  silent brokers: finding another leader, telling the gate
//	id.go            producer ids and epochs
//
// Ownership of a partition. Nobody owns an idle partition. The goroutine that adds the first record
// sets busy and passes the partition on: to a sender's list, to one of its workers, to the waiting
// ones, and so on. Only the owner may touch the partition's head, session and sequence number, and
// needs no lock for that. Records accepted meanwhile go to the queue and the open batch, under the
// partition's lock. So at a nearby broker a partition has one batch in flight, and order needs
// nothing more.
//
// Several batches in flight. If answers take long (farAfter), the worker that owns a partition
// sends further batches on the same connection, up to mostUnderWay. The log, once it knows the
// session, accepts them in the order of their sequence numbers or not at all, so the first
// batch of a session is sent alone. If one fails, nothing more of the partition is sent until
// all are answered or the connection is given up; then they are queued again unchanged, and
// sent one by one. A batch behind a refused one is not in the log, and gets other numbers under
// the next epoch (KIP-360), since its old request may still arrive.
//
// What is known about a batch. Before a byte of its request is written it is not in the log. From
// then on it may be (maybeAppended), until a broker's answer rules that out, and it is sent again
// with the same bytes: the broker recognizes its sequence number. A batch refused for its size or
// its records is rebuilt under the next epoch. If the whole batch may still be in the log
// (doubted), it is rebuilt under the same number, and the first part shows whether it is: a log
// that has the whole refuses the part as out of order.
//
// Losing a batch. At its deadline, or after an error that a retry does not change, the batch's
// records fail, together with everything queued behind it on the partition: a later record must
// not be in the log if an earlier one is missing. Only records that may be in the log have an
// unknown outcome. Records accepted afterwards are written under the next epoch, which fences
// the abandoned request and keeps brokers from taking them for a repetition of it.
//
// Deadlines are watched wherever a partition can be: in a sender's list by its expiry timer, at a
// worker by the deadline of the exchange, among the waiting ones by their timer. Partitions of a
// throttled broker are among the waiting ones, so that quotas delay records no longer than their
// delivery time.
package produce
