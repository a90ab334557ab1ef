package kafka

import "testing"

// TestMurmur2 has the vectors of Kafka's own UtilsTest.
func TestMurmur2(t *testing.T) {
	for key, want := range map[string]int32{
		"21":                         -973932308,
		"foobar":                     -790332482,
		"a-little-bit-long-string":   -985981536,
		"a-little-bit-longer-string": -1486304829,
		"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
		"abc": 479470107,
	} {
		if got := int32(murmur2([]byte(key))); got != want {
			t.Errorf("murmur2(%q) is %d, want %d", key, got, want)
		}
	}
}

// TestPartitionOf has partitions that Kafka's Java producer chose.
func TestPartitionOf(t *testing.T) {
	for _, test := range []struct {
		key  string
		n    int
		want int32
	}{
		{"", 6, int32(murmur2(nil) & 0x7fffffff % 6)},
		{"21", 7, (-973932308 & 0x7fffffff) % 7},
		{"foobar", 12, (-790332482 & 0x7fffffff) % 12},
		{"foobar", 1, 0},
	} {
		if got := partitionOf([]byte(test.key), test.n); got != test.want {
			t.Errorf("partitionOf(%q, %d) is %d, want %d", test.key, test.n, got, test.want)
		}
	}
}

func FuzzPartitionOf(f *testing.F) {
	f.Add([]byte("key"), 6)
	f.Fuzz(func(t *testing.T, key []byte, n int) {
		if n < 1 || n > 1<<20 {
			return
		}
		if p := partitionOf(key, n); p < 0 || int(p) >= n {
			t.Errorf("partition %d of %d", p, n)
		}
	})
}
