package transport

import (
	"context"
	"log/slog"
)

// Reader reads partitions outside any group: it commits nothing and affects no group. Poll
// must be called by one goroutine at a time; the other methods are safe for concurrent use.
type Reader interface {
	// Poll waits for fetched records and returns them, at most one Batch per partition, each
	// starting where the one before ended; their Epoch is 0. It returns io.EOF once every
	// partition was read to its end, ctx.Err() when ctx ends, and ErrClosed after Close. If a
	// partition can't be read at all, the error is ErrTopicMissing or ErrUnauthorized. If a
	// partition's log reached To and was then truncated before it, or contains records that
	// can't be read, the error names the partition. Poll retries every other failure
	// (brokers down, leaders moving). The caller owns the batches until it calls their
	// Release.
	//
	// The first batch of a partition starts where reading starts: later than asked if
	// retention has removed the records between. A later batch starts elsewhere than the one
	// before ended only if the log has changed: further on if retention overtook the reader,
	// further back if an unclean leader election truncated the log.
	Poll(ctx context.Context) ([]Batch, error)
	// Pause stops reading and returning the partitions until Resume. Fetched records are
	// kept. Partitions that are not read are ignored.
	Pause(partitions ...Partition)
	// Resume undoes Pause. Partitions that are not paused are ignored.
	Resume(partitions ...Partition)
	// Close stops fetching within ctx and leaves no goroutine behind. Unreleased batches
	// stay valid.
	Close(ctx context.Context) error
}

// ReaderConfig configures a Reader. From must name at least one partition; the zero value of
// every other field is usable ([ReaderConfig.WithDefaults]).
type ReaderConfig struct {
	// From is the first offset to read, by partition. An offset before the start of the log
	// means the start; one past the end waits until the log reaches it.
	From map[Partition]int64
	// To is where reading ends, by partition: the offset after the last one to read. A
	// partition without a To is read without end.
	To map[Partition]int64
	// FetchBytes bounds the records fetched and not yet returned by Poll, in bytes of
	// Record.Size. A single larger record still passes. Default 8 MiB.
	FetchBytes int
	// ReadUncommitted also delivers records of open and aborted transactions.
	ReadUncommitted bool
	// Logger receives diagnostics that can't be returned to a caller. Nil discards them.
	Logger *slog.Logger
}
