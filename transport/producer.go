package transport

import (
	"context"
	"fmt"
	"time"
)

// Producer writes records: acknowledged by all in-sync replicas, once, and in
// the order of Produce per partition. It is safe for concurrent use.
type Producer interface {
	// Produce takes a record over and returns when it is encoded into the
	// producer's buffer, or with an error and then without any effect: the
	// buffer stayed full until ctx ended, the record is too large, its topic
	// does not exist, the gate refused it, the producer is closed.
	//
	// Nothing of r is kept or changed: its memory is the caller's again when
	// Produce returns. ctx governs the wait for room alone: an accepted record
	// is sent even when ctx ends afterwards.
	//
	// done.Done is called exactly once if Produce returned nil, possibly before it
	// returns, and never if it returned an error.
	Produce(ctx context.Context, r *Record, done Completion) error
	// Flush waits until the completions of all records accepted before the call
	// have returned, whether they were delivered or not. The error is ctx.Err().
	Flush(ctx context.Context) error
	// Close flushes within ctx, then completes the records that are left with
	// ErrClosed, and with ErrOutcomeUnknown too where they may have been written. It
	// leaves no goroutine behind. A second call returns nil at once.
	Close(ctx context.Context) error
}

// Completion receives the outcome of one record. One value may serve several records.
type Completion interface {
	// Done is called once per accepted record, for failures too, on the producer's own
	// goroutine: it must not block, and it may call Produce with a context that ends.
	// Of one partition the calls come one at a time, in the order of Produce.
	//
	// err is nil when all in-sync replicas have the record, at p. An error that is
	// ErrOutcomeUnknown says that the record may or may not be in the log; with any
	// other error it is not in the log. p.Offset is −1 with an error.
	Done(p Position, err error)
}

// Gate stands before a producer and lets it ask whether a broker is worth
// trying: the publishing circuit breaker, one state per broker. Its methods are
// called concurrently and must not block.
type Gate interface {
	// Allow is asked once per record, before it is accepted. An error refuses
	// the record and is returned by Produce as it is.
	Allow(broker int32) error
	// Report receives how a request to a broker ended: nil, or an error of the
	// infrastructure (unreachable, timed out, no leader, too few replicas).
	// Refusals of a single record (too large, invalid, unauthorised) are
	// reported as nil: the broker worked. While a broker leaves requests
	// unanswered that is reported too, a few times a second. A failure from
	// before its last answer is not.
	Report(broker int32, err error)
}

// ProducerConfig configures a producer. The zero value works
// ([ProducerConfig.WithDefaults]).
type ProducerConfig struct {
	// DeliveryTimeout bounds the time from acceptance to outcome, over all
	// retries. Default 2 minutes.
	DeliveryTimeout time.Duration
	// BufferBytes bounds the records that are accepted and have no outcome yet, as
	// Record.Size counts; at the bound Produce waits. Default 32 MiB.
	BufferBytes int
	// BufferRecords bounds the same by number. Default 100,000.
	BufferRecords int
	// BatchBytes bounds one batch, before compression, and so one record. Default
	// 1,000,000: just under the brokers' default message.max.bytes.
	BatchBytes int
	// RequestBytes bounds one produce request, in bytes. Default 16 MiB.
	RequestBytes int
	// Compression is "none" (default), "gzip", "snappy", "lz4" or "zstd".
	Compression string
	// Partitioner, if not nil, chooses the partition of each record that has a key and
	// AnyPartition. It is called concurrently and must not block. A number that is no
	// partition of the topic refuses the record. Nil chooses as AnyPartition says.
	Partitioner func(topic string, key []byte, partitions int32) int32
	// Gate, if not nil, may refuse records and is told how requests end.
	Gate Gate
}

// CheckPartition returns what a ProducerConfig.Partitioner has chosen, or an error if
// that is no partition of the topic.
func CheckPartition(chosen int32, topic string, partitions int32) (int32, error) {
	if chosen < 0 || chosen >= partitions {
		return 0, fmt.Errorf("the partitioner of topic %q chose partition %d, and there are %d", topic, chosen, partitions)
	}
	return chosen, nil
}
