// Package scan reads stretches of logs, record by record, outside any group.
package scan

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/transport"
)

// ErrEnough, returned by what is called with the records, ends a scan that has
// found what it looked for.
var ErrEnough = errors.New("enough")

// patience bounds what is done when a scan has ended already.
const patience = 5 * time.Second

// Each calls see with every record from these offsets on, up to and without those
// of to, in the order of each partition; a partition that to does not name is read
// on and on. It returns when all is read or lost to retention, ctx ends, or see
// returns an error: that one, but nil for ErrEnough. Records are valid until see
// returns.
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
		within, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
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
			// An EOF of see's, as of a broker that has gone, is an error.
			if err := each(&batches[i], see); errors.Is(err, ErrEnough) {
				return nil
			} else if err != nil {
				return err
			}
		}
	}
}

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
