package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strconv"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eventbus-go/eventbus/chaos/internal/cluster"
)

// logged is one record of the log, as another client reads it.
type logged struct{ key, seq uint32 }

// place is the place of a record in the log.
// It is comparable, and serves as a key.
type place struct {
	partition int32
	offset    int64
}

// fate is the expected outcome of a record that an intruder wrote.
type fate uint32

const (
	passedOver   fate = iota // nothing: no handler is for it
	deadLettered             // one dead letter
)

// intruder is a record of an intruder: its kind and its expected outcome.
type intruder struct {
	kind int
	fate fate
}

// intruders returns the records that an intruder wrote, by their place.
func intruders(entries []entry) map[place]intruder {
	found := make(map[place]intruder)
	for i := range entries {
		if line := &entries[i]; line.deed == intruded {
			found[place{line.partition, line.offset}] = intruder{kind: int(line.key), fate: fate(line.seq)}
		}
	}
	return found
}

// readLog returns the records of a whole topic, by partition. Offsets are indexes,
// since nothing is deleted. Records of an intruder are not decoded.
func readLog(ctx context.Context, c *cluster.Cluster, topic string, partitions int32, intruders map[place]intruder) ([][]logged, error) {
	log := make([][]logged, partitions)
	err := c.Each(ctx, topic, partitions, func(r *kgo.Record) error {
		var e numbered
		if _, ok := intruders[place{r.Partition, r.Offset}]; ok {
			e = noEvent(r)
		} else if err := json.Unmarshal(r.Value, &e); err != nil {
			return fmt.Errorf("%s/%d@%d: %w", topic, r.Partition, r.Offset, err)
		}
		// A transaction's marker or a compacted record would leave a gap, and shift all indexes.
		if at := int64(len(log[r.Partition])); r.Offset != at {
			return fmt.Errorf("%s/%d has offset %d after %d", topic, r.Partition, r.Offset, at-1)
		}
		log[r.Partition] = append(log[r.Partition], logged{e.Key, e.Seq})
		return nil
	})
	return log, err
}

// noEvent returns an event that stands for an intruder's record in the log: with a key that no
// event has, and a number that rises with the offset.
func noEvent(r *kgo.Record) numbered {
	return numbered{Key: math.MaxUint32 - uint32(r.Partition), Seq: uint32(r.Offset)} //nolint:gosec // small
}

// readLetters counts the dead letters in a topic by the position of the record that they were
// made from.
func readLetters(ctx context.Context, c *cluster.Cluster, topic string, partitions int32) (map[place]int, error) {
	dead := make(map[place]int)
	err := c.Each(ctx, topic, partitions, func(r *kgo.Record) error {
		var from place
		for _, h := range r.Headers {
			var err error
			switch h.Key {
			case "eventbus-dlq-partition":
				var n int64
				n, err = strconv.ParseInt(string(h.Value), 10, 32)
				from.partition = int32(n) //nolint:gosec // parsed to 32 bits
			case "eventbus-dlq-offset":
				from.offset, err = strconv.ParseInt(string(h.Value), 10, 64)
			}
			if err != nil {
				return err
			}
		}
		// A letter without the two headers counts for 0@0, where it shows as one too many.
		dead[from]++
		return nil
	})
	return dead, err
}
