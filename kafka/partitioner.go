package kafka

// murmur2 is the hash of Kafka's Java client (org.apache.kafka.common.utils.Utils),
// which librdkafka's murmur2 partitioners and franz-go compute too.
func murmur2(data []byte) uint32 {
	const m = 0x5bd1e995
	h := uint32(0x9747b28c) ^ uint32(len(data))
	for len(data) >= 4 {
		k := uint32(data[0]) | uint32(data[1])<<8 | uint32(data[2])<<16 | uint32(data[3])<<24
		k *= m
		k ^= k >> 24
		h = h*m ^ k*m
		data = data[4:]
	}
	switch len(data) {
	case 3:
		h ^= uint32(data[2]) << 16
		fallthrough
	case 2:
		h ^= uint32(data[1]) << 8
		fallthrough
	case 1:
		h = (h ^ uint32(data[0])) * m
	}
	h ^= h >> 13
	h *= m
	return h ^ h>>15
}

// partitionOf is the partition of a key among n, as the Java client's default
// partitioner chooses it.
func partitionOf(key []byte, n int) int32 {
	return int32(murmur2(key) & 0x7fffffff % uint32(n))
}
