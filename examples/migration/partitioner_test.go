package migration_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/IBM/sarama"
	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eventbus-go/eventbus"
)

var update = flag.Bool("update", false, "write the vectors of internal/declare")

const vectorFile = "../../internal/declare/testdata/partitions.json"

// vectors are what libraries chose, for the test of the root module, which must not
// need them.
type vectors struct {
	Counts []int32
	Keys   []vector
}

type vector struct {
	Key   []byte
	FNV1a []int32
	CRC32 []int32
}

// keys are of all lengths, with all bytes: half of the hashes are negative numbers.
func keys() (all [][]byte) {
	all = append(all, []byte{}, []byte("a"), []byte("customer-17"), []byte("Zoë 日本"), []byte{0, 0xff, 0x80})
	random := rand.New(rand.NewPCG(17, 17)) //nolint:gosec // the same each time
	for n := range 200 {
		key := make([]byte, 1+n%40)
		for i := range key {
			key[i] = byte(random.IntN(256))
		}
		all = append(all, key)
	}
	return all
}

// TestPartitioners compares our partitioners with what the libraries choose that have
// them: kafka-go's Hash and CRC32Balancer, sarama's NewHashPartitioner, which is
// watermill-kafka's too, and franz-go's and kafka-go's murmur2.
func TestPartitioners(t *testing.T) {
	v := vectors{Counts: []int32{1, 3, 6, 12, 50, 100}}
	for _, key := range keys() {
		vec := vector{Key: key}
		for _, n := range v.Counts {
			fnv := sarama.NewHashPartitioner("topic")
			theirs, err := fnv.Partition(&sarama.ProducerMessage{Key: sarama.ByteEncoder(key)}, n)
			if err != nil {
				t.Fatal(err)
			}
			check(t, key, n, "sarama's hash", eventbus.FNV1a(), theirs)
			check(t, key, n, "kafka-go's Hash", eventbus.FNV1a(), balance(&kafka.Hash{}, key, n))
			theirCRC, err := sarama.NewConsistentCRCHashPartitioner("topic").Partition(&sarama.ProducerMessage{Key: sarama.ByteEncoder(key)}, n)
			if err != nil {
				t.Fatal(err)
			}
			check(t, key, n, "sarama's consistent CRC", eventbus.CRC32(), theirCRC)
			crc := balance(kafka.CRC32Balancer{Consistent: true}, key, n)
			check(t, key, n, "kafka-go's CRC32Balancer", eventbus.CRC32(), crc)
			check(t, key, n, "kafka-go's Murmur2Balancer", eventbus.Murmur2(), balance(kafka.Murmur2Balancer{Consistent: true}, key, n))
			franz := kgo.StickyKeyPartitioner(nil).ForTopic("topic")
			check(t, key, n, "franz-go's default", eventbus.Murmur2(), int32(franz.Partition(&kgo.Record{Key: key}, int(n)))) //nolint:gosec // below n
			vec.FNV1a, vec.CRC32 = append(vec.FNV1a, theirs), append(vec.CRC32, crc)
		}
		v.Keys = append(v.Keys, vec)
	}
	now, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(vectorFile, append(now, '\n'), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if kept, err := os.ReadFile(vectorFile); err != nil || string(kept) != string(now)+"\n" {
		t.Errorf("%s is not what the libraries choose (%v): run the test with -update", vectorFile, err)
	}
}

func balance(b kafka.Balancer, key []byte, n int32) int32 {
	partitions := make([]int, n)
	for i := range partitions {
		partitions[i] = i
	}
	return int32(b.Balance(kafka.Message{Key: key}, partitions...)) //nolint:gosec // below n
}

func check(t *testing.T, key []byte, n int32, whose string, p eventbus.Partitioner, theirs int32) {
	t.Helper()
	if ours := p.Of(key, n); ours != theirs {
		t.Errorf("%s of %q in %d partitions is %d, and %s", whose, key, n, theirs, fmt.Sprintf("%s chooses %d", p, ours))
	}
}
