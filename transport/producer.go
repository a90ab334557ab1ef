package transport

import (
	"context"
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
	// Produce returns. ctx governs the wait for room alone: what was accepted
	// is sent even when ctx ends afterwards.
	//
	// done hears the outcome exactly once if Produce returned nil, possibly
	// before it returns.
	Produce(ctx context.Context, r *Record, done Completion) error
	// Flush waits until everything accepted before the call has its outcome.
	Flush(ctx context.Context) error
	// Close flushes within ctx, then fails what is left with ErrClosed and an
	// outcome that says whether it may have been written. It leaves no
	// goroutine behind.
	Close(ctx context.Context) error
}

// Completion hears the outcome of one record. It is called on the producer's
// own goroutine, so it must not block.
//
// err is nil when all in-sync replicas have the record. An error that is
// ErrOutcomeUnknown says that the record may or may not be in the log; with any
// other error it is not in the log.
type Completion interface {
	Delivered(p Position, err error)
}

// Gate stands before a producer and lets it ask whether a broker is worth
// trying: the publishing circuit breaker, one state per broker. Its methods are
// called concurrently and must not block.
type Gate interface {
	// Allow is asked once per record, before it is accepted. An error refuses
	// the record and is returned by Produce as it is.
	Allow(broker int32) error
	// Report tells how a request to a broker ended: nil, or an error of the
	// infrastructure (unreachable, timed out, no leader, too few replicas).
	// Refusals of a single record (too large, invalid, unauthorised) are
	// reported as nil: the broker worked.
	Report(broker int32, err error)
}

// ProducerConfig configures a producer. The zero value works.
type ProducerConfig struct {
	// DeliveryTimeout bounds the time from acceptance to outcome, over all
	// retries. Default 2 minutes.
	DeliveryTimeout time.Duration
	// BufferBytes and BufferRecords bound what is accepted and has no outcome
	// yet; at the bound Produce waits. Defaults 32 MiB and 100,000.
	BufferBytes   int
	BufferRecords int
	// BatchBytes bounds one batch, before compression. Default 1,000,000: just
	// under the brokers' default message.max.bytes.
	BatchBytes int
	// RequestBytes bounds one produce request. Default 16 MiB.
	RequestBytes int
	// Compression is "none" (default), "gzip", "snappy", "lz4" or "zstd".
	Compression string
	// Gate, if not nil, may refuse records.
	Gate Gate
}
