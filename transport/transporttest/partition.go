package transporttest

import (
	"context"
	"errors"
	"fmt"

	"github.com/eventbus-go/eventbus/transport"
)

// partitionTests check that a Producer uses the right partition, whether it chooses it or is given
// it.
var partitionTests = []test{
	{"Keys", testPartitionKeys},
	{"Keyless", testPartitionKeyless},
	{"Explicit", testPartitionExplicit},
	{"Missing", testPartitionMissing},
	{"Grown", testPartitionGrown},
}

// murmur2Vectors are the vectors of org.apache.kafka.common.utils.UtilsTest, and one for the empty
// key.
var murmur2Vectors = map[string]int32{
	"21":                         -973932308,
	"foobar":                     -790332482,
	"a-little-bit-long-string":   -985981536,
	"a-little-bit-longer-string": -1486304829,
	"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
	"abc": 479470107,
	"":    275646681,
}

// testPartitionKeys: a key's partition is the one that the Java client chooses
// (BuiltInPartitioner.partitionForKey).
func testPartitionKeys(r *run) {
	p := r.producer(transport.ProducerConfig{})
	for _, partitions := range []int32{1, 7, 12} {
		topic := r.topic(partitions)
		for key, hash := range murmur2Vectors {
			// Java's toPositive clears the sign bit. The absolute value of a negative hash leads to
			// another partition, and the records of a key to two if a Java service writes some.
			// The empty key is a key. 7 and 12 are not powers of two: a mask gives another result.
			want := hash & 0x7fffffff % partitions
			got := r.produce(p, transport.Record{Topic: topic, Partition: transport.AnyPartition, Key: []byte(key)})
			if got.Partition != at(topic, want) {
				r.Errorf("key %q is in %v, want partition %d", key, got.Partition, want)
			}
		}
	}
}

// testPartitionKeyless: records without a key go to one partition after another.
func testPartitionKeyless(r *run) {
	const partitions = 4
	topic := r.topic(partitions)
	p := r.producer(transport.ProducerConfig{})
	counts := make(map[int32]int)
	// Four rounds. A producer that chooses at random may pass now and then; one that stays
	// with a partition beyond its batch never does.
	for range 4 * partitions {
		// The acknowledgement ends the batch.
		counts[r.produce(p, transport.Record{Topic: topic, Partition: transport.AnyPartition}).Partition.Partition]++
	}
	if len(counts) != partitions {
		r.Errorf("%d batches without keys went to partitions %v of %d", 4*partitions, counts, partitions)
	}
}

// testPartitionExplicit: a partition that is named is written to, whatever the key.
// Dead letters and redeliveries rely on it.
func testPartitionExplicit(r *run) {
	const partitions = 3
	topic := r.topic(partitions)
	p := r.producer(transport.ProducerConfig{})
	for n := range int32(partitions) {
		for key := range 5 {
			// Five keys hash to more than one of the three partitions, so a producer that lets the
			// key decide is wrong for some of them.
			got := r.produce(p, transport.Record{Topic: topic, Partition: n, Key: fmt.Append(nil, key)})
			if got.Partition != at(topic, n) {
				r.Errorf("asked for partition %d, got %v", n, got.Partition)
			}
		}
	}
}

// testPartitionMissing: a record for a partition that the topic does not have is refused at once.
func testPartitionMissing(r *run) {
	p := r.producer(transport.ProducerConfig{})
	// Partitions count from 0, so 2 is the first that the topic does not have.
	r.refused(p, transport.Record{Topic: r.topic(2), Partition: 2}, func(err error) bool {
		return errors.Is(err, transport.ErrTopicMissing)
	})
}

// testPartitionGrown: a partition that a topic got after the producer first wrote to
// it can be chosen at once.
func testPartitionGrown(r *run) {
	if r.suite.addPartitions == nil {
		r.Skip("the suite was not told how topics grow")
	}
	topic := r.topic(1)
	p := r.producer(transport.ProducerConfig{})
	// The producer's metadata now says one partition. It must ask again before it refuses.
	r.produce(p, transport.Record{Topic: topic, Partition: 0})
	r.within("adding partitions", func(ctx context.Context) error {
		return r.suite.addPartitions(ctx, r.Transport, topic, 3)
	})
	if got := r.produce(p, transport.Record{Topic: topic, Partition: 2}); got.Partition != at(topic, 2) {
		r.Errorf("asked for partition 2, got %v", got.Partition)
	}
}
