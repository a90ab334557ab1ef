// Package scan reads ranges of logs, record by record, outside any group.
package scan

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/transport"
)

// ErrEnough, returned by see, ends a scan without an error: what was looked for has been
// found.
var ErrEnough = errors.New("enough")

// closeTimeout bounds closing the reader, even after ctx was cancelled.
const closeTimeout = 5 * time.Second

// Each calls see with every record between the offsets in from and to, without those in
// to, in the order of each partition. A partition that is not in to is read without end.
// Each returns nil when everything has been read or lost to retention. It returns early
// with ctx's error if ctx ends, and with see's error if see returns one, but with nil for
// ErrEnough. Records are valid until see returns.
func Each(ctx context.Context, cluster *kafka.Transport, from, to map[transport.Partition]int64, see func(*transport.Record) error) (failed error) {
	open := make(map[transport.Partition]int64, len(from))
	for p, first := range from {
		if end, bounded := to[p]; !bounded || first < end {
			open[p] = first
		}
	}
	if len(open) == 0 {
		return nil
	}
	reader, err := cluster.NewReader(transport.ReaderConfig{From: open, To: to})
	if err != nil {
		return err
	}
	defer func() {
		// ctx may have ended, and the reader must still be closed.
		within, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		failed = errors.Join(failed, reader.Close(within))
	}()
	for {
		batches, err := reader.Poll(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		for i := range batches {
			// io.EOF means the end only when Poll returns it. From see, such as
			// for a broken connection, it is an error.
			if err := each(&batches[i], see); errors.Is(err, ErrEnough) {
				return nil
			} else if err != nil {
				return err
			}
		}
	}
}

// each calls see with the records of a batch, and then returns the batch's
// memory to the transport.
func each(b *transport.Batch, see func(*transport.Record) error) error {
	if b.Release != nil {
		defer b.Release()
	}
	for i := range b.Records {
		if err := see(&b.Records[i]); err != nil {
			return err
		}
	}
	return nil
}
