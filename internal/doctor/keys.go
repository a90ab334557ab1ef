package doctor

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"

	"github.com/eventbus-go/eventbus/internal/declare"
	"github.com/eventbus-go/eventbus/internal/grouplag"
	"github.com/eventbus-go/eventbus/internal/scan"
	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/transport"
)

// How many of the newest records are read, of each partition and of a topic: with many
// partitions, fewer of each.
const (
	sampleOfPartition = 200
	sampleOfTopic     = 10_000
)

// writers names the clients that use each partitioner by default.
var writers = map[declare.Partitioner]string{
	declare.Murmur2: "murmur2 (Java, franz-go, eventbus)",
	declare.FNV1a:   "fnv1a (kafka-go's Hash, sarama, Watermill)",
	declare.CRC32:   "crc32 (librdkafka, .NET, Python)",
}

// Keys checks whether the keyed records of a topic are where its declared partitioner puts
// them, and whether each key is in only one partition. Writers that use different
// partitioners break the order of a key, and nothing else shows it. declared is the
// partitioner's name, "" for the default.
//
// Records that were written before partitions were added to the topic are reported as well:
// the order of their keys is broken in the same way.
func Keys(ctx context.Context, found *Findings, t *kafka.Transport, info *transport.TopicInfo, declared string) {
	const remedy = "have all writers choose partitions alike: set TopicConfig.Partitioner to what the others use, or change those"
	if info.Partitions < 2 {
		return // there is nothing to choose
	}
	s, err := sample(ctx, t, info)
	check := info.Name + " keys"
	switch {
	case err != nil:
		found.Add(check, Unknown, "", "%v", err)
		return
	case len(s.keys) == 0:
		return // events without keys have no order to lose
	}
	p, known := declare.PartitionerNamed(declared)
	misses := 0
	var elsewhere []string
	if known {
		misses, elsewhere = s.misses(p)
	}
	var what []string
	if misses > 0 {
		text := fmt.Sprintf("%d of %s are in partitions that the declared %s does not choose", misses, counted(len(s.keys), "key"), p)
		if len(elsewhere) > 0 {
			text += ": " + strings.Join(elsewhere, " and ") + " does"
		} else {
			text += ", nor any other known partitioner: some writer chooses by itself, or the topic had fewer partitions"
		}
		what = append(what, text)
	}
	if s.split > 0 {
		what = append(what, fmt.Sprintf("%s in more than one partition (one at %s)", counted(s.split, "key"), s.example))
	}
	switch {
	case len(what) > 0:
		found.Add(check, Warning, remedy, "%s", strings.Join(what, "; "))
	case !known:
		found.Add(check, Fine, "", "%s in one partition each; %q is a partitioner that only the topic's own programs have", counted(len(s.keys), "key"), declared)
	default:
		found.Add(check, Fine, "", "%s where %s puts them", counted(len(s.keys), "key"), p)
	}
}

// keySample records where the keys of a topic are. It keeps their hashes, since keys may be
// long.
type keySample struct {
	keys    map[[sha256.Size]byte]*keyPlace
	split   int
	example string
}

// keyPlace is the first place at which a key was seen, and the partitioners that choose it.
type keyPlace struct {
	at       string
	in       int32
	split    bool
	chosenBy map[declare.Partitioner]bool
}

// sample reads the newest records of a topic.
func sample(ctx context.Context, t *kafka.Transport, info *transport.TopicInfo) (*keySample, error) {
	s := &keySample{keys: make(map[[sha256.Size]byte]*keyPlace)}
	partitions := grouplag.Partitions(info)
	first, end, err := grouplag.Edges(ctx, t, partitions...)
	if err != nil {
		return nil, err
	}
	each := max(1, min(sampleOfPartition, sampleOfTopic/int64(len(partitions))))
	from := make(map[transport.Partition]int64, len(partitions))
	for _, p := range partitions {
		from[p] = max(first[p], end[p]-each)
	}
	err = scan.Each(ctx, t, from, end, func(r *transport.Record) error {
		if r.Key != nil {
			s.add(r, info.Partitions)
		}
		return nil
	})
	return s, err
}

// add records the place of a key.
func (s *keySample) add(r *transport.Record, partitions int32) {
	at := fmt.Sprintf("%d@%d", r.Partition, r.Offset)
	id := sha256.Sum256(r.Key)
	k := s.keys[id]
	if k == nil {
		k = &keyPlace{at: at, in: r.Partition, chosenBy: make(map[declare.Partitioner]bool)}
		s.keys[id] = k
	}
	for p := range writers {
		k.chosenBy[p] = k.chosenBy[p] || p.Of(r.Key, partitions) == r.Partition
	}
	if r.Partition == k.in || k.split {
		return
	}
	k.split = true
	s.split++
	s.example = k.at + " and " + at
}

// misses returns how many keys are in a partition that p does not choose, and the writers
// whose partitioner chooses all of those.
func (s *keySample) misses(p declare.Partitioner) (n int, elsewhere []string) {
	by := make(map[declare.Partitioner]int)
	for _, k := range s.keys {
		if k.chosenBy[p] && !k.split {
			continue
		}
		n++
		for other := range writers {
			if k.chosenBy[other] {
				by[other]++
			}
		}
	}
	for _, other := range []declare.Partitioner{declare.Murmur2, declare.FNV1a, declare.CRC32} {
		if other != p && by[other] == n {
			elsewhere = append(elsewhere, writers[other])
		}
	}
	return n, elsewhere
}
