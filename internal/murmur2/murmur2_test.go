package murmur2_test

import (
	"testing"

	"github.com/eventbus-go/eventbus/internal/murmur2"
)

// The hashes stand in Kafka's own UtilsTest.testMurmur2.
func TestHash(t *testing.T) {
	for key, want := range map[string]int32{
		"21":                         -973932308,
		"foobar":                     -790332482,
		"a-little-bit-long-string":   -985981536,
		"a-little-bit-longer-string": -1486304829,
		"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
		"abc": 479470107,
	} {
		if got := int32(murmur2.Hash([]byte(key))); got != want {
			t.Errorf("Hash(%q) = %d, want %d", key, got, want)
		}
	}
}

func TestPartitionOfNoPartitions(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("Partition of 0 partitions did not panic")
		}
	}()
	murmur2.Partition([]byte("key"), 0)
}

func BenchmarkPartition(b *testing.B) {
	key := []byte("customer-0123456789")
	b.ReportAllocs()
	for b.Loop() {
		murmur2.Partition(key, 12)
	}
}
