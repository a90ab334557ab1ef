package main

import (
	"context"
	"errors"

	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/transport"
)

// errEnough ends a scan that has found what it looked for.
var errEnough = errors.New("enough")

// scan is a stretch of some partitions: from where, and up to where. A partition
// without an end is read on and on.
type scan struct {
	from, end map[transport.Partition]int64
}

// each calls see with every record of the stretch, in the order of each
// partition, until all is read, ctx ends, or see returns an error; that error is
// returned, but for errEnough. Records are valid until see returns.
func (s scan) each(ctx context.Context, t *kafka.Transport, see func(*transport.Record) error) (failed error) {
	open := make(map[transport.Partition]int64, len(s.from))
	for p, from := range s.from {
		if end, bounded := s.end[p]; !bounded || from < end {
			open[p] = from
		}
	}
	if len(open) == 0 {
		return nil
	}
	reader, err := t.NewReader(transport.ReaderConfig{From: open})
	if err != nil {
		return err
	}
	defer func() {
		within, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		failed = errors.Join(failed, reader.Close(within))
	}()
	for len(open) > 0 {
		batches, err := reader.Poll(ctx)
		if err != nil {
			return err
		}
		for i := range batches {
			if err := s.seeBatch(&batches[i], open, see); errors.Is(err, errEnough) {
				return nil
			} else if err != nil {
				return err
			}
		}
	}
	return nil
}

func (s scan) seeBatch(b *transport.Batch, open map[transport.Partition]int64, see func(*transport.Record) error) error {
	if b.Release != nil {
		defer b.Release()
	}
	if _, wanted := open[b.Partition]; !wanted {
		return nil // its end was reached
	}
	end, bounded := s.end[b.Partition]
	for i := range b.Records {
		if bounded && b.Records[i].Offset >= end {
			break
		}
		if err := see(&b.Records[i]); err != nil {
			return err
		}
	}
	if bounded && b.Next >= end {
		delete(open, b.Partition)
	}
	return nil
}
