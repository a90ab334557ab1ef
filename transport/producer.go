package transport

import (
	"context"
	"fmt"
	"time"
)

// Producer writes records, once each, acknowledged by all in-sync replicas, and per partition
// in the order of the calls of Produce. It is safe for concurrent use.
type Producer interface {
	// Produce accepts a record and returns once it is encoded into the producer's buffer.
	// If it returns an error, nothing has happened: the buffer stayed full until ctx ended,
	// the record is too large, its topic does not exist, the gate refused it, or the
	// producer is closed.
	//
	// Produce neither keeps nor changes r; the caller may reuse its memory when Produce
	// returns. ctx bounds only the wait for buffer space: an accepted record is sent even
	// if ctx ends afterwards.
	//
	// done.Done is called exactly once if Produce returned nil, possibly before it returns,
	// and never if it returned an error.
	Produce(ctx context.Context, r *Record, done Completion) error
	// Flush waits until the completions of all records accepted before the call have
	// returned, whatever their outcome. Its error is ctx.Err().
	Flush(ctx context.Context) error
	// Close flushes within ctx, then completes the remaining records with ErrClosed, and
	// also with ErrOutcomeUnknown if they may have been written. It leaves no goroutine
	// behind. A second call returns nil at once.
	Close(ctx context.Context) error
}

// Completion receives the outcome of one record. One value may serve several records.
type Completion interface {
	// Done is called once per accepted record, for failures too, on the producer's own
	// goroutine. It must not block; it may call Produce with a context that ends. For one
	// partition the calls come one at a time, in the order of Produce.
	//
	// err is nil if all in-sync replicas have the record, at p. If err is ErrOutcomeUnknown
	// the record may or may not be in the log; with any other error it is not. With an error
	// p.Offset is −1.
	Done(p Position, err error)
}

// Gate lets a producer ask whether a broker is worth trying. It is the publishing circuit
// breaker, with one state per broker. Its methods are called concurrently and must not block.
type Gate interface {
	// Allow is called once per record, before it is accepted. An error refuses the record,
	// and Produce returns it unchanged.
	Allow(broker int32) error
	// Report receives the outcome of a request to a broker: nil, or an error of the
	// infrastructure (unreachable, timed out, no leader, too few replicas). Refusals of a
	// single record (too large, invalid, unauthorized) are reported as nil: the broker
	// worked. While a broker leaves requests unanswered, that is reported too, a few times a
	// second. A failure older than the broker's last answer is not reported.
	Report(broker int32, err error)
}

// ProducerConfig configures a producer. The zero value is usable
// ([ProducerConfig.WithDefaults]).
type ProducerConfig struct {
	// DeliveryTimeout bounds the time from acceptance to outcome, across all retries.
	// Default 2 minutes.
	DeliveryTimeout time.Duration
	// BufferBytes bounds the accepted records without an outcome, in bytes of Record.Size.
	// At the bound Produce waits. Default 32 MiB.
	BufferBytes int
	// BufferRecords bounds the number of these records. Default 100,000.
	BufferRecords int
	// BatchBytes bounds one batch, and so one record, in bytes before compression. Default
	// 1,000,000, just under the brokers' default message.max.bytes.
	BatchBytes int
	// RequestBytes bounds one produce request, in bytes. Default 16 MiB.
	RequestBytes int
	// Compression is "none" (default), "gzip", "snappy", "lz4" or "zstd".
	Compression string
	// Partitioner, if not nil, chooses the partition of each record that has a key and
	// AnyPartition. It is called concurrently and must not block. If it returns a number
	// that is not a partition of the topic, the record is refused. If nil, AnyPartition's
	// own rule applies.
	Partitioner func(topic string, key []byte, partitions int32) int32
	// Gate, if not nil, may refuse records, and receives the outcomes of requests.
	Gate Gate
}

// CheckPartition returns the partition that a ProducerConfig.Partitioner has chosen, or an
// error if the topic has no such partition.
func CheckPartition(chosen int32, topic string, partitions int32) (int32, error) {
	if chosen < 0 || chosen >= partitions {
		return 0, fmt.Errorf("the partitioner of topic %q chose partition %d, and there are %d", topic, chosen, partitions)
	}
	return chosen, nil
}
