package declare

import (
	"encoding/json"
	"os"
	"testing"
)

// TestPartitioners compares the built-in partitioners with the libraries that use them
// by default. examples/migration wrote testdata/partitions.json by calling those
// libraries: kafka-go's Hash and sarama's NewHashPartitioner for fnv1a, librdkafka's
// consistent for crc32.
func TestPartitioners(t *testing.T) {
	raw, err := os.ReadFile("testdata/partitions.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors struct {
		Counts []int32
		Keys   []struct {
			Key   []byte
			FNV1a []int32
			CRC32 []int32
		}
	}
	if err := json.Unmarshal(raw, &vectors); err != nil {
		t.Fatal(err)
	}
	if len(vectors.Keys) < 100 {
		t.Fatalf("only %d keys", len(vectors.Keys))
	}
	for _, v := range vectors.Keys {
		for i, n := range vectors.Counts {
			if got := FNV1a.Of(v.Key, n); got != v.FNV1a[i] {
				t.Errorf("fnv1a of %q in %d partitions is %d, want %d", v.Key, n, got, v.FNV1a[i])
			}
			if got := CRC32.Of(v.Key, n); got != v.CRC32[i] {
				t.Errorf("crc32 of %q in %d partitions is %d, want %d", v.Key, n, got, v.CRC32[i])
			}
		}
	}
}

// TestPartitionersByName: a name stands for the same partitioner everywhere.
func TestPartitionersByName(t *testing.T) {
	key := []byte("customer-17")
	for _, p := range []Partitioner{Murmur2, FNV1a, CRC32} {
		if got, ok := PartitionerNamed(p.String()); !ok || got != p || p.Custom() {
			t.Errorf("%s is %v, %t", p, got, ok)
		}
		if n := testing.AllocsPerRun(100, func() { p.Of(key, 12) }); n > 0 {
			t.Errorf("%s allocates %v times", p, n)
		}
	}
	if _, ok := PartitionerNamed("later"); ok {
		t.Error("an unknown partitioner is known")
	}
}
