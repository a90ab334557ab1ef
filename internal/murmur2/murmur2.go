// Package murmur2 chooses the partition of a keyed record as Kafka's Java client
// does, so that one key has the same partition for all producers: Java
// (BuiltInPartitioner.partitionForKey), librdkafka (partitioner=murmur2_random)
// and franz-go agree with it.
package murmur2

import "encoding/binary"

// The constants of org.apache.kafka.common.utils.Utils.murmur2.
const (
	seed  uint32 = 0x9747b28c
	mix   uint32 = 0x5bd1e995
	shift        = 24
)

// Partition returns the partition of key in a topic of n partitions. An empty
// key is a key like any other; a nil key hashes as an empty one, so the caller
// spreads records without a key before. It panics if n is not positive.
func Partition(key []byte, n int32) int32 {
	if n <= 0 {
		panic("murmur2: a topic has at least one partition")
	}
	// Java clears the sign bit (Utils.toPositive); the absolute value would
	// send half of the keys elsewhere.
	return int32(Hash(key)&0x7fffffff) % n
}

// Hash is the 32-bit MurmurHash2 of key with Kafka's seed.
func Hash(key []byte) uint32 {
	h := seed ^ uint32(len(key))
	for len(key) >= 4 {
		k := binary.LittleEndian.Uint32(key) * mix
		k ^= k >> shift
		h = h*mix ^ k*mix
		key = key[4:]
	}
	switch len(key) {
	case 3:
		h ^= uint32(key[2]) << 16
		fallthrough
	case 2:
		h ^= uint32(key[1]) << 8
		fallthrough
	case 1:
		h = (h ^ uint32(key[0])) * mix
	}
	h ^= h >> 13
	h *= mix
	return h ^ h>>15
}
