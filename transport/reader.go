package transport

import (
	"context"
	"log/slog"
)

// Reader reads partitions outside any group: it commits nothing, and no group
// changes because of it. Poll belongs to one goroutine; the other methods are safe for
// concurrent use.
type Reader interface {
	// Poll waits for fetched records and returns them, at most one Batch per
	// partition, each where the one before ended; their Epoch is 0. It returns
	// io.EOF when every partition was read up to its end, ctx.Err() when ctx
	// ends, ErrClosed after Close, an error that is ErrTopicMissing or
	// ErrUnauthorized when a partition can't be read at all, and one that names the
	// partition when its log reached To and was truncated before it, or holds records
	// that can't be read; every other
	// failure (brokers down, leaders moving) is waited out inside. The batches are the
	// caller's until it calls their Release.
	//
	// The first batch of a partition begins where reading began: later than
	// asked where retention has removed what lay between. A later batch begins
	// elsewhere than where the one before ended only if the log changed there:
	// further on where retention overtook the reader, further back where an
	// unclean election of a leader has truncated the log.
	Poll(ctx context.Context) ([]Batch, error)
	// Pause stops reading and returning those partitions until Resume; what
	// was fetched already is kept. Partitions that are not read are ignored.
	Pause(partitions ...Partition)
	// Resume undoes Pause. Partitions that are not paused are ignored.
	Resume(partitions ...Partition)
	// Close ends fetching within ctx and leaves no goroutine behind. Batches
	// that were not released stay valid.
	Close(ctx context.Context) error
}

// ReaderConfig configures a Reader. From names at least one partition; the other
// fields' zero values work ([ReaderConfig.WithDefaults]).
type ReaderConfig struct {
	// From is the first offset to read of each partition. One before the
	// log's start begins at the start; one past its end waits until the log
	// has it.
	From map[Partition]int64
	// To is where reading ends: the offset after the last one to be read. A
	// partition that it does not name is read without end.
	To map[Partition]int64
	// FetchBytes bounds the records that are fetched and not yet returned by Poll, as
	// Record.Size counts. One record above the bound still passes. Default 8 MiB.
	FetchBytes int
	// ReadUncommitted also delivers records of open and aborted transactions.
	ReadUncommitted bool
	// Logger receives diagnostics that no caller is there to be told. Nil discards them.
	Logger *slog.Logger
}
