package murmur2_test

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/eventbus-go/eventbus/internal/murmur2"
)

// TestVectors holds Partition to what Kafka's Java client and librdkafka
// computed; the file says how.
func TestVectors(t *testing.T) {
	raw, err := os.ReadFile("testdata/partitions.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors struct {
		Counts []int32 `json:"counts"`
		Keys   []struct {
			Key        []byte  `json:"key"`
			Hash       int32   `json:"hash"`
			Partitions []int32 `json:"partitions"`
		} `json:"keys"`
	}
	if err := json.Unmarshal(raw, &vectors); err != nil {
		t.Fatal(err)
	}
	if len(vectors.Keys) < 190 || len(vectors.Counts) < 5 {
		t.Fatalf("%d keys and %d partition counts: the file is not whole", len(vectors.Keys), len(vectors.Counts))
	}
	for _, v := range vectors.Keys {
		if got := int32(murmur2.Hash(v.Key)); got != v.Hash {
			t.Errorf("Hash(%q) = %d, want %d", v.Key, got, v.Hash)
		}
		for i, n := range vectors.Counts {
			if got := murmur2.Partition(v.Key, n); got != v.Partitions[i] {
				t.Errorf("Partition(%q, %d) = %d, want %d", v.Key, n, got, v.Partitions[i])
			}
		}
	}
}
